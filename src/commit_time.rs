//! The time of a checkout's commit, for `source-date-epoch = "git"`. The only user of gix.
//!
//! No `git` is run and no configuration but the repository's own is read: no hooks, no helpers, nothing from `PATH`.

use std::path::{Path, PathBuf};

/// A checkout whose commit time cannot be told.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the commit time of {}: {why}", path.display())]
pub struct CommitTimeError {
    path: PathBuf,
    why: String,
}

/// Committer time of `HEAD`, in seconds since 1970.
#[cfg(feature = "git")]
pub fn committer_time(checkout: &Path) -> Result<u64, CommitTimeError> {
    let fail = |why: &dyn std::fmt::Display| CommitTimeError { path: checkout.to_owned(), why: why.to_string() };
    let repo = gix::open_opts(checkout, gix::open::Options::isolated()).map_err(|err| fail(&err))?;
    let head = repo.head_commit().map_err(|err| fail(&err))?;
    let time = head.time().map_err(|err| fail(&err))?;
    u64::try_from(time.seconds).map_err(|_| fail(&"it is before 1970"))
}

/// Without the cargo feature `git` there is no commit time.
#[cfg(not(feature = "git"))]
pub fn committer_time(checkout: &Path) -> Result<u64, CommitTimeError> {
    Err(CommitTimeError {
        path: checkout.to_owned(),
        why: "this program was built without the feature `git`".to_owned(),
    })
}

#[cfg(all(test, feature = "git"))]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn of_a_commit_and_of_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(committer_time(dir.path()).is_err());
        let git = |args: &[&str]| {
            let done = Command::new("git")
                .args(["-C", dir.path().to_str().unwrap(), "-c", "user.name=n", "-c", "user.email=e@example.org"])
                .args(args)
                .env("GIT_COMMITTER_DATE", "1700000001 +0900")
                .env("GIT_AUTHOR_DATE", "1600000000 +0000")
                .output()
                .unwrap();
            assert!(done.status.success(), "{done:?}");
        };
        git(&["init", "-q"]);
        assert!(committer_time(dir.path()).is_err(), "no commit yet");
        git(&["commit", "-q", "--allow-empty", "-m", "x"]);
        assert_eq!(committer_time(dir.path()).unwrap(), 1_700_000_001);
        git(&["gc", "-q"]);
        assert_eq!(committer_time(dir.path()).unwrap(), 1_700_000_001, "packed");
    }
}
