//! Whether the source at hand is the signed one.

use crate::build::Plan;
use crate::cli::exit::{Exit, Failure};
use crate::cli::ui;
use crate::compare;
use crate::recipe::Recipe;
use crate::source::Source;
use crate::statement::{BuildOrder, SourceCommitment};
use crate::tree::{Line, Listing};
use std::path::Path;

/// What follows from a signed order and a source that is opened for its recipe, by the number of parts that are removed from the names of an
/// archive.
pub(in crate::cli) fn read_plan(
    order: &BuildOrder,
    open: impl FnOnce(u8) -> Result<Source, Failure>,
) -> Result<Plan, Failure> {
    let broken = |err: &dyn std::fmt::Display| Failure::new(Exit::Broken, format!("the signed recipe: {err}"));
    let recipe = Recipe::parse(order.recipe.as_bytes()).map_err(|err| broken(&err))?;
    let source = open(recipe.strip)?;
    Ok(Plan::for_order(recipe, source, order)?)
}

/// Ends with the files that differ when the source at hand is not the signed one.
pub(in crate::cli) fn source_is_signed(
    path: &Path,
    plan: &Plan,
    signed: &BuildOrder,
    listing: Option<&str>,
) -> Result<(), Failure> {
    let SourceCommitment::Public { listing: want, ids: stated } = signed.source;
    let SourceCommitment::Public { listing: have, ids } = plan.order().source;
    if want == have {
        return match stated.common(ids) == stated {
            true => Ok(()),
            false => Err(Failure::new(Exit::Broken, "the manifest names a git id that is not that of its own source")),
        };
    }
    let fact = format!("{} is not the signed source: sha256:{have}, signed is sha256:{want}", path.display());
    let mut failure = Failure::new(Exit::SourceDiffers, fact);
    let listing = listing
        .filter(|text| crate::digest::sha256(text.as_bytes()).as_bytes() == want.as_bytes())
        .and_then(|text| Listing::parse(text).ok());
    match listing {
        Some(listing) => {
            let here: Vec<Line> = plan.tree().lines().collect();
            let found = compare::lines(&listing.lines, &here);
            for difference in found.iter().take(20) {
                let what: Vec<String> = difference.what.iter().map(|what| what.words("signed", "here")).collect();
                ui::say(&format!("{}: {}", ui::escape(&difference.path.escaped()), what.join(", ")));
            }
            if found.len() > 20 {
                ui::say(&format!("… and {} more", found.len() - 20));
            }
            if let Some(top) = one_above(&listing.lines, &here) {
                failure = failure
                    .hint(format!("all of it is below {top}/ here: unpack it, and give {top} as --source"))
                    .hint("a vendor whose source is such an archive says so in the recipe: source.strip = 1");
            }
            if found.iter().any(|d| plan.is_output(&d.path)) {
                failure = failure.hint("some of it looks built: take a fresh copy of the source");
            }
        }
        None => failure = failure.hint("the bundle does not hold the source's listing, so the files cannot be named"),
    }
    Err(failure)
}

/// The directory that all paths here are in, where they are the signed ones below it.
fn one_above(signed: &[Line], here: &[Line]) -> Option<String> {
    let bytes = here.first()?.path.as_bytes();
    let top = &bytes[..bytes.iter().position(|b| *b == b'/')?];
    let below = |line: &Line| line.path.as_bytes().strip_prefix(top)?.strip_prefix(b"/").map(<[u8]>::to_vec);
    let here: Option<Vec<Vec<u8>>> = here.iter().map(below).collect();
    let signed = signed.iter().map(|line| line.path.as_bytes().to_vec());
    (here? == signed.collect::<Vec<_>>()).then(|| ui::escape(&String::from_utf8_lossy(top)))
}
