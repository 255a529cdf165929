//! What the machine says of itself: clock, architecture, name. Only for run records and defaults.

use super::exit::{Exit, Failure};
use crate::statement::{Host, Time, Word};

/// The time now.
pub fn now() -> Result<Time, Failure> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    now.parse().map_err(|err| Failure::new(Exit::Internal, format!("the clock says {now:?}: {err}")))
}

/// `<arch>-<os>` of this machine, the default target.
pub fn target() -> Result<Word, Failure> {
    let text = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    text.parse().map_err(|err| Failure::new(Exit::Internal, format!("{text:?}: {err}")))
}

/// For the run record of a build that saw at most so many processors.
pub fn facts(limit: Option<u32>) -> Host {
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let processors = limit.map_or(processors, |limit| limit.min(processors));
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    Host { system: text(uname.sysname()), release: text(uname.release()), machine: text(uname.machine()), processors }
}
