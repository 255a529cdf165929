//! The caller's side, and the outer helper: from the build's id into new namespaces.

use super::copies::{self, Moment};
use super::reexec::{INNER, KilledOnDrop, OUTER, build_id, ourselves, start};
use super::tracer::{self, End, Tracer};
use super::{Attempts, How, Met, Observed, Printed, Purpose, Ran, SandboxError, Spec, StepRan, loopback, mounts};
use crate::json;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Most bytes of one line between the processes.
const LINE: usize = 64 << 20;

/// A [`Spec`] on its way to the helpers. Variables are pairs: strict JSON does not take an object with the keys `http_proxy` and
/// `HTTP_PROXY`, an environment may.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    /// What `/proc` calls the outer helper, once it has the namespaces.
    pub namespaces_of: Option<u32>,
    pub build_dir: OsString,
    pub purpose: Purpose,
    /// On the host, and inside.
    pub roots: Vec<(OsString, OsString)>,
    pub variables: Vec<(String, String)>,
    pub steps: Vec<Vec<String>>,
    pub time: Duration,
    pub memory: Option<u64>,
    pub processes: u64,
    pub processors: Option<u32>,
    pub file_size: Option<u64>,
    pub tmp: u64,
    /// Whether anything is observed.
    pub watched: bool,
    /// Places of roots that are copied into memory.
    pub copies: Vec<OsString>,
    /// Whether a tracer follows.
    pub traced: bool,
}

/// What the helpers say, a line each.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The sandbox stands; the names that are enforced.
    Ready(Vec<String>),
    /// A step ended with 0 after so many seconds.
    Step(f64),
    /// All of them did.
    Done,
    Failed {
        step: usize,
        how: How,
        met: Vec<Met>,
    },
    TimedOut,
    Unavailable {
        what: String,
        why: String,
    },
    Root {
        path: OsString,
        why: String,
    },
    Broken(String),
    /// Beside one of the others, after it.
    Observed(Box<Observed>),
}

impl Report {
    /// A call that was refused while the sandbox was made.
    pub(super) fn refused(what: impl Into<String>) -> impl FnOnce(Errno) -> Report {
        move |err| Report::Unavailable { what: what.into(), why: err.desc().to_owned() }
    }

    /// The same for calls of std.
    pub(super) fn refused_io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Report {
        move |err| Report::Unavailable { what: what.into(), why: err.to_string() }
    }

    /// Writes it to standard output; when the reader is gone, so are we in a moment.
    pub(super) fn send(&self) {
        let mut line = json::print(self);
        line.push(b'\n');
        let mut out = io::stdout().lock();
        let _ = out.write_all(&line).and_then(|()| out.flush());
    }
}

/// [`super::run`] on Linux.
pub(super) fn run(
    spec: &Spec,
    output: &mut dyn FnMut(&[u8]),
    observed: &mut Option<Box<Observed>>,
) -> Result<Ran, SandboxError> {
    let fail = |what| move |why: io::Error| SandboxError::Io { what, why };
    super::processors::there_are(spec.limits.processors)?;
    let mut command = ourselves(OUTER)?;
    let (mut log, log_writer) = io::pipe().map_err(fail("make a pipe"))?;
    // A step that opens /dev/stderr opens the pipe anew, which takes permission.
    let id = build_id();
    if id.uid != nix::unistd::geteuid().as_raw() {
        std::os::unix::fs::fchown(&log_writer, Some(id.uid), Some(id.gid)).map_err(fail("give a pipe to the build"))?;
    }
    // Not in the group that Ctrl-C reaches: it ends the caller, whose death ends us.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log_writer).process_group(0);
    let mut child = start(command)?;
    let (Some(mut orders), Some(mut reports)) = (child.0.stdin.take(), child.0.stdout.take()) else {
        return Err(SandboxError::Helper("it has no pipes".into()));
    };
    let order = Order {
        namespaces_of: None,
        build_dir: spec.build_dir.clone().into(),
        purpose: spec.purpose,
        roots: spec.roots.iter().map(|(from, at)| (from.clone().into(), at.clone().into())).collect(),
        variables: spec.variables.clone().into_iter().collect(),
        steps: spec.steps.clone(),
        time: spec.limits.time,
        memory: spec.limits.memory,
        processes: spec.limits.processes,
        processors: spec.limits.processors,
        file_size: spec.limits.file_size,
        tmp: spec.limits.tmp,
        watched: spec.watch.is_some(),
        copies: spec.watch.iter().flat_map(|watch| watch.copies.iter().cloned().map(OsString::from)).collect(),
        traced: spec.watch.as_ref().is_some_and(|watch| watch.attempts),
    };
    // A helper that ended early says why in its reports. The pipe stays open: its end tells the helper that we are gone.
    let _ = orders.write_all(&order.line());

    let mut said = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    let (mut log_open, mut reports_open) = (true, true);
    let mut printed = Printed::new(spec);
    let wait = spec.stop.pause().map_or(PollTimeout::NONE, |pause| pause.try_into().unwrap_or(PollTimeout::NONE));
    while log_open || reports_open {
        if let Err(interrupted) = spec.stop.check() {
            end(&mut child, &mut log)?;
            return Err(interrupted.into());
        }
        let (log_ready, reports_ready) = {
            let wanted = |open| if open { PollFlags::POLLIN } else { PollFlags::empty() };
            let mut fds =
                [PollFd::new(log.as_fd(), wanted(log_open)), PollFd::new(reports.as_fd(), wanted(reports_open))];
            match poll(&mut fds, wait) {
                Ok(0) | Err(Errno::EINTR) => continue,
                result => result.map_err(|err| fail("wait for the helper process")(err.into()))?,
            };
            let ready = |fd: &PollFd| fd.any().unwrap_or(false);
            (log_open && ready(&fds[0]), reports_open && ready(&fds[1]))
        };
        if log_ready {
            match log.read(&mut buffer).map_err(fail("read the log of the build"))? {
                0 => log_open = false,
                count => {
                    if let Err(too_long) = printed.more(&buffer[..count], output) {
                        end(&mut child, &mut log)?;
                        return Err(too_long);
                    }
                }
            }
        }
        if reports_ready {
            match reports.read(&mut buffer).map_err(fail("read from the helper process"))? {
                0 => reports_open = false,
                count => said.extend_from_slice(&buffer[..count]),
            }
            if said.len() > LINE {
                return Err(SandboxError::Helper("it says too much".into()));
            }
        }
    }
    let status = child.0.wait().map_err(fail("wait for the helper process"))?;
    conclude(spec, &said, observed, || format!("it ended without a result ({status})"))
}

/// Kills everything. The pipe ends when the last process of the build did.
fn end(helper: &mut KilledOnDrop, log: &mut io::PipeReader) -> Result<(), SandboxError> {
    let ended = helper.0.kill().and_then(|()| io::copy(log, &mut io::sink()));
    ended.map(drop).map_err(|why| SandboxError::Io { what: "end the build", why })
}

/// What the reports come to.
fn conclude(
    spec: &Spec,
    said: &[u8],
    observed: &mut Option<Box<Observed>>,
    silence: impl FnOnce() -> String,
) -> Result<Ran, SandboxError> {
    let mut steps = Vec::new();
    let mut enforced = Vec::new();
    let mut reports = Vec::new();
    for line in said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match json::parse(line, LINE).map_err(|err| SandboxError::Helper(err.to_string()))? {
            Report::Observed(told) => *observed = Some(told),
            report => reports.push(report),
        }
    }
    for report in reports {
        return Err(match report {
            Report::Observed(_) => continue,
            Report::Ready(names) => {
                enforced = names;
                continue;
            }
            Report::Step(seconds) => {
                steps.push(StepRan { seconds });
                continue;
            }
            Report::Done if steps.len() == spec.steps.len() => {
                let controls = super::controls(|name| enforced.iter().any(|enforced| enforced == name));
                return Ok(Ran { steps, controls });
            }
            Report::Done => SandboxError::Helper("it left out a step".into()),
            Report::Failed { step, how, met } => {
                let argv0 = spec.steps.get(step).and_then(|argv| argv.first()).cloned().unwrap_or_default();
                SandboxError::StepFailed { step, argv0, how, met }
            }
            Report::TimedOut => SandboxError::TimedOut { after: spec.limits.time },
            Report::Unavailable { what, why } => SandboxError::Unavailable { what, why },
            Report::Root { path, why } if path == *spec.build_dir => SandboxError::BuildDir { path: path.into(), why },
            Report::Root { path, why } => SandboxError::Root { path: path.into(), why },
            Report::Broken(why) => SandboxError::Helper(why),
        });
    }
    Err(SandboxError::Helper(silence()))
}

/// The outer helper.
pub(super) fn main() -> ! {
    if let Err(report) = enter() {
        report.send();
    }
    std::process::exit(0)
}

fn enter() -> Result<(), Report> {
    let mut order = receive()?;
    // Before the user namespace, in which we may pass any directory of our own: what the fingerprint could not reach, the
    // build must not either.
    for path in order.roots.iter().map(|(from, _)| from).chain([&order.build_dir]) {
        match std::fs::symlink_metadata(path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => {
                return Err(Report::Root { path: path.clone(), why: err.to_string() });
            }
            _ => {}
        }
    }
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    namespaces(&[(CloneFlags::CLONE_NEWUSER, "user"), (CloneFlags::CLONE_NEWPID, "process")])?;
    map_ids(0, uid.as_raw(), gid.as_raw())?;
    die_with_parent();
    // Where memory runs out, a build is to go before whatever else runs here. Landlock keeps the steps from taking it back.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");

    // Loading a program takes as long as making the other namespaces and the root: process 1 loads meanwhile, and joins them.
    let mut inner = Command::new("/proc/self/exe");
    inner.arg0(INNER).env_clear().stdin(Stdio::piped());
    let mut inner = KilledOnDrop(inner.spawn().map_err(Report::refused_io("start a process in the new namespaces"))?);
    order.namespaces_of = Some(own_number().map_err(Report::refused_io("read /proc/self"))?);
    namespaces(&[
        (CloneFlags::CLONE_NEWNS, "mount"),
        (CloneFlags::CLONE_NEWNET, "network"),
        (CloneFlags::CLONE_NEWUTS, "host name"),
        (CloneFlags::CLONE_NEWIPC, "IPC"),
        (CloneFlags::CLONE_NEWCGROUP, "cgroup"),
    ])?;
    let proc = order.traced.then(tracer::proc).transpose()?;
    let left = mounts::build(&order)?;
    nix::unistd::sethostname("build").map_err(Report::refused("set the host name"))?;
    loopback::up().map_err(Report::refused("bring up the loopback"))?;

    let broken = |err: io::Error| Report::Broken(err.to_string());
    let begun = Instant::now();
    let mut orders = inner.0.stdin.take().ok_or_else(|| Report::Broken("no pipe".into()))?;
    // Before the filters, by which calls fail that no tracer is told of.
    let pid = rustix::process::Pid::from_child(&inner.0);
    let seize = |proc| Tracer::seize(nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get()), proc);
    let tracer = proc.map(seize).transpose()?;
    // When it ended early, it has said why.
    let _ = orders.write_all(&order.line());

    if let Some(tracer) = tracer {
        let (ended, attempts) = tracer.follow(order.time)?;
        // It was waited for: its number may be another's.
        std::mem::forget(inner);
        observe(&order, left, Some(attempts))?;
        return match ended {
            End::Ended(true) => Ok(()),
            End::Ended(false) => Err(Report::Broken("process 1 of the sandbox failed".into())),
            End::TimedOut => Err(Report::TimedOut),
        };
    }
    let end = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
        .map_err(|err| Report::refused_io("watch a process (pidfd_open)")(err.into()))?;
    loop {
        let still = order.time.saturating_sub(begun.elapsed());
        let wait = PollTimeout::try_from(still + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(end.as_fd(), PollFlags::POLLIN)], wait) {
            Ok(0) if begun.elapsed() >= order.time => {
                // Waiting for process 1 of a namespace is waiting for all that was in it.
                inner.0.kill().and_then(|()| inner.0.wait()).map_err(broken)?;
                observe(&order, left, None)?;
                return Err(Report::TimedOut);
            }
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => break,
            Err(err) => return Err(Report::Broken(err.to_string())),
        }
    }
    match inner.0.wait().map_err(broken)? {
        status if status.success() => observe(&order, left, None),
        status => Err(Report::Broken(format!("process 1 of the sandbox: {status}"))),
    }
}

/// Tells what was observed. Process 1 has moved into the root, and with it whoever shared its namespace of mounts and had the old root: us.
fn observe(order: &Order, left: Option<Moment>, attempts: Option<Attempts>) -> Result<(), Report> {
    if order.watched {
        let places: Vec<PathBuf> = order.copies.iter().map(PathBuf::from).collect();
        let look = |left| copies::look(Path::new("/"), &places, left);
        let copies = left.map(look).transpose();
        let copies = copies.map_err(Report::refused_io("look at what was read of the environment"))?;
        Report::Observed(Box::new(Observed { copies, attempts })).send();
    }
    Ok(())
}

/// Makes namespaces, all at once; where that is refused, one after the other, to say which it is.
fn namespaces(wanted: &[(CloneFlags, &str)]) -> Result<(), Report> {
    if unshare(wanted.iter().map(|(flag, _)| *flag).collect()).is_ok() {
        return Ok(());
    }
    for (flag, what) in wanted {
        let article = if what.starts_with('I') { "an" } else { "a" };
        unshare(*flag).map_err(Report::refused(format!("make {article} {what} namespace")))?;
    }
    Ok(())
}

/// Our process id as the host's `/proc` has it.
fn own_number() -> io::Result<u32> {
    let link = std::fs::read_link("/proc/self")?;
    link.to_str().and_then(|name| name.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// First thing in a helper: no inherited descriptor but the three pipes, and the order, if its writer still lives.
pub(super) fn receive() -> Result<Order, Report> {
    close_inherited();
    let mut line = Vec::new();
    let read = io::stdin().lock().take(LINE as u64).read_until(b'\n', &mut line);
    read.map_err(|err| Report::Broken(err.to_string()))?;
    let order = json::parse(&line, LINE).map_err(|err| Report::Broken(err.to_string()))?;
    die_with_parent();
    Ok(order)
}

/// From here on the parent's death is ours. The parent keeps the writing end of our standard input, so its end means that it died
/// before the kernel knew our wish. A new user namespace may clear the wish: ask again after each.
pub(super) fn die_with_parent() {
    let wished = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    let stdin = io::stdin();
    let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
    let polled = poll(&mut fds, PollTimeout::ZERO);
    let gone = fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP));
    if wished.is_err() || polled.is_err() || gone {
        std::process::exit(1);
    }
}

/// What our caller's caller left open (a shell's descriptor 3, say) would be open in the steps.
fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<i32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok())).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // The directory's own descriptor is among them and closed already.
        let _ = nix::unistd::close(number);
    }
}

/// In a new user namespace: `inside` stands for the one user and group of ours outside.
pub(super) fn map_ids(inside: u32, uid: u32, gid: u32) -> Result<(), Report> {
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{inside} {uid} 1")),
        ("gid_map", format!("{inside} {gid} 1")),
    ] {
        let path = format!("/proc/self/{file}");
        std::fs::write(&path, text).map_err(Report::refused_io(format!("write {path}")))?;
    }
    Ok(())
}

/// The log pipe, once more.
pub(super) fn log() -> io::Result<std::os::fd::OwnedFd> {
    let stderr: BorrowedFd<'_> = rustix::stdio::stderr();
    stderr.try_clone_to_owned()
}

impl Order {
    fn line(&self) -> Vec<u8> {
        let mut line = json::print(self);
        line.push(b'\n');
        line
    }

    /// The variables as a map.
    pub(super) fn environment(&self) -> BTreeMap<String, String> {
        self.variables.iter().cloned().collect()
    }
}
