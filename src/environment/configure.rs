//! Packages that are unpacked, configured: their own scripts, which come from the locked bytes, run in the sandbox, with the root as the only
//! thing that they can read or write, and without a network. What depends on the day or the run is removed afterwards.

use super::image::TIME;
use crate::fs::FsError;
use crate::sandbox::{self, Limits, Purpose, SandboxError, Spec};
use crate::stop::Stop;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most that the scripts may print, and how much of its end is shown.
const MOST_PRINTED: u64 = 64 << 20;
const SHOWN: usize = 2000;

/// Packages that could not be configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// The sandbox, or a script.
    #[error("cannot configure the packages: {why}{}", said(log))]
    Sandbox {
        /// Why not.
        why: SandboxError,
        /// The end of what was printed.
        log: String,
    },
    /// A file of the root.
    #[error(transparent)]
    Fs(#[from] FsError),
}

fn said(log: &str) -> String {
    let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if last.is_empty() { String::new() } else { format!("; it said: {last}") }
}

/// Runs what `dpkg --configure -a` runs, in the root `root`.
pub(super) fn packages(root: &Path, stop: &Stop) -> Result<(), ConfigureError> {
    let variables = [
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
        ("DEBCONF_NOWARNINGS", "yes"),
        ("HOME", "/root"),
        ("LC_ALL", "C.UTF-8"),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("SOURCE_DATE_EPOCH", "315532800"),
        ("TZ", "UTC"),
    ];
    let step = ["dpkg", "--force-unsafe-io", "--configure", "-a"].map(str::to_owned).to_vec();
    let spec = Spec {
        build_dir: root.to_owned(),
        purpose: Purpose::Install,
        roots: Vec::new(),
        variables: variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
        steps: vec![step],
        limits: Limits {
            time: Duration::from_secs(3600),
            memory: None,
            processes: 4096,
            processors: None,
            file_size: None,
            tmp: 2 << 30,
            outputs: 0,
            log: MOST_PRINTED,
        },
        stop: stop.clone(),
        watch: None,
    };
    sandbox::own_build_dir(root)?;
    let mut log = Vec::new();
    let ran = sandbox::run(&spec, &mut |bytes| {
        log.extend_from_slice(bytes);
        let much = log.len().saturating_sub(SHOWN);
        log.drain(..much);
    });
    // Whatever came of it: what is removed must be ours.
    settle(root)?;
    ran.map_err(|why| ConfigureError::Sandbox { why, log: String::from_utf8_lossy(&log).into_owned() })?;
    Ok(())
}

/// Files and directories of which each run makes another: logs, copies of the state before, caches.
const VOLATILE: [&str; 12] = [
    "etc/.pwd.lock",
    "etc/group-",
    "etc/gshadow-",
    "etc/passwd-",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "var/cache/ldconfig",
    "var/cache/debconf",
    "var/lib/systemd/catalog",
    "var/lib/dpkg/triggers/Lock",
    "var/log",
];

/// Removes what is volatile, and gives everything the modes, times and owner that a tree of a store has.
fn settle(root: &Path) -> Result<(), ConfigureError> {
    let fail = |what: &'static str, path: &Path| {
        let path = path.to_owned();
        move |err: std::io::Error| FsError::io(what, &path, err)
    };
    let mut gone: Vec<PathBuf> = VOLATILE.iter().map(|path| root.join(path)).collect();
    gone.extend(ending_with(&root.join("var/lib/dpkg"), "-old"));
    gone.extend(ending_with(&root.join("var/cache/debconf"), "-old"));
    gone.push(root.join("var/lib/dpkg/lock"));
    gone.push(root.join("var/lib/dpkg/lock-frontend"));
    for path in gone {
        // A directory on the way that is a link would lead elsewhere.
        let above = path.parent().unwrap_or(root);
        if above.canonicalize().is_ok_and(|above| above.starts_with(root)) {
            match path.symlink_metadata() {
                Ok(meta) if meta.is_dir() => {
                    crate::source::remove_tree(&path)?;
                    std::fs::create_dir(&path).map_err(fail("create", &path))?;
                }
                Ok(_) => std::fs::remove_file(&path).map_err(fail("remove", &path))?,
                Err(_) => {}
            }
        }
    }
    like_a_store(root)
}

fn ending_with(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(ending)).map(|entry| entry.path()).collect()
}

fn like_a_store(root: &Path) -> Result<(), ConfigureError> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
    let time = Timespec { tv_sec: TIME, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let mut dirs = vec![root.to_owned()];
    let mut seen = Vec::new();
    while let Some(dir) = dirs.pop() {
        let fail = |err| FsError::io("settle", &dir, err);
        // Before it is read: scripts may have closed it.
        let own = |path: &Path| lchown(path, Some(uid), Some(gid));
        own(&dir).map_err(fail)?;
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).map_err(fail)?;
        for entry in std::fs::read_dir(&dir).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let fail = |err| FsError::io("settle", &path, err);
            let meta = path.symlink_metadata().map_err(fail)?;
            if meta.is_dir() {
                dirs.push(path);
                continue;
            }
            if !meta.is_file() && !meta.is_symlink() {
                std::fs::remove_file(&path).map_err(fail)?;
                continue;
            }
            own(&path).map_err(fail)?;
            if meta.is_file() {
                let mode = if meta.mode() & 0o111 == 0 { 0o644 } else { 0o755 };
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).map_err(fail)?;
            }
            rustix::fs::utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(|err| fail(err.into()))?;
        }
        seen.push(dir);
    }
    for dir in seen {
        let set = rustix::fs::utimensat(CWD, &dir, &times, AtFlags::empty());
        set.map_err(|err| FsError::io("settle", &dir, err.into()))?;
    }
    Ok(())
}
