//! This program started again under another `argv[0]`, as the id that builds run as.

use super::SandboxError;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(target_os = "linux")]
pub(super) const OUTER: &str = "countersign:sandbox-outer";
#[cfg(target_os = "linux")]
pub(super) const INNER: &str = "countersign:sandbox-inner";
const ENVIRONMENT: &str = "countersign:environment";

/// User and group that builds run as when root starts them: an id that no distribution gives out, so that it owns nothing.
const UNPRIVILEGED: u32 = 64193;

/// Set once this process is known to answer to a role. Without that, starting ourselves again would run the caller's `main`
/// again, and again.
static ANSWERS: AtomicBool = AtomicBool::new(false);

/// Takes the role that `argv[0]` asks for and does not return from it; returns at once in an ordinary process.
/// To be called first in `main`, while there is one thread.
pub fn enter_if_asked() {
    ANSWERS.store(true, Ordering::Relaxed);
    let name = std::env::args_os().next().unwrap_or_default();
    match name.to_str() {
        #[cfg(target_os = "linux")]
        Some(OUTER) => super::outer::main(),
        #[cfg(target_os = "linux")]
        Some(INNER) => super::inner::main(),
        Some(ENVIRONMENT) => {
            #[cfg(target_os = "linux")]
            let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
            let served = crate::environment::serve(&mut io::stdin().lock(), &mut io::stdout());
            std::process::exit(served.is_err().into())
        }
        _ => {}
    }
}

/// Host ids that a build runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildId {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Our own ids; when root started us, user and group 64193. Root in a user namespace where that id is not mapped is
/// an ordinary user of the host, and stays what it is.
pub fn build_id() -> BuildId {
    let own = BuildId { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() };
    let mapped = |file| match std::fs::read_to_string(file) {
        Ok(map) => map.lines().any(|line| {
            let mut fields = line.split_whitespace().map(|field| field.parse::<u64>().unwrap_or(0));
            let (first, _, count) = (fields.next(), fields.next(), fields.next());
            let first = first.unwrap_or(u64::MAX);
            (first..first.saturating_add(count.unwrap_or(0))).contains(&UNPRIVILEGED.into())
        }),
        Err(_) => true,
    };
    if own.uid == 0 && mapped("/proc/self/uid_map") && mapped("/proc/self/gid_map") {
        return BuildId { uid: UNPRIVILEGED, gid: UNPRIVILEGED };
    }
    own
}

/// Whose rights a process reads with: another one's cache of what was read is not for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Effective ids, then the supplementary groups, sorted.
    ids: Vec<u32>,
}

impl Reader {
    /// Ours.
    pub fn own() -> io::Result<Reader> {
        let groups = rustix::process::getgroups()?;
        let mut ids: Vec<u32> = groups.into_iter().map(rustix::process::Gid::as_raw).collect();
        ids.sort_unstable();
        ids.splice(0..0, [rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()]);
        Ok(Reader { ids })
    }

    #[cfg(test)]
    pub(crate) fn of(ids: &[u32]) -> Reader {
        Reader { ids: ids.to_owned() }
    }
}

/// Gives a directory and all in it to [`build_id`], when that is not us. Links are changed themselves, never followed.
pub fn own_build_dir(path: &Path) -> Result<(), crate::fs::FsError> {
    let id = build_id();
    if rustix::process::geteuid().as_raw() == id.uid {
        return Ok(());
    }
    give(path, id)
}

fn give(path: &Path, id: BuildId) -> Result<(), crate::fs::FsError> {
    let fail = |err| crate::fs::FsError::io("give to the build", path, err);
    std::os::unix::fs::lchown(path, Some(id.uid), Some(id.gid)).map_err(fail)?;
    if std::fs::symlink_metadata(path).map_err(fail)?.is_dir() {
        for entry in std::fs::read_dir(path).map_err(fail)? {
            give(&entry.map_err(fail)?.path(), id)?;
        }
    }
    Ok(())
}

/// This program again, with an empty environment, as the build's id.
pub(super) fn ourselves(role: &str) -> Result<Command, SandboxError> {
    use std::os::unix::process::CommandExt;
    if !ANSWERS.load(Ordering::Relaxed) {
        return Err(SandboxError::Helper("main() does not begin with sandbox::enter_if_asked()".into()));
    }
    // On Linux by the link, which works also where the build's id may not pass the directories above the file.
    #[cfg(target_os = "linux")]
    let mut command = Command::new("/proc/self/exe");
    #[cfg(not(target_os = "linux"))]
    let mut command = Command::new(
        std::env::current_exe().map_err(|why| SandboxError::Io { what: "find this program's file", why })?,
    );
    command.arg0(role).env_clear().current_dir("/");
    let id = build_id();
    if rustix::process::geteuid().as_raw() != id.uid {
        // std drops the supplementary groups with it.
        command.uid(id.uid).gid(id.gid);
    }
    Ok(command)
}

/// Starts [`ourselves`]; the usual failure is a program file that the build's id may not execute.
pub(super) fn start(mut command: Command) -> Result<KilledOnDrop, SandboxError> {
    command.spawn().map(KilledOnDrop).map_err(|err| {
        let id = build_id();
        SandboxError::Helper(format!("user {} of the host cannot execute this program's file: {err}", id.uid))
    })
}

/// A child that does not outlive its owner, whatever way the owner goes.
pub(super) struct KilledOnDrop(pub Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process that reads the environment with the build's id: [`crate::environment::serve`] on two pipes.
pub struct Helper {
    child: KilledOnDrop,
    /// To it.
    pub to: std::process::ChildStdin,
    /// From it.
    pub from: io::BufReader<std::process::ChildStdout>,
}

impl Helper {
    /// Starts it.
    pub fn environment() -> Result<Helper, SandboxError> {
        let mut command = ourselves(ENVIRONMENT)?;
        // Not in the group that Ctrl-C reaches, so that we are not told that it ended instead of why.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = start(command)?;
        match (child.0.stdin.take(), child.0.stdout.take()) {
            (Some(to), Some(from)) => Ok(Helper { child, to, from: io::BufReader::new(from) }),
            _ => Err(SandboxError::Helper("it has no pipes".into())),
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.0.id()
    }
}
