//! Those of a build.

use crate::build::BuildError;
use crate::cli::exit::{Exit, Failure};
use crate::cli::trace::ADVICE;
use crate::environment::FingerprintError;
use crate::sandbox::{How, Met, SandboxError};
use crate::scan::ScanError;
use crate::source::SourceError;
use std::collections::BTreeSet;

/// The signal for a file that is longer than allowed, and what a shell makes of it.
const XFSZ: i32 = 25;
const XFSZ_IN_SHELL: i32 = 128 + XFSZ;

impl From<BuildError> for Failure {
    fn from(err: BuildError) -> Failure {
        // What was observed has a place of its own.
        if let BuildError::Traced { why, .. } = err {
            return (*why).into();
        }
        let exit = match &err {
            BuildError::Sandbox(
                SandboxError::StepFailed { .. } | SandboxError::TimedOut { .. } | SandboxError::LogTooLong { .. },
            )
            | BuildError::NoOutput { .. }
            | BuildError::OnlyLinks(_)
            | BuildError::OutputScan(_)
            | BuildError::Outputs(_) => Exit::BuildFailed,
            BuildError::Root(_)
            | BuildError::Stale(_)
            | BuildError::Epoch(_)
            | BuildError::NotInImage
            | BuildError::Untraceable
            | BuildError::Unfit(_)
            | BuildError::Dependencies(_)
            | BuildError::NotOfSource(_) => Exit::Usage,
            BuildError::Lock(_) => Exit::Broken,
            BuildError::Git(_) | BuildError::NoImage => Exit::Internal,
            _ => Exit::CouldNotTell,
        };
        let failure = Failure::new(exit, &err);
        match err {
            BuildError::Interrupted(err)
            | BuildError::Sandbox(SandboxError::Interrupted(err))
            | BuildError::Fingerprint(FingerprintError::Interrupted(err)) => err.into(),
            BuildError::Source(SourceError::Scan(err @ ScanError::Kind { .. })) => {
                Failure::from(err).hint("remove it, unless the recipe can leave it out: source.exclude")
            }
            BuildError::Source(err) => err.into(),
            BuildError::Scan(err) => err.into(),
            BuildError::Sandbox(SandboxError::Unavailable { .. }) => failure
                .hint("user namespaces may be switched off: see `sysctl kernel.unprivileged_userns_clone user.max_user_namespaces`")
                .hint("--sandbox=none builds without isolation, which the statement records and most policies refuse"),
            BuildError::Sandbox(SandboxError::Processors { .. }) => {
                failure.hint("limits.processors in the recipe is part of what is built: it takes a machine that has as many")
            }
            BuildError::Sandbox(SandboxError::Root { .. }) => {
                failure.hint("a toolchain below a private home cannot be reached: put it in a place such as /opt")
            }
            BuildError::Sandbox(SandboxError::BuildDir { .. }) => failure
                .hint("--scratch DIR or TMPDIR names another place to build in, one that other users may pass through"),
            BuildError::Sandbox(SandboxError::StepFailed { how, met, .. }) => {
                let too_long = matches!(how, How::Signal(XFSZ) | How::Exit(XFSZ_IN_SHELL)).then_some("limits.file-size");
                let limits = met.iter().map(|met| match met {
                    Met::Processes => "limits.processes",
                    Met::Full(path) if path == "/build" => "--scratch DIR or TMPDIR with more room",
                    Met::Full(_) => "limits.tmp",
                });
                let limits: BTreeSet<&str> = limits.chain(too_long).collect();
                let failure = limits.into_iter().fold(failure, |failure, limit| match limit.strip_prefix("limits") {
                    Some(_) => failure.hint(format!("{limit} in the recipe gives more")),
                    None => failure.hint(format!("build elsewhere: {limit}")),
                });
                failure.hint("the build has no network, and sees of this machine what the recipe names alone").hint(ADVICE)
            }
            BuildError::Sandbox(SandboxError::TimedOut { .. }) => failure.hint("limits.time in the recipe gives more"),
            BuildError::Sandbox(SandboxError::LogTooLong { .. }) => failure.hint("limits.log in the recipe gives more"),
            BuildError::OutputScan(ScanError::TooMuch { what: "bytes", .. }) => {
                failure.hint("limits.outputs in the recipe gives more")
            }
            BuildError::NoOutput { made, .. } if made.is_empty() => failure.hint("the build made no new files at all"),
            BuildError::NoOutput { made, .. } => {
                let made: Vec<String> = made.iter().map(ToString::to_string).collect();
                failure.hint(format!("it made {}", made.join(", ")))
            }
            BuildError::Stale(path) => {
                failure.hint(format!("remove it, or leave it out of the source: exclude = [\"{path}\"] in the recipe"))
            }
            BuildError::NotInImage | BuildError::Untraceable => failure.hint("leave --sandbox=none out"),
            BuildError::Unfit(_) | BuildError::NotOfSource(_) => failure.hint("`countersign lock` makes a new one"),
            BuildError::Image { .. } => failure.hint("`countersign cache verify` removes what is not as it should be"),
            BuildError::Socket(_) => failure.hint("take the root that holds it out of environment.roots"),
            BuildError::EnvironmentChanged(_) => failure.hint("run it again when nothing installs or removes packages"),
            BuildError::CommitTime(_) => failure.hint("give source-date-epoch as seconds, or build from a git checkout"),
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_out_of_reach_is_told_from_a_toolchain() {
        let hints = |err| Failure::from(BuildError::Sandbox(err)).hints.join("\n");
        let (path, why) = (std::path::PathBuf::from("/x"), "Permission denied".to_owned());
        let place = hints(SandboxError::BuildDir { path: path.clone(), why: why.clone() });
        assert!(place.contains("--scratch") && !place.contains("toolchain"), "{place}");
        let root = hints(SandboxError::Root { path, why });
        assert!(root.contains("toolchain") && !root.contains("--scratch"), "{root}");
    }
}
