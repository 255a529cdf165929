//! A terminal of one's own.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;

/// Its two ends: ours, and the terminal, which is no one's controlling terminal yet.
pub fn open() -> (File, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let no_ctty = rustix::fs::OFlags::NOCTTY.bits() as i32;
    (File::from(master), File::options().read(true).write(true).custom_flags(no_ctty).open(name).unwrap())
}
