//! `--sandbox=none`: the steps without isolation.

use super::{How, Printed, Ran, SandboxError, Spec, StepRan, step};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Longest time between the end of a step and our noticing it.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs the steps in the build directory, as ourselves, with nothing kept from them: the variables and the time limit hold, no
/// control does. What a step leaves running in its process group is killed when it ends.
pub fn run_plain(spec: &Spec, output: &mut dyn FnMut(&[u8])) -> Result<Ran, SandboxError> {
    let begun = Instant::now();
    let mut steps = Vec::new();
    let mut printed = Printed::new(spec);
    for (at, argv) in spec.steps.iter().enumerate() {
        let started = Instant::now();
        let failed = |how| SandboxError::StepFailed {
            step: at,
            argv0: argv.first().cloned().unwrap_or_default(),
            how,
            met: Vec::new(),
        };
        let (log, writer) = std::io::pipe().map_err(|why| SandboxError::Io { what: "make a pipe", why })?;
        let child = step::start(argv, &spec.build_dir, &spec.variables, writer.into()).map_err(failed)?;
        let mut group = Group { child, killed: false };
        let chunks = read_aside(log);
        let mut ended = None;
        let status = loop {
            match chunks.recv_timeout(PAUSE) {
                // What is left of the step goes with `group`.
                Ok(chunk) => printed.more(&chunk, output)?,
                // Everybody closed it; the step may still run.
                Err(RecvTimeoutError::Disconnected) if ended.is_none() => std::thread::sleep(PAUSE / 10),
                // A daemon that left the group may hold the pipe for ever: silence after the end is the end.
                Err(_) if ended.is_some() => break ended,
                Err(_) => {}
            }
            let stopped = spec.stop.check();
            if stopped.is_err() || begun.elapsed() > spec.limits.time {
                group.kill();
                // The members of the group are gone when the last of them has closed the pipe.
                while let Ok(chunk) = chunks.recv_timeout(PAUSE) {
                    printed.more(&chunk, output)?;
                }
                stopped?;
                return Err(SandboxError::TimedOut { after: spec.limits.time });
            }
            if ended.is_none() {
                ended = group.child.try_wait().map_err(|why| SandboxError::Io { what: "wait for a step", why })?;
                if ended.is_some() {
                    group.kill();
                }
            }
        };
        match status.and_then(|status| status.code().map(How::Exit).or(status.signal().map(How::Signal))) {
            Some(How::Exit(0)) => steps.push(StepRan { seconds: started.elapsed().as_secs_f64() }),
            how => return Err(failed(how.unwrap_or(How::Exit(-1)))),
        }
    }
    Ok(Ran { steps, controls: super::controls(|_| false) })
}

/// Chunks of the pipe, at most a few ahead of the reader.
fn read_aside(mut log: std::io::PipeReader) -> Receiver<Vec<u8>> {
    let (send, receive) = sync_channel(4);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = log.read(&mut buffer) {
            if send.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receive
}

/// A step and its process group, killed when dropped; once, because the number may be another's afterwards.
struct Group {
    child: Child,
    killed: bool,
}

impl Group {
    fn kill(&mut self) {
        if std::mem::replace(&mut self.killed, true) {
            return;
        }
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
