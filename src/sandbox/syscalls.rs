//! The system call filter: everything is allowed but what could open a way around the namespaces, or is a frequent source of
//! kernel defects and of no use to a build.
//!
//! `ptrace` is allowed: sanitizers, debuggers and some test suites need it, it reaches only processes of the same build, and the
//! filter is applied again to what a tracer changes. `personality` is allowed (`setarch`).
//! Calls of another architecture (32-bit programs on x86_64) end the process: the filter does not know their numbers.

use super::Purpose;
use super::outer::{Order, Report};
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};
use std::collections::BTreeMap;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// `open_tree_attr`, newer than the libc crate; one number on every architecture.
const SYS_OPEN_TREE_ATTR: i64 = 467;

/// Refused with EPERM.
const DENIED: &[i64] = &[
    // mounts and namespaces
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    SYS_OPEN_TREE_ATTR,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_chroot,
    // files by handle, past every directory
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // keys are not in a namespace
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // parts of the kernel that a build does not need
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    // the host's clock
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
];

/// Refused with ENOSYS, on which programs take the older way.
const ABSENT: &[i64] = &[
    // Its flags are in memory, where a filter cannot look.
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// What changes owners and ids. There is one id in a root that is configured; who asks for another is told that it has it.
const OWNERS: &[i64] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setgroups,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
];

const NEW_NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Families that a network namespace confines. AF_VSOCK, which reaches the host of a virtual machine, is not among them.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Installs the filters for this process and all that it starts.
pub(super) fn filter(order: &Order) -> Result<(), Report> {
    let refused = |why: String| Report::Unavailable { what: "filter system calls (seccomp)".into(), why };
    let watching = Watching { reads: order.watched, attempts: order.traced };
    for program in programs(order.purpose, watching).map_err(|err| refused(err.to_string()))? {
        apply_filter(&program).map_err(|err| refused(err.to_string()))?;
    }
    Ok(())
}

/// What is observed of the steps.
#[derive(Clone, Copy, Default)]
struct Watching {
    /// Times of access: reading without moving them is refused, as it is to anybody who does not own the file.
    reads: bool,
    /// A tracer is there, without which the calls that it is told of would fail.
    attempts: bool,
}

/// One program for each answer; the kernel takes the strictest.
fn programs(purpose: Purpose, watching: Watching) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let arg = |index, op, value: i64| SeccompCondition::new(index, SeccompCmpArgLen::Dword, op, value.cast_unsigned());
    let always = |calls: &[i64]| -> Rules { calls.iter().map(|call| (*call, Vec::new())).collect() };

    let mut denied = always(DENIED);
    let mut clone = Vec::new();
    for flag in NEW_NAMESPACES {
        let flag = i64::from(flag);
        clone.push(SeccompRule::new(vec![arg(0, SeccompCmpOp::MaskedEq(flag.cast_unsigned()), flag)?])?);
    }
    denied.insert(libc::SYS_clone, clone);
    // Typing into a terminal on somebody else's behalf.
    let mut ioctl = Vec::new();
    for request in [0x5412, 0x541c] {
        ioctl.push(SeccompRule::new(vec![arg(1, SeccompCmpOp::Eq, request)?])?);
    }
    denied.insert(libc::SYS_ioctl, ioctl);

    let mut absent = always(ABSENT);
    if watching.reads {
        let unnoticed = i64::from(libc::O_NOATIME);
        let has = |index| arg(index, SeccompCmpOp::MaskedEq(unnoticed.cast_unsigned()), unnoticed);
        denied.insert(libc::SYS_openat, vec![SeccompRule::new(vec![has(2)?])?]);
        #[cfg(target_arch = "x86_64")]
        denied.insert(libc::SYS_open, vec![SeccompRule::new(vec![has(1)?])?]);
        let set = arg(1, SeccompCmpOp::Eq, libc::F_SETFL.into())?;
        denied.insert(libc::SYS_fcntl, vec![SeccompRule::new(vec![set, has(2)?])?]);
        // Its flags are in memory.
        absent.insert(libc::SYS_openat2, Vec::new());
    }

    let others =
        FAMILIES.iter().map(|family| arg(0, SeccompCmpOp::Ne, (*family).into())).collect::<Result<Vec<_>, _>>()?;
    let others = SeccompRule::new(others)?;
    let families: Rules = [(libc::SYS_socket, vec![others.clone()]), (libc::SYS_socketpair, vec![others])].into();
    // Of netlink, what lists interfaces and routes. The rest talks to parts of the kernel that a build has no business with.
    let netlink = vec![arg(0, SeccompCmpOp::Eq, libc::AF_NETLINK.into())?, arg(2, SeccompCmpOp::Ne, 0)?];
    let protocols: Rules = [(libc::SYS_socket, vec![SeccompRule::new(netlink)?])].into();
    let (settled, refused) = core_limit(arg)?;

    let mut programs = Vec::new();
    for (rules, errno) in [
        (denied, libc::EPERM),
        (absent, libc::ENOSYS),
        (families, libc::EAFNOSUPPORT),
        (protocols, libc::EPROTONOSUPPORT),
        (refused, libc::EPERM),
        (settled, 0),
        (always(if purpose == Purpose::Install { OWNERS } else { &[] }), 0),
    ] {
        let answer = SeccompAction::Errno(errno.cast_unsigned());
        let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, answer, arch)?.try_into()?;
        programs.push(program);
    }
    if watching.attempts {
        let calls = told(arg)?;
        programs.push(SeccompFilter::new(calls, SeccompAction::Allow, SeccompAction::Trace(0), arch)?.try_into()?);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(first) = programs.first_mut() {
        refuse_x32(first);
    }
    Ok(programs)
}

/// What the tracer is told of: where a path or an address goes to the kernel.
fn told(
    arg: impl Fn(u8, SeccompCmpOp, i64) -> Result<SeccompCondition, seccompiler::BackendError>,
) -> Result<Rules, seccompiler::BackendError> {
    // With a descriptor and no path, there is nothing to tell; `fstat` is the most frequent of all.
    let empty = i64::from(libc::AT_EMPTY_PATH);
    let named = |at| Ok(vec![SeccompRule::new(vec![arg(at, SeccompCmpOp::MaskedEq(empty.cast_unsigned()), 0)?])?]);
    let addressed = SeccompCondition::new(4, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?;
    let mut rules: Rules = [
        libc::SYS_openat,
        libc::SYS_faccessat,
        libc::SYS_faccessat2,
        libc::SYS_readlinkat,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_connect,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_stat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_lstat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_access,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_readlink,
    ]
    .map(|call| (call, Vec::new()))
    .into();
    rules.insert(libc::SYS_newfstatat, named(3)?);
    rules.insert(libc::SYS_statx, named(2)?);
    rules.insert(libc::SYS_sendto, vec![SeccompRule::new(vec![addressed])?]);
    Ok(rules)
}

/// The limit of core files stays what `inner` made it: with another one, a build that crashes on purpose could start the host's own
/// handler of crashes, outside of everything. Programs that want no core files are told that they have their will, and they do.
fn core_limit(
    arg: impl Fn(u8, SeccompCmpOp, i64) -> Result<SeccompCondition, seccompiler::BackendError>,
) -> Result<(Rules, Rules), seccompiler::BackendError> {
    let core = |at| arg(at, SeccompCmpOp::Eq, i64::from(libc::RLIMIT_CORE));
    let pointer = |at, op| SeccompCondition::new(at, SeccompCmpArgLen::Qword, op, 0);
    let new = || pointer(2, SeccompCmpOp::Ne);
    let set = SeccompRule::new(vec![core(1)?, new()?, pointer(3, SeccompCmpOp::Eq)?])?;
    // Who wants to know the old one as well would read what nobody wrote.
    let exchange = SeccompRule::new(vec![core(1)?, new()?, pointer(3, SeccompCmpOp::Ne)?])?;
    let settled: Rules = [
        (libc::SYS_prlimit64, vec![set]),
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        (libc::SYS_setrlimit, vec![SeccompRule::new(vec![core(0)?])?]),
    ]
    .into();
    Ok((settled, [(libc::SYS_prlimit64, vec![exchange])].into()))
}

/// The x32 calls have the same architecture value as the 64-bit ones and numbers from 2³⁰: `mount` once more, by another number.
#[cfg(target_arch = "x86_64")]
fn refuse_x32(program: &mut BpfProgram) {
    // The instruction's type has no public name; a copy of any instruction serves to make one.
    let Some(any) = program.first().cloned() else { return };
    let instruction = |code: u32, jt, jf, k| {
        let mut made = any.clone();
        (made.code, made.jt, made.jf, made.k) = (code as u16, jt, jf, k);
        made
    };
    let load_number = instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0);
    let is_x32 = instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, 0x4000_0000);
    let refuse = instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned());
    program.splice(0..0, [load_number, is_x32, refuse]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    /// What the filters answer to a call, by the rules of seccomp(2): the strictest of their answers, which are errors or `ALLOW`.
    /// A kernel without x32 gives ENOSYS by itself; only this shows that the filter does.
    fn answer(watching: Watching, arch: u32, number: u32, args: [u64; 6]) -> u32 {
        let word = |at: u32| match at {
            0 => number,
            4 => arch,
            at => (args[(at as usize - 16) / 8] >> (if at % 8 == 0 { 0 } else { 32 })) as u32,
        };
        let run = |program: &BpfProgram| {
            let (mut at, mut a) = (0, 0);
            loop {
                let now = &program[at];
                at += 1;
                let jump = |holds: bool| usize::from(if holds { now.jt } else { now.jf });
                match u32::from(now.code) {
                    code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => a = word(now.k),
                    code if code == libc::BPF_ALU | libc::BPF_AND | libc::BPF_K => a &= now.k,
                    code if code == libc::BPF_JMP | libc::BPF_JA => at += now.k as usize,
                    code if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => at += jump(a == now.k),
                    code if code == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K => at += jump(a >= now.k),
                    code if code == libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K => at += jump(a > now.k),
                    code if code == libc::BPF_RET | libc::BPF_K => return now.k,
                    code => panic!("instruction {code:#x}"),
                }
            }
        };
        programs(Purpose::Build, watching).unwrap().iter().map(run).min_by_key(|answer| answer & 0xffff_0000).unwrap()
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn every_door_and_its_second_number() {
        const OURS: u32 = 0xc000_003e;
        const NOT: Watching = Watching { reads: false, attempts: false };
        let error = |errno: i32| libc::SECCOMP_RET_ERRNO | errno as u32;
        let call = |number: i64, first: u64, second: u64| answer(NOT, OURS, number as u32, [first, second, 0, 0, 0, 0]);
        assert_eq!(call(libc::SYS_read, 0, 0), ALLOW);
        assert_eq!(call(libc::SYS_mount, 0, 0), error(libc::EPERM));
        assert_eq!(call(libc::SYS_mount | 0x4000_0000, 0, 0), error(libc::ENOSYS));
        assert_eq!(call(libc::SYS_read | 0x4000_0000, 0, 0), error(libc::ENOSYS));
        assert_eq!(call(libc::SYS_clone3, 0, 0), error(libc::ENOSYS));
        assert_eq!(call(libc::SYS_clone, libc::SIGCHLD as u64, 0), ALLOW);
        for flag in NEW_NAMESPACES {
            let flags = (flag | libc::SIGCHLD) as u64;
            assert_eq!(call(libc::SYS_clone, flags, 0), error(libc::EPERM), "{flag:#x}");
            assert_eq!(call(libc::SYS_clone, flags | 1 << 40, 0), error(libc::EPERM), "the kernel ignores high bits");
        }
        assert_eq!(call(libc::SYS_ioctl, 0, 0x5401), ALLOW);
        assert_eq!(call(libc::SYS_ioctl, 0, 0x5412), error(libc::EPERM));
        assert_eq!(call(libc::SYS_ioctl, 0, 0xffff_ffff_0000_5412), error(libc::EPERM));
        for family in 0..64 {
            let own = FAMILIES.contains(&(family as libc::c_int));
            assert_eq!(
                call(libc::SYS_socket, family, 1),
                if own { ALLOW } else { error(libc::EAFNOSUPPORT) },
                "{family}"
            );
        }
        assert_eq!(call(libc::SYS_socket, 40 | 1 << 32, 1), error(libc::EAFNOSUPPORT));
        let reads = Watching { reads: true, attempts: false };
        let noatime = libc::O_NOATIME as u64;
        let set = libc::F_SETFL as u64;
        for (call, args) in [
            (libc::SYS_open, [0, noatime, 0]),
            (libc::SYS_openat, [0, 0, noatime | 1]),
            (libc::SYS_fcntl, [0, set, noatime]),
        ] {
            let call =
                |watching, args: [u64; 3]| answer(watching, OURS, call as u32, [args[0], args[1], args[2], 0, 0, 0]);
            assert_eq!((call(NOT, args), call(reads, args)), (ALLOW, error(libc::EPERM)));
            assert_eq!(call(reads, args.map(|arg| arg & !noatime)), ALLOW);
        }
        assert_eq!(answer(reads, OURS, libc::SYS_openat2 as u32, [0; 6]), error(libc::ENOSYS));
        assert_eq!(call(libc::SYS_socketpair, libc::AF_UNIX as u64, 1), ALLOW);
        assert_eq!(call(libc::SYS_socketpair, libc::AF_TIPC as u64, 1), error(libc::EAFNOSUPPORT));
        let netlink =
            |protocol| answer(NOT, OURS, libc::SYS_socket as u32, [libc::AF_NETLINK as u64, 3, protocol, 0, 0, 0]);
        assert_eq!((netlink(0), netlink(9)), (ALLOW, error(libc::EPROTONOSUPPORT)));
        let limit = |of: libc::__rlimit_resource_t, new, old| {
            answer(NOT, OURS, libc::SYS_prlimit64 as u32, [0, of.into(), new, old, 0, 0])
        };
        assert_eq!(limit(libc::RLIMIT_CORE, 1 << 40, 0), error(0), "taken for done");
        assert_eq!(limit(libc::RLIMIT_CORE, 1, 1 << 40), error(libc::EPERM));
        assert_eq!((limit(libc::RLIMIT_CORE, 0, 1), limit(libc::RLIMIT_AS, 1, 0)), (ALLOW, ALLOW));
        assert_eq!(call(libc::SYS_setrlimit, libc::RLIMIT_CORE.into(), 1), error(0));
        assert_eq!(call(libc::SYS_setrlimit, libc::RLIMIT_AS.into(), 1), ALLOW);
        assert_eq!(answer(NOT, 0x4000_0003, 20, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS, "a 32-bit call");
    }
}
