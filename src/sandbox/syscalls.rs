//! The system call filter: everything is allowed but what could open a way around the namespaces, or is a frequent source of
//! kernel defects and of no use to a build.
//!
//! `ptrace` is allowed: sanitizers, debuggers and some test suites need it, it reaches only processes of the same build, and the
//! filter is applied again to what a tracer changes. `personality` is allowed (`setarch`).
//! Calls of another architecture (32-bit programs on x86_64) end the process: the filter does not know their numbers.

use super::outer::Report;
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
pub(super) fn filter() -> Result<(), Report> {
    let refused = |why: String| Report::Unavailable { what: "filter system calls (seccomp)".into(), why };
    for program in programs().map_err(|err| refused(err.to_string()))? {
        apply_filter(&program).map_err(|err| refused(err.to_string()))?;
    }
    Ok(())
}

/// One program for each answer; the kernel takes the strictest.
fn programs() -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
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

    let others =
        FAMILIES.iter().map(|family| arg(0, SeccompCmpOp::Ne, (*family).into())).collect::<Result<Vec<_>, _>>()?;
    let families: Rules = [(libc::SYS_socket, vec![SeccompRule::new(others)?])].into();

    let mut programs = Vec::new();
    for (rules, errno) in [(denied, libc::EPERM), (always(ABSENT), libc::ENOSYS), (families, libc::EAFNOSUPPORT)] {
        let answer = SeccompAction::Errno(errno.cast_unsigned());
        let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, answer, arch)?.try_into()?;
        programs.push(program);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(first) = programs.first_mut() {
        refuse_x32(first);
    }
    Ok(programs)
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
