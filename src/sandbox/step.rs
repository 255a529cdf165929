//! Starting one step, in the sandbox and outside.

use super::How;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Starts a step in `dir` as a process group of its own, with empty standard input, `log` as output and error, and exactly `variables`.
pub(super) fn start(
    step: &[String],
    dir: &Path,
    variables: &BTreeMap<String, String>,
    log: OwnedFd,
) -> Result<Child, How> {
    let cannot = |err: io::Error| How::CannotStart(err.to_string());
    let (argv0, args) = step.split_first().ok_or(How::NotFound)?;
    let program = find(argv0, dir, variables.get("PATH").map_or("", |path| path)).ok_or(How::NotFound)?;
    let mut command = Command::new(&program);
    command.arg0(argv0).args(args).env_clear().envs(variables).current_dir(dir).process_group(0);
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(cannot)?).stderr(log);
    command.spawn().map_err(|err| match err.kind() {
        io::ErrorKind::NotFound => super::loader::missing(&program, dir).map_or_else(|| cannot(err), How::CannotStart),
        _ => cannot(err),
    })
}

/// What `execvp` would find: a name with a slash is a path (from `dir`), others are looked up in `path`.
fn find(argv0: &str, dir: &Path, path: &str) -> Option<PathBuf> {
    if argv0.contains('/') {
        let program = dir.join(argv0);
        return program.exists().then_some(program);
    }
    let executable = |program: &PathBuf| {
        let access = rustix::fs::access(program, rustix::fs::Access::EXEC_OK);
        program.is_file() && access.is_ok()
    };
    let named = path.split(':').filter(|_| !argv0.is_empty());
    named.map(|part| dir.join(part).join(argv0)).find(executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looked_up_in_the_given_path_only() {
        let dir = Path::new("/");
        assert_eq!(find("sh", dir, "/nowhere:/bin"), Some("/bin/sh".into()));
        assert_eq!(find("sh", dir, "bin"), Some("/bin/sh".into()), "relative to the working directory");
        assert_eq!(find("sh", dir, "/nowhere"), None);
        assert_eq!(find("bin/sh", dir, ""), Some("/bin/sh".into()));
        assert_eq!(find("bin", dir, "/"), None, "a directory is no program");
        assert_eq!(find("", dir, "/bin"), None);
    }
}
