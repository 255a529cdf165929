//! `limits.processors`: how many processors the steps see, whatever the machine has. A parameter of the build and no wall: a step may ask the
//! kernel for more of them.

use super::SandboxError;
use super::outer::Report;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// An error where this process may not use as many.
pub(super) fn there_are(wanted: Option<u32>) -> Result<(), SandboxError> {
    let Some(wanted) = wanted else { return Ok(()) };
    let usable = usable().map_err(|err| SandboxError::Io { what: "count the processors", why: err.into() })?;
    let there = u32::try_from(usable.len()).unwrap_or(u32::MAX);
    if there < wanted { Err(SandboxError::Processors { wanted, there }) } else { Ok(()) }
}

fn usable() -> Result<Vec<usize>, Errno> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect())
}

/// Keeps this process, and all that it starts, on so many.
pub(super) fn keep_to(count: u32) -> Result<(), Report> {
    let chosen = || {
        let usable = usable()?;
        let mut set = CpuSet::new();
        // Builds beside one another begin at different ones.
        let first = std::process::id() as usize % usable.len().max(1);
        usable.iter().cycle().skip(first).take(count as usize).try_for_each(|cpu| set.set(*cpu))?;
        sched_setaffinity(Pid::from_raw(0), &set)
    };
    chosen().map_err(Report::refused(format!("keep the build to processors: {count}")))
}

/// Puts files in place of those of a fresh `/proc` by which programs count. `new` is the root that is being put together, a file system in memory.
pub(super) fn show(count: u32, new: &Path) -> Result<(), Report> {
    let proc = new.join("proc");
    let info = std::fs::read_to_string(proc.join("cpuinfo")).map_err(Report::refused_io("read /proc/cpuinfo"))?;
    for (name, text) in [("stat", Some(stat(count))), ("cpuinfo", first_of(count, &info))] {
        let Some(text) = text else { continue };
        // The one directory in which nothing of an environment ever is: a link of an image would lead to a file of the host.
        let made = new.join("dev").join(format!(".{name}"));
        let written = std::fs::File::create_new(&made).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(Report::refused_io(format!("make /proc/{name}")))?;
        let at = proc.join(name);
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
        let nothing = None::<&str>;
        mount(Some(&made), &at, nothing, MsFlags::MS_BIND, nothing)
            .and_then(|()| mount(nothing, &at, nothing, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | flags, nothing))
            .map_err(Report::refused(format!("put a file in place of /proc/{name}")))?;
        // What is mounted stays.
        std::fs::remove_file(&made).map_err(Report::refused_io(format!("remove what /proc/{name} was made of")))?;
    }
    Ok(())
}

/// A machine that has just begun, with so many processors.
fn stat(count: u32) -> String {
    let zeros = " 0".repeat(10);
    let mut text = format!("cpu {zeros}\n");
    for number in 0..count {
        let _ = writeln!(text, "cpu{number}{zeros}");
    }
    text + "intr 0\nctxt 0\nbtime 0\nprocesses 1\nprocs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n"
}

/// The first processors of `/proc/cpuinfo`; nothing where it has no such paragraphs.
fn first_of(count: u32, info: &str) -> Option<String> {
    let is_number = |line: &str| line.split(':').next().is_some_and(|name| name.trim() == "processor");
    let paragraphs: Vec<&str> =
        info.split("\n\n").filter(|text| text.lines().next().is_some_and(is_number)).take(count as usize).collect();
    (paragraphs.len() == count as usize).then(|| {
        let numbered = paragraphs.iter().enumerate().map(|(number, text)| {
            let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
            format!("processor\t: {number}\n{}\n", rest.trim_end())
        });
        numbered.collect::<Vec<_>>().join("\n") + "\n"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs() {
        let info = "processor\t: 4\nvendor_id\t: X\n\nprocessor\t: 7\nvendor_id\t: X\n\n";
        assert_eq!(first_of(1, info).unwrap(), "processor\t: 0\nvendor_id\t: X\n\n");
        assert_eq!(first_of(2, info).unwrap(), "processor\t: 0\nvendor_id\t: X\n\nprocessor\t: 1\nvendor_id\t: X\n\n");
        assert_eq!(first_of(3, info), None);
        assert_eq!(first_of(1, "vendor_id : IBM/S390\n# processors : 2\n"), None);
        assert_eq!(stat(2).lines().filter(|line| line.starts_with("cpu")).count(), 3);
    }
}
