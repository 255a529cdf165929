//! Process 1 of the sandbox: makes it, then runs the steps.

use super::outer::{Order, Report, die_with_parent, log, map_ids, receive};
use super::{How, Met, Purpose, confine, mounts, processors, step, syscalls};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::personality::{self, Persona};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::path::Path;
use std::time::Instant;

/// User and group id inside.
const ID: u32 = 1000;
/// Open files: what a login has by default, and what a program may raise it to.
const FILES: (u64, u64) = (1024, 4096);
/// Stack: the usual soft limit, and the 64 MiB that GCC asks for. With the layout fixed, it decides where mappings begin.
const STACK: (u64, u64) = (8 << 20, 64 << 20);
/// Where a build can write, and how few blocks of it are none.
const WRITABLE: [&str; 4] = ["/build", "/tmp", "/home/build", "/dev/shm"];
const FEW: u64 = 8;
/// Processes that count towards the limit beside those that are left when a step ends: the two helpers, its first process and that one's child.
const AROUND: u64 = 4;

pub(super) fn main() -> ! {
    let report = match receive().and_then(|order| make(&order).and_then(|()| run(&order))) {
        Ok(()) => Report::Done,
        Err(report) => report,
    };
    report.send();
    // The end of process 1: the kernel kills whatever is left.
    std::process::exit(0)
}

/// The order matters: mounts and the network need the capabilities of the first user namespace, which the second takes away;
/// the filters come last because they would refuse the rest.
fn make(order: &Order) -> Result<(), Report> {
    // A session of our own, away from the terminal.
    let _ = nix::unistd::setsid();
    umask(Mode::from_bits_truncate(0o022));
    join(order)?;
    mounts::enter(order)?;
    limit(order)?;
    if let Some(count) = order.processors {
        processors::keep_to(count)?;
    }
    personality::set(Persona::ADDR_NO_RANDOMIZE).map_err(Report::refused("fix the address layout"))?;

    // A second user namespace: what owns the mounts and the network is above it.
    unshare(CloneFlags::CLONE_NEWUSER).map_err(Report::refused("make a second user namespace"))?;
    map_ids(if order.purpose == Purpose::Build { ID } else { 0 }, 0, 0)?;
    die_with_parent();
    // /proc/1/{exe,fd,mem,environ} are closed from here on: a step could otherwise reach this program's file and pipes. (Our
    // capabilities in the namespace close them too, until somebody drops those.)
    nix::sys::prctl::set_dumpable(false).map_err(Report::refused("close /proc/1"))?;
    nix::sys::prctl::set_no_new_privs().map_err(Report::refused("set no_new_privs"))?;
    let landlock = confine::restrict(order.purpose)?;
    if !order.copies.is_empty() && !landlock.files {
        let (what, why) = (
            "give the steps an environment that notes what is read",
            "it would be theirs to change: landlock is not enforced",
        );
        return Err(Report::Unavailable { what: what.into(), why: why.into() });
    }
    syscalls::filter(order)?;

    let enforced = |name: &&str| match *name {
        "landlock" => landlock.files,
        "landlock-scopes" => landlock.scopes,
        // A copy that is watched cannot be mounted read-only: landlock alone keeps it.
        "filesystem" => order.copies.is_empty(),
        _ => true,
    };
    Report::Ready(super::CONTROLS.iter().filter(|name| enforced(name)).map(|name| name.to_string()).collect()).send();
    Ok(())
}

/// Into the namespaces that the outer helper has made meanwhile. That of mounts comes last: the paths of the others end there.
fn join(order: &Order) -> Result<(), Report> {
    let number = order.namespaces_of.ok_or_else(|| Report::Broken("an order without namespaces".into()))?;
    let mut files = Vec::new();
    for name in ["net", "uts", "ipc", "cgroup", "mnt"] {
        let file = std::fs::File::open(format!("/proc/{number}/ns/{name}"));
        files.push(file.map_err(Report::refused_io(format!("open the namespace {name}")))?);
    }
    files.iter().try_for_each(|file| setns(file, CloneFlags::empty())).map_err(Report::refused("join the namespaces"))
}

fn limit(order: &Order) -> Result<(), Report> {
    let both = |value: u64| (value, value);
    for (resource, name, (soft, hard)) in [
        // No core files, and unlike 0 no program of the host's that takes them: core(5), "Piping core dumps to a program".
        (Resource::RLIMIT_CORE, "core size", both(1)),
        (Resource::RLIMIT_AS, "memory", both(order.memory.unwrap_or(RLIM_INFINITY))),
        (Resource::RLIMIT_FSIZE, "file size", both(order.file_size.unwrap_or(RLIM_INFINITY))),
        (Resource::RLIMIT_NPROC, "processes", both(order.processes)),
        (Resource::RLIMIT_NOFILE, "open files", FILES),
        (Resource::RLIMIT_STACK, "stack", STACK),
        // Where the host lets its users have it, a build could keep the processor from everybody else.
        (Resource::RLIMIT_RTPRIO, "real-time priority", both(0)),
        (Resource::RLIMIT_NICE, "priority", both(0)),
    ] {
        let refused = |err| Report::refused(format!("limit {name}"))(err);
        // The host's own limits cannot be raised; a lower one holds.
        let (_, most) = getrlimit(resource).map_err(refused)?;
        setrlimit(resource, soft.min(most), hard.min(most)).map_err(refused)?;
    }
    Ok(())
}

fn run(order: &Order) -> Result<(), Report> {
    let variables = order.environment();
    for (at, argv) in order.steps.iter().enumerate() {
        let failed = |how, met| Report::Failed { step: at, how, met };
        let begun = Instant::now();
        let log = log().map_err(|err| Report::Broken(err.to_string()))?;
        let dir = Path::new(if order.purpose == Purpose::Build { "/build" } else { "/" });
        let child = step::start(argv, dir, &variables, log).map_err(|how| failed(how, Vec::new()))?;
        let status = reap_until(Pid::from_raw(child.id().cast_signed()));
        let met = met(order);
        kill_the_rest();
        match status.map_err(|err| Report::Broken(err.to_string()))? {
            How::Exit(0) => Report::Step(begun.elapsed().as_secs_f64()).send(),
            how => return Err(failed(how, met)),
        }
    }
    Ok(())
}

/// Waits for one process; orphans that come to us meanwhile are buried too.
fn reap_until(wanted: Pid) -> nix::Result<How> {
    loop {
        match waitpid(None::<Pid>, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == wanted => return Ok(How::Exit(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == wanted => return Ok(How::Signal(signal as i32)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(err) => return Err(err),
        }
    }
}

/// The limits that a step stands at. A program that was told so seldom says it in the end.
fn met(order: &Order) -> Vec<Met> {
    let full = |path: &&str| {
        rustix::fs::statvfs(*path).is_ok_and(|at| at.f_bavail < FEW || at.f_files > 0 && at.f_favail == 0)
    };
    let mut met: Vec<Met> =
        WRITABLE.iter().filter(|path| full(path)).map(|path| Met::Full((*path).to_owned())).collect();
    let numbers = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let tasks = numbers.filter_map(|entry| Some(std::fs::read_dir(entry.path().join("task")).ok()?.count() as u64));
    if tasks.sum::<u64>() + AROUND >= order.processes {
        met.push(Met::Processes);
    }
    met
}

/// What a step left running: for process 1, -1 is everybody else in the namespace.
fn kill_the_rest() {
    loop {
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        match waitpid(None::<Pid>, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}
