//! `--materials`: an environment from what was handed over, and from nothing else.

use super::Args;
use crate::cli::exit::{Exit, Failure};
use crate::cli::places::{self, Scratch};
use crate::environment::{self, Depot};
use crate::store::Store;
use std::path::Path;

/// Where materials are unpacked for this run: below the scratch directory, and gone with the value.
pub(super) fn unpacked(args: &Args, scratch: &Path) -> Result<Option<Scratch>, Failure> {
    let Some(dir) = &args.materials else { return Ok(None) };
    if !environment::are_materials(dir) {
        let fact = format!("{} holds no materials: it has no directory blobs", dir.display());
        return Err(Failure::new(Exit::CouldNotTell, fact).hint("`countersign snapshot B -o DIR` collects them"));
    }
    Scratch::new(scratch, "countersign-store").map(Some)
}

/// The materials, or store and mirrors.
pub(super) fn depot(args: &Args, unpacked: Option<&Scratch>) -> Result<Depot, Failure> {
    match (&args.materials, unpacked) {
        (Some(dir), Some(unpacked)) => Ok(Depot::of_materials(Store::open(unpacked.path())?, places::absolute(dir)?)),
        _ => args.depot.depot(None),
    }
}
