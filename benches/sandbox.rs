//! The start of the sandbox beside bubblewrap's: an empty step in each, in turn, A B A B …, from one process, with the same paths shown.
//!
//! ```text
//! benches/run --only sandbox            # builds it as it is shipped
//! sandbox [ROUNDS [ours | bwrap]]        # the program itself
//! ```
//!
//! With a name, one side alone, to be counted or traced. It links the whole program, since what is started again is this file: a smaller one would be faster than what is shipped.

#[cfg(target_os = "linux")]
mod linux {
    use countersign::sandbox::{self, Limits, Spec};
    use std::path::PathBuf;
    use std::process::{Command, ExitCode, Stdio};
    use std::time::{Duration, Instant};

    const ROUNDS: usize = 200;

    fn spec(build_dir: PathBuf) -> Spec {
        Spec {
            build_dir,
            purpose: Default::default(),
            roots: ["/bin", "/lib", "/lib64", "/usr"].map(|path| (path.into(), path.into())).into(),
            variables: [("PATH".to_owned(), "/usr/bin".to_owned())].into(),
            steps: vec![vec!["true".to_owned()]],
            limits: Limits {
                time: Duration::from_secs(60),
                memory: None,
                processes: 4096,
                processors: None,
                file_size: None,
                tmp: 64 << 20,
                outputs: 1 << 30,
                log: 1 << 30,
            },
            stop: Default::default(),
            watch: None,
        }
    }

    /// The same namespaces, ids and paths; bubblewrap has no limits, filters or second user namespace unless somebody gives it some.
    fn bwrap(build_dir: &std::path::Path) -> Command {
        let mut command = Command::new("bwrap");
        command.args([
            "--unshare-all",
            "--die-with-parent",
            "--new-session",
            "--clearenv",
            "--setenv",
            "PATH",
            "/usr/bin",
        ]);
        command.args(["--uid", "1000", "--gid", "1000", "--hostname", "build"]);
        command.args(["--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib"]);
        command.args(["--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
        command.args(["--tmpfs", "/home/build", "--bind"]).arg(build_dir).args(["/build", "--chdir", "/build", "true"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        command
    }

    fn timed(work: impl FnOnce()) -> f64 {
        let begun = Instant::now();
        work();
        begun.elapsed().as_secs_f64() * 1000.0
    }

    fn median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    pub fn main() -> ExitCode {
        let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
        let (first, only) = (args.next(), args.next());
        if first.as_deref() == Some("countersign") {
            return ExitCode::from(countersign::cli::main() as u8);
        }
        let rounds = first.and_then(|arg| arg.parse().ok()).unwrap_or(ROUNDS);
        let place = tempfile::tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let build = place.path().join("build");
        std::fs::create_dir(&build).unwrap();
        sandbox::own_build_dir(&build).unwrap();
        let spec = spec(build.clone());
        let ours = || timed(|| drop(sandbox::run(&spec, &mut |_| {}).unwrap()));
        let theirs = || timed(|| assert!(bwrap(&build).status().unwrap().success()));
        if let Some(only) = only {
            let times = (0..rounds).map(|_| if only == "ours" { ours() } else { theirs() }).collect();
            println!("{only} {:.2} ms", median(times));
            return ExitCode::SUCCESS;
        }
        let _ = (ours(), theirs());
        let pairs: Vec<(f64, f64)> = (0..rounds).map(|_| (ours(), theirs())).collect();
        let ratio = median(pairs.iter().map(|(ours, theirs)| ours / theirs).collect());
        let (a, b) = pairs.into_iter().unzip();
        println!(
            "{:<28} {:>9.1} ms {:>9.1} ms   {ratio:>5.2}   an empty step beside bwrap true, each started from one process",
            "start of the sandbox",
            median(a),
            median(b)
        );
        ExitCode::SUCCESS
    }
}

fn main() -> std::process::ExitCode {
    countersign::sandbox::enter_if_asked();
    #[cfg(target_os = "linux")]
    return linux::main();
    #[cfg(not(target_os = "linux"))]
    std::process::ExitCode::SUCCESS
}
