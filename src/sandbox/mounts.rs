//! The root that the steps see: an empty one, into which the declared paths are bound.
//!
//! It is put together on top of `/proc`, the one directory that is there on every host and of which nothing is bound, and then becomes
//! `/`. Nothing of the host's tree stays reachable.

use super::Purpose;
use super::copies::{Copies, Moment};
use super::outer::{Order, Report};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, umask};
use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

const NEW: &str = "/proc";
const NOTHING: Option<&str> = None;
/// Files in each file system in memory; each costs memory that its size does not count.
const INODES: u32 = 1_000_000;

/// Files made for the purpose; the host's are not shown.
const ETC: [(&str, &str); 4] = [
    (
        "passwd",
        "root:x:0:0:root:/root:/bin/sh\nbuild:x:1000:1000:build:/home/build:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    ),
    ("group", "root:x:0:\nbuild:x:1000:\nnogroup:x:65534:\n"),
    ("hosts", "127.0.0.1 localhost build\n::1 localhost build\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\nnetworks: files\nservices: files\n"),
];

const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
const DEVICE_LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Puts the root together, all but `/proc`, which shows the processes of the one who mounts it. With copies of roots, the moment from which
/// on the steps have them.
pub(super) fn build(order: &Order) -> Result<Option<Moment>, Report> {
    umask(Mode::from_bits_truncate(0o022));
    // It tells the mounts of the namespace that it was opened in, whatever covers it.
    let mountinfo = fs::File::open("/proc/self/mountinfo").map_err(Report::refused_io("read mountinfo"))?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(NOTHING, "/", NOTHING, private, NOTHING).map_err(Report::refused("make the mounts private"))?;
    let build_dir = Path::new(&order.build_dir);
    let mut left = None;
    match order.purpose {
        Purpose::Build => {
            tmpfs("", "mode=0755")?;
            skeleton()?;
            let copies = copies(order)?;
            for (from, at) in &order.roots {
                let copy = copies.as_ref().and_then(|copies| copies.of(Path::new(at)));
                bind_root(copy.unwrap_or(Path::new(from)), Path::new(at))?;
            }
            left = copies.map(Copies::leave).transpose()?;
            bind(build_dir, &inside(Path::new("/build")))?;
        }
        Purpose::Install => {
            bind(build_dir, Path::new(NEW))?;
            for at in IN_MEMORY {
                own_directory(at).map_err(Report::refused_io(format!("make /{at}")))?;
                if at != "proc" {
                    tmpfs(at, "mode=0755")?;
                }
            }
            devices().map_err(Report::refused_io("fill the new root"))?;
        }
    }
    for device in DEVICES {
        let at = Path::new("/dev").join(device);
        bind(&at, &inside(&at))?;
    }
    let size = order.tmp.min(memory() / (2 * 3));
    let homes = [("home/build", "0755")];
    let homes = if order.purpose == Purpose::Build { &homes[..] } else { &[] };
    for (at, mode) in [("tmp", "1777"), ("dev/shm", "1777")].iter().chain(homes) {
        tmpfs(at, &format!("mode={mode},size={size},nr_inodes={INODES}"))?;
    }
    restrict(mountinfo, order)?;
    Ok(left)
}

/// Copies the roots that are to be watched.
fn copies(order: &Order) -> Result<Option<Copies>, Report> {
    if order.copies.is_empty() {
        return Ok(None);
    }
    // Gone before anything is bound there that could have this name.
    let at = inside(Path::new(".copies"));
    fs::create_dir(&at).map_err(Report::refused_io("make a directory for the copy of the environment"))?;
    let wanted = order.roots.iter().filter(|(_, place)| order.copies.contains(place));
    let roots = wanted.map(|(from, place)| (Path::new(from), Path::new(place)));
    Copies::make(&at, memory() / 2, roots).map(Some)
}

/// Directories of a root that is configured which are not its own.
const IN_MEMORY: [&str; 4] = ["dev", "proc", "run", "tmp"];

/// A directory of the root, and not a link that a package has put there.
fn own_directory(at: &str) -> io::Result<()> {
    let path = inside(Path::new(at));
    match fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
        Err(_) => fs::create_dir(path),
    }
}

/// Process 1 moves into it; the working directory is `/` afterwards.
pub(super) fn enter(order: &Order) -> Result<(), Report> {
    let proc_flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    // Refused where the host's own /proc is partly covered, as in many containers.
    mount(Some("proc"), &inside(Path::new("/proc")), Some("proc"), proc_flags, NOTHING)
        .map_err(Report::refused("mount a fresh /proc"))?;
    if let Some(count) = order.processors {
        super::processors::show(count, Path::new(NEW))?;
    }

    let moved = nix::unistd::chdir(NEW)
        .and_then(|()| nix::unistd::pivot_root(".", "."))
        .and_then(|()| umount2(".", MntFlags::MNT_DETACH))
        .and_then(|()| nix::unistd::chdir("/"));
    moved.map_err(Report::refused("change the root (pivot_root)"))?;
    let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    if order.purpose == Purpose::Build {
        flags |= MsFlags::MS_RDONLY;
    }
    mount(NOTHING, "/", NOTHING, flags, NOTHING).map_err(Report::refused("make the root read-only"))
}

/// Bytes of memory that this machine has: the three file systems in memory together get half of it at most, whatever a recipe asks for.
fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(info.mem_unit.into())
}

/// Where a path of the sandbox is while the root is put together.
fn inside(path: &Path) -> PathBuf {
    Path::new(NEW).join(path.strip_prefix("/").unwrap_or(path))
}

fn tmpfs(at: &str, options: &str) -> Result<(), Report> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), &inside(Path::new(at)), Some("tmpfs"), flags, Some(options))
        .map_err(Report::refused(format!("mount a tmpfs for /{at}")))
}

fn skeleton() -> Result<(), Report> {
    let made = || -> io::Result<()> {
        for dir in ["build", "dev", "etc", "home", "home/build", "proc", "tmp"] {
            fs::create_dir(inside(Path::new(dir)))?;
        }
        for (name, text) in ETC {
            fs::write(inside(Path::new("etc")).join(name), text)?;
        }
        devices()
    };
    made().map_err(Report::refused_io("fill the new root"))
}

fn devices() -> io::Result<()> {
    let dev = inside(Path::new("dev"));
    fs::create_dir(dev.join("shm"))?;
    for (name, target) in DEVICE_LINKS {
        symlink(target, dev.join(name))?;
    }
    DEVICES.iter().try_for_each(|name| fs::File::create(dev.join(name)).map(drop))
}

fn bind(from: &Path, to: &Path) -> Result<(), Report> {
    // Recursive, because the kernel does not show what a mount of the host's covers.
    let bound = mount(Some(from), to, NOTHING, MsFlags::MS_BIND | MsFlags::MS_REC, NOTHING);
    bound.map_err(|err| root_refused(from, err.into()))
}

fn root_refused(path: &Path, err: io::Error) -> Report {
    Report::Root { path: path.into(), why: err.to_string() }
}

/// Puts a root at its place: a link as a link, a file or directory bound.
fn bind_root(root: &Path, place: &Path) -> Result<(), Report> {
    let refuse = |why: &str| Report::Root { path: root.into(), why: why.to_owned() };
    let fail = |err| root_refused(root, err);
    let plain = |path: &Path| {
        let dots = path.components().any(|part| matches!(part, std::path::Component::ParentDir));
        path.is_absolute() && !dots && path.parent().is_some()
    };
    if !plain(root) || !plain(place) {
        return Err(refuse("it is not an absolute path without `..`"));
    }
    let own = |reserved: &str| place.starts_with(reserved) || Path::new(reserved).starts_with(place);
    if super::RESERVED.into_iter().any(own) {
        return Err(refuse("the sandbox has its own there"));
    }
    let meta = match fs::symlink_metadata(root) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta.map_err(fail)?,
    };
    let at = inside(place);
    let ours = fs::metadata(NEW).map_err(fail)?.dev();
    let mut above: Vec<&Path> = at.ancestors().skip(1).take_while(|dir| *dir != Path::new(NEW)).collect();
    above.reverse();
    for dir in above {
        match fs::symlink_metadata(dir) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(refuse("a directory above it is a link: name it by its real path")),
            // Only in the new root: what is bound already is the host's.
            Err(_) if dir.parent().and_then(|dir| fs::metadata(dir).ok()).is_some_and(|meta| meta.dev() == ours) => {
                fs::create_dir(dir).map_err(fail)?
            }
            Err(err) => return Err(fail(err)),
        }
    }
    let there = fs::symlink_metadata(&at).is_ok();
    // Nothing is made in what is bound already: that is the host's.
    let above_is_ours = at.parent().and_then(|dir| fs::metadata(dir).ok()).is_some_and(|meta| meta.dev() == ours);
    if !there && !above_is_ours {
        return Err(refuse("it would lie in another root, which has nothing of that name"));
    }
    if meta.is_symlink() {
        return if there { Ok(()) } else { symlink(fs::read_link(root).map_err(fail)?, &at).map_err(fail) };
    }
    if !there && meta.is_dir() {
        fs::create_dir(&at).map_err(fail)?;
    } else if !there && meta.is_file() {
        fs::File::create_new(&at).map(drop).map_err(fail)?;
    } else if !meta.is_dir() && !meta.is_file() {
        return Err(refuse("it is neither a file nor a directory nor a link"));
    }
    bind(root, &at)
}

/// One line of `/proc/self/mountinfo`.
struct Mount {
    id: u32,
    parent: u32,
    at: PathBuf,
    flags: MsFlags,
}

/// Takes write access and more from every mount in the new root. Flags that a mount has stay: the kernel has locked them, and refuses a
/// change that would drop one.
fn restrict(mut mountinfo: fs::File, order: &Order) -> Result<(), Report> {
    let mut text = Vec::with_capacity(1 << 16);
    mountinfo.read_to_end(&mut text).map_err(Report::refused_io("read mountinfo"))?;
    let mounts: Vec<Mount> = text.split(|byte| *byte == b'\n').filter_map(parse).collect();
    // The host has mounts of its own below /proc; ours are the ones above the new root's, in the tree of mounts.
    let base = mounts.iter().rev().find(|mount| mount.at == Path::new(NEW)).map(|mount| mount.id);
    let mut ours: HashSet<u32> = base.into_iter().collect();
    loop {
        let before = ours.len();
        ours.extend(
            mounts.iter().filter(|mount| ours.contains(&mount.parent)).map(|mount| mount.id).collect::<Vec<_>>(),
        );
        if ours.len() == before {
            break;
        }
    }
    let writable: &[&str] = match order.purpose {
        Purpose::Build => &["/build", "/tmp", "/home/build"],
        Purpose::Install => &["/run", "/tmp"],
    };
    for mount in mounts.iter().filter(|mount| ours.contains(&mount.id) && Some(mount.id) != base) {
        let place = Path::new("/").join(mount.at.strip_prefix(NEW).unwrap_or(&mount.at));
        let more = if place == Path::new("/dev/shm") {
            continue;
        } else if place.starts_with("/dev") {
            MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC
        } else if writable.iter().any(|writable| place.starts_with(writable))
            // Times of access are kept nowhere else.
            || order.copies.iter().any(|copy| place.starts_with(copy))
        {
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV
        } else {
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_RDONLY
        };
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | mount.flags | more;
        match nix::mount::mount(NOTHING, &mount.at, NOTHING, flags, NOTHING) {
            Ok(()) => {}
            // Another mount covers this one, or a directory that we may not pass: the steps cannot get there either.
            Err(nix::errno::Errno::ENOENT | nix::errno::Errno::EACCES | nix::errno::Errno::EINVAL) => {}
            Err(err) => return Err(root_refused(&place, err.into())),
        }
    }
    Ok(())
}

/// `ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS …`, octal escapes in the mount point (proc_pid_mountinfo(5)).
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let at = unescape(fields.nth(2)?);
    let mut flags = MsFlags::empty();
    for option in fields.next()?.split(|byte| *byte == b',') {
        flags |= match option {
            b"ro" => MsFlags::MS_RDONLY,
            b"nosuid" => MsFlags::MS_NOSUID,
            b"nodev" => MsFlags::MS_NODEV,
            b"noexec" => MsFlags::MS_NOEXEC,
            // Those about access times are kept by a remount that names none.
            _ => MsFlags::empty(),
        };
    }
    Some(Mount { id, parent, at: PathBuf::from(std::ffi::OsString::from_vec(at)), flags })
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        if let (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) = (first, tail) {
            out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
            rest = tail;
        } else {
            out.push(first);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_line_of_mountinfo() {
        let line = b"36 35 98:0 /mnt1 /mnt\\0402\\134 ro,noatime,nosuid master:1 - ext3 /dev/root rw,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!((mount.id, mount.parent), (36, 35));
        assert_eq!(mount.at.as_os_str().as_bytes(), b"/mnt 2\\");
        assert_eq!(mount.flags, MsFlags::MS_RDONLY | MsFlags::MS_NOSUID);
        assert!(parse(b"36 x 98:0 / / rw").is_none());
        assert!(parse(b"").is_none());
    }
}
