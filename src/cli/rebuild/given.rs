//! Bundle and source of a rebuild: named, or among the materials.

use super::Args;
use crate::bundle;
use crate::cli::exit::Failure;
use crate::cli::materials::Materials;
use crate::fs;
use std::path::PathBuf;

/// What was named, or what is among the materials.
pub(super) struct Given<'a> {
    /// The command line.
    pub args: &'a Args,
    /// Where the bundle is; or in which file of materials.
    pub bundle: PathBuf,
    /// Where the source is.
    pub source: PathBuf,
}

impl Given<'_> {
    /// With the bundle's bytes.
    pub fn of<'a>(args: &'a Args, materials: Option<&Materials>) -> Result<(Given<'a>, Vec<u8>), Failure> {
        let (bundle, bytes) = match (&args.bundle, materials) {
            (None, Some(materials)) if args.append && materials.is_file() => {
                return Err(Failure::usage("--append adds to a bundle, and in a file of materials nothing is changed")
                    .hint("--out DIR keeps the signed statements there"));
            }
            (None, Some(materials)) => materials.bundle()?,
            (path, _) => {
                let path = path.clone().unwrap_or_default();
                let bytes = fs::read(&path, bundle::MAX_BUNDLE)?;
                (path, bytes)
            }
        };
        let source = match (&args.source, materials) {
            (None, Some(materials)) => materials.source()?,
            (path, _) => path.clone().unwrap_or_default(),
        };
        Ok((Given { args, bundle, source }, bytes))
    }
}
