//! Follows every process of the steps with ptrace, which stops where the system call filter says so (`SECCOMP_RET_TRACE`): where a path or an
//! address goes to the kernel. Each call is looked at twice, before and after.
//!
//! Not to be had this way: real-time signals, which nix cannot pass on (the run ends with an error); stopping a process by a signal; a
//! debugger or leak checker of the build's own, since a process has one tracer.

use super::attempts::{Log, address, text};
use super::observed::{Address, Attempts};
use super::outer::Report;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use rustix::process::WaitOptions;
use std::collections::HashMap;
use std::io::{IoSliceMut, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, Instant};

const PAGE: usize = 4096;
/// Longest path, and longest command line that is kept.
const PATH: usize = 4096;
const COMMAND: usize = 500;
/// Longest address of a socket (`struct sockaddr_storage`).
const ADDRESS: usize = 128;

/// How the run ended.
pub(super) enum End {
    /// Process 1 ended, well or not.
    Ended(bool),
    /// It was killed, since the time was over.
    TimedOut,
}

/// Follows.
pub(super) struct Tracer {
    top: Pid,
    /// The host's `/proc`, which is out of reach by its name.
    proc: OwnedFd,
    signals: SignalFd,
    log: Log,
    calls: HashMap<i32, Call>,
    /// Threads to their process.
    threads: HashMap<i32, i32>,
    parents: HashMap<i32, i32>,
    /// What each runs.
    names: HashMap<i32, String>,
}

/// A call that has begun.
enum Call {
    Path { path: Vec<u8>, what: What },
    Address(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Open { reads: bool },
    Look,
    Execute,
}

/// The registers that matter.
struct Registers {
    call: i64,
    args: [u64; 6],
    result: i64,
}

/// The host's `/proc`, to be had before the new root covers it.
pub(super) fn proc() -> Result<OwnedFd, Report> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open("/proc", flags, rustix::fs::Mode::empty())
        .map_err(|err| Report::refused_io("open /proc")(err.into()))
}

impl Tracer {
    /// Begins with process 1 and all that it will start.
    pub(super) fn seize(top: Pid, proc: OwnedFd) -> Result<Tracer, Report> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGCHLD);
        let signals = set
            .thread_block()
            .and_then(|()| SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC));
        let signals = signals.map_err(Report::refused("wait for signals (signalfd), for --trace=all"))?;
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_TRACESECCOMP
            | Options::PTRACE_O_EXITKILL;
        ptrace::seize(top, options).map_err(Report::refused("trace the build (ptrace), for --trace=all"))?;
        Ok(Tracer {
            top,
            proc,
            signals,
            log: Log::default(),
            calls: HashMap::new(),
            threads: HashMap::new(),
            parents: HashMap::new(),
            names: HashMap::new(),
        })
    }

    /// Until process 1 ends, or is killed because `time` is over.
    pub(super) fn follow(mut self, time: Duration) -> Result<(End, Attempts), Report> {
        let begun = Instant::now();
        let mut late = false;
        // Threads and children of others are waited for only with __WALL.
        let options = WaitOptions::NOHANG | WaitOptions::from_bits_retain(libc::__WALL.cast_unsigned());
        loop {
            match rustix::process::wait(options) {
                Ok(Some((pid, status))) => {
                    let (pid, status) = (Pid::from_raw(pid.as_raw_nonzero().get()), status.as_raw());
                    if status & 0xff == 0x7f {
                        self.stopped(pid, status)?;
                        continue;
                    }
                    // An exit code of 0, or any other end.
                    if pid != self.top {
                        self.ended(pid, status == 0);
                    } else {
                        let end = if late { End::TimedOut } else { End::Ended(status == 0) };
                        return Ok((end, self.log.finish(self.top.as_raw())));
                    }
                }
                Ok(None) => {
                    let left = time.saturating_sub(begun.elapsed());
                    if left.is_zero() && !late {
                        late = true;
                        let _ = kill(self.top, Signal::SIGKILL);
                    }
                    let wait = if late {
                        PollTimeout::NONE
                    } else {
                        PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
                    };
                    match poll(&mut [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)], wait) {
                        Ok(_) | Err(Errno::EINTR) => while let Ok(Some(_)) = self.signals.read_signal() {},
                        Err(err) => return Err(Report::Broken(err.to_string())),
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(err) => return Err(Report::Broken(format!("the tracer lost process 1: {err}"))),
            }
        }
    }

    fn ended(&mut self, pid: Pid, well: bool) {
        let id = pid.as_raw();
        self.calls.remove(&id);
        self.names.remove(&id);
        // The end of a thread is not that of its process.
        if self.threads.remove(&id).is_none() {
            let parent = self.parents.remove(&id);
            self.log.ended(id, parent, well);
        }
    }

    fn stopped(&mut self, pid: Pid, status: i32) -> Result<(), Report> {
        self.learn(pid);
        let (signal, event) = ((status >> 8) & 0xff, status >> 16);
        let mut after = false;
        let mut pass = None;
        match event {
            0 if signal == libc::SIGTRAP | 0x80 => self.left(pid),
            0 => {
                let why = |_| Report::Unavailable {
                    what: format!("trace the build: a program was sent the signal {signal}"),
                    why: "real-time signals cannot be passed on".into(),
                };
                pass = Some(Signal::try_from(signal).map_err(why)?);
            }
            libc::PTRACE_EVENT_SECCOMP => after = self.entered(pid),
            libc::PTRACE_EVENT_EXEC => self.executed(pid),
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => self.forked(pid, event),
            _ => {}
        }
        let resumed = if after { ptrace::syscall(pid, None) } else { ptrace::cont(pid, pass) };
        match resumed {
            // It was killed meanwhile.
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(err) => Err(Report::Broken(format!("cannot let a process go on: {err}"))),
        }
    }

    fn process(&self, pid: Pid) -> i32 {
        self.threads.get(&pid.as_raw()).copied().unwrap_or(pid.as_raw())
    }

    /// Whose thread or child it is, where it stopped before the one who made it did: the kernel lets a new process run first.
    fn learn(&mut self, pid: Pid) {
        let id = pid.as_raw();
        if pid == self.top || self.threads.contains_key(&id) || self.parents.contains_key(&id) {
            return;
        }
        let status = String::from_utf8_lossy(&self.file(pid, "status", 4096)).into_owned();
        let number = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<i32>().ok());
        match (number("Tgid:"), number("PPid:")) {
            (Some(process), _) if process != id => drop(self.threads.insert(id, process)),
            (Some(_), Some(parent)) => drop(self.parents.insert(id, parent)),
            _ => {}
        }
    }

    fn forked(&mut self, pid: Pid, event: i32) {
        let Ok(new) = ptrace::getevent(pid) else { return };
        let (new, process) = (new as i32, self.process(pid));
        // clone3, whose flags are in memory, is refused.
        let flags = registers(pid).map(|registers| registers.args[0]).unwrap_or_default();
        if event == libc::PTRACE_EVENT_CLONE && flags & libc::CLONE_THREAD as u64 != 0 {
            self.threads.insert(new, process);
        } else {
            self.parents.insert(new, process);
        }
    }

    /// Whether its end is wanted.
    fn entered(&mut self, pid: Pid) -> bool {
        // Our own process 1 is none of the build.
        if pid == self.top {
            return false;
        }
        let Ok(registers) = registers(pid) else { return false };
        let call = self.call(pid, &registers);
        let wanted = call.is_some();
        call.into_iter().for_each(|call| drop(self.calls.insert(pid.as_raw(), call)));
        wanted
    }

    fn call(&self, pid: Pid, Registers { call, args, .. }: &Registers) -> Option<Call> {
        let path = |dir: Option<u64>, at: u64, what| {
            let path = string(pid, at)?;
            (!path.is_empty()).then(|| Call::Path { path: self.absolute(pid, dir, &path), what })
        };
        let open = |flags: u64| {
            let flags = flags as i32;
            What::Open { reads: flags & libc::O_PATH == 0 && flags & libc::O_ACCMODE != libc::O_WRONLY }
        };
        let socket = |at: u64, length: u64| {
            let raw = bytes(pid, at, (length as usize).min(ADDRESS))?;
            address(&raw).map(Call::Address)
        };
        match *call {
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => path(None, args[0], open(args[1])),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_stat | libc::SYS_lstat | libc::SYS_access | libc::SYS_readlink => path(None, args[0], What::Look),
            libc::SYS_openat => path(Some(args[0]), args[1], open(args[2])),
            libc::SYS_newfstatat
            | libc::SYS_statx
            | libc::SYS_faccessat
            | libc::SYS_faccessat2
            | libc::SYS_readlinkat => path(Some(args[0]), args[1], What::Look),
            libc::SYS_execve => path(None, args[0], What::Execute),
            libc::SYS_execveat => path(Some(args[0]), args[1], What::Execute),
            libc::SYS_connect => socket(args[1], args[2]),
            libc::SYS_sendto => socket(args[4], args[5]),
            _ => None,
        }
    }

    fn left(&mut self, pid: Pid) {
        let Some(call) = self.calls.remove(&pid.as_raw()) else { return };
        let Ok(Registers { result, .. }) = registers(pid) else { return };
        let process = self.process(pid);
        match call {
            Call::Path { path, what } => match i32::try_from(-result) {
                Ok(libc::ENOENT | libc::ENOTDIR) => {
                    let by = self.name(pid);
                    self.log.missing(&path, matches!(what, What::Open { .. }), what == What::Execute, process, &by);
                }
                _ if result >= 0 => {
                    self.log.found(&path);
                    if what == (What::Open { reads: true })
                        && let Some(real) = self.link(pid, &format!("fd/{result}"))
                    {
                        self.log.opened(&real);
                        if real == b"/etc/hosts" {
                            let command = self.command(pid);
                            self.log.resolves(command);
                        }
                    }
                }
                _ => {}
            },
            Call::Address(to) => {
                let by = self.name(pid);
                let result = if result >= 0 {
                    "connected".to_owned()
                } else {
                    Errno::from_raw(-result as i32).desc().to_owned()
                };
                self.log.reached(Address { to, by, result });
            }
        }
    }

    /// A program was loaded; the thread that asked for it has the process's number now.
    fn executed(&mut self, pid: Pid) {
        let before = ptrace::getevent(pid).map_or(pid.as_raw(), |before| before as i32);
        let call = self.calls.remove(&before);
        self.calls.remove(&pid.as_raw());
        self.threads.remove(&pid.as_raw());
        let Some(exe) = self.link(pid, "exe") else { return };
        let mut program = exe.clone();
        if let Some(Call::Path { path, .. }) = call {
            self.log.found(&path);
            // A script is not what was loaded. We have the sandbox's root since process 1 moved there.
            let path: &std::path::Path = std::path::Path::new(std::ffi::OsStr::from_bytes(&path));
            if let Ok(real) = path.canonicalize() {
                program = real.into_os_string().into_vec();
                self.log.opened(&program);
            }
        }
        // The program, or its interpreter, and what loads it.
        for line in self.file(pid, "maps", 1 << 20).split(|byte| *byte == b'\n') {
            if let Some(at) = line.iter().position(|byte| *byte == b'/') {
                self.log.opened(&line[at..]);
            }
        }
        let command = self.file(pid, "cmdline", PATH);
        let argv0 = command.split(|byte| *byte == 0).next().unwrap_or_default();
        self.log.ran(&program, argv0);
        self.names.insert(pid.as_raw(), text(&exe).unwrap_or_default());
    }

    /// What a process runs.
    fn name(&mut self, pid: Pid) -> String {
        if let Some(name) = self.names.get(&pid.as_raw()) {
            return name.clone();
        }
        let name = self.link(pid, "exe").and_then(|exe| text(&exe)).unwrap_or_default();
        self.names.insert(pid.as_raw(), name.clone());
        name
    }

    fn link(&self, pid: Pid, name: &str) -> Option<Vec<u8>> {
        let path = format!("{pid}/{name}");
        Some(rustix::fs::readlinkat(&self.proc, path, Vec::new()).ok()?.into_bytes())
    }

    fn file(&self, pid: Pid, name: &str, most: usize) -> Vec<u8> {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.proc, format!("{pid}/{name}"), flags, rustix::fs::Mode::empty());
        let mut content = Vec::new();
        let read = file.map(|file| std::fs::File::from(file).take(most as u64).read_to_end(&mut content));
        // What has gone meanwhile is nothing.
        drop(read);
        content
    }

    fn command(&self, pid: Pid) -> String {
        let line = self.file(pid, "cmdline", COMMAND);
        let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ")
    }

    /// The path from the root, with `.` and `..` taken away as text.
    fn absolute(&self, pid: Pid, dir: Option<u64>, path: &[u8]) -> Vec<u8> {
        let mut whole = Vec::new();
        if !path.starts_with(b"/") {
            whole = match dir.map(|dir| dir as i32) {
                Some(dir) if dir != libc::AT_FDCWD => self.link(pid, &format!("fd/{dir}")),
                _ => self.link(pid, "cwd"),
            }
            .unwrap_or_default();
        }
        whole.push(b'/');
        whole.extend_from_slice(path);
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in whole.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        [b"/", &parts.join(&b'/')[..]].concat()
    }
}

/// A string that ends with NUL, in the memory of a process.
fn string(pid: Pid, mut at: u64) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    while all.len() < PATH {
        // Not over the end of a page: the next one may not be there.
        let chunk = bytes(pid, at, PAGE - (at as usize % PAGE))?;
        match chunk.iter().position(|byte| *byte == 0) {
            Some(end) => {
                all.extend_from_slice(&chunk[..end]);
                return Some(all);
            }
            None => all.extend_from_slice(&chunk),
        }
        at = at.checked_add(chunk.len() as u64)?;
    }
    None
}

fn bytes(pid: Pid, at: u64, length: usize) -> Option<Vec<u8>> {
    let mut buffer = vec![0; length];
    let base = usize::try_from(at).ok()?;
    let read = process_vm_readv(pid, &mut [IoSliceMut::new(&mut buffer)], &[RemoteIoVec { base, len: length }]).ok()?;
    buffer.truncate(read);
    (read > 0).then_some(buffer)
}

#[cfg(target_arch = "x86_64")]
fn registers(pid: Pid) -> nix::Result<Registers> {
    let now = ptrace::getregs(pid)?;
    let args = [now.rdi, now.rsi, now.rdx, now.r10, now.r8, now.r9];
    Ok(Registers { call: now.orig_rax.cast_signed(), args, result: now.rax.cast_signed() })
}

#[cfg(target_arch = "aarch64")]
fn registers(pid: Pid) -> nix::Result<Registers> {
    let now = ptrace::getregset::<ptrace::regset::NT_PRSTATUS>(pid)?.regs;
    let args = [now[0], now[1], now[2], now[3], now[4], now[5]];
    Ok(Registers { call: now[8].cast_signed(), args, result: now[0].cast_signed() })
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn registers(_: Pid) -> nix::Result<Registers> {
    Err(Errno::ENOSYS)
}
