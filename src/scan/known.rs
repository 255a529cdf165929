//! Digests of files that were read before, found again by what `stat` says of them. Only [`super::environment`] takes any.

use crate::digest::Sha256;
use rustix::fd::AsFd;
use rustix::fs::Stat;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What tells one state of a file from another, as `stat` gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Looks {
    /// Device.
    pub device: u64,
    /// Inode.
    pub inode: u64,
    /// Length.
    pub size: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// When its content changed, in seconds and nanoseconds: what anybody may set who may write the file.
    pub modified: (i64, u32),
    /// When its content or its metadata changed: nobody sets it but the clock.
    pub changed: (i64, u32),
    /// Which mounting of the file system it is in, where `changed` has no fraction of a second; 0 elsewhere and where it cannot be told.
    pub mounted: u64,
}

impl Looks {
    #[allow(clippy::unnecessary_cast)] // the widths differ from system to system
    pub(super) fn of(stat: &Stat, mounts: &Mounts, dir: impl AsFd) -> Looks {
        let whole = stat.st_ctime_nsec == 0;
        Looks {
            mounted: if whole { mounts.of(stat.st_dev as u64, dir) } else { 0 },
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size as u64,
            mode: stat.st_mode as u32,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as u32),
        }
    }
}

/// What is known from before, and is to be known from now on. Called by any thread. `place` is the number of the regular file in the order
/// of the walk, from 0, which is the same each time while no name comes or goes; it says where to look first, and nothing else.
pub trait Known: Sync {
    /// The SHA-256 of the file that looks like that. With an answer the file is not opened.
    fn find(&self, place: usize, looks: &Looks) -> Option<Sha256>;

    /// A file was read, and looked the same before and after.
    fn learn(&self, place: usize, looks: Looks, sha256: Sha256);
}

/// Who is asked, by all walks of one environment.
pub(super) struct Asked<'k> {
    pub known: &'k dyn Known,
    /// The next place.
    next: AtomicUsize,
}

impl<'k> Asked<'k> {
    pub fn new(known: &'k dyn Known) -> Asked<'k> {
        Asked { known, next: AtomicUsize::new(0) }
    }

    /// The place of the next regular file. Called by one thread at a time, in the order of the walk.
    pub fn place(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// Numbers of mountings, by device: a file system that is mounted once more, be it another one under the same device number, has another.
#[derive(Default)]
pub(super) struct Mounts(Mutex<Vec<(u64, u64)>>);

impl Mounts {
    fn of(&self, device: u64, dir: impl AsFd) -> u64 {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, number)) = known.iter().find(|(known, _)| *known == device) {
            return *number;
        }
        let number = mounting(dir).unwrap_or(0);
        known.push((device, number));
        number
    }
}

/// The kernel never gives a number again, but begins anew when the machine does.
#[cfg(target_os = "linux")]
fn mounting(dir: impl AsFd) -> Option<u64> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    // Since Linux 6.8; the older number, which is given again, has another bit.
    const MNT_ID_UNIQUE: u32 = 0x4000;
    let wanted = StatxFlags::from_bits_retain(MNT_ID_UNIQUE);
    let mounted = statx(dir, "", AtFlags::EMPTY_PATH, wanted).ok().filter(|got| got.stx_mask & MNT_ID_UNIQUE != 0)?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digest = crate::digest::sha256(format!("{boot}{}", mounted.stx_mnt_id).as_bytes());
    digest.as_bytes().first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(not(target_os = "linux"))]
fn mounting(_: impl AsFd) -> Option<u64> {
    None
}

/// Whether the file is on a file system that sets the time of a change itself, at each change. One that is only made as a whole, such as
/// squashfs, has the times that its maker chose; one over a network, those of another clock, and perhaps of a while ago.
#[cfg(target_os = "linux")]
#[allow(clippy::unnecessary_cast)] // as above
pub(super) fn keeps_times(file: impl AsFd) -> bool {
    const KEEPS: [u32; 8] = [
        0xEF53,      // ext2, ext3, ext4
        0x5846_5342, // XFS
        0x9123_683E, // Btrfs
        0xF2F5_2010, // F2FS
        0x2FC1_2FC1, // ZFS
        0xCA45_1A4E, // bcachefs
        0x0102_1994, // tmpfs
        0x794C_7630, // overlayfs
    ];
    rustix::fs::fstatfs(file).is_ok_and(|fs| KEEPS.contains(&(fs.f_type as u32)))
}

/// Elsewhere nothing is known of the file system.
#[cfg(not(target_os = "linux"))]
pub(super) fn keeps_times(_: impl AsFd) -> bool {
    false
}
