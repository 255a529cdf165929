//! The sandbox from inside and outside. No test harness: `main` must answer when the sandbox starts this program again. Started
//! by root, everything runs a second time as an ordinary user.

#[cfg(target_os = "linux")]
#[path = "sandbox/"]
mod linux {
    mod attempts;
    mod build;
    mod environment;
    mod failures;
    mod inside;
    mod layers;
    pub mod setup;
    mod trace;

    use std::process::ExitCode;

    pub fn main() -> ExitCode {
        let args: Vec<String> = std::env::args().skip(1).collect();
        if let [child, role, dir] = &args[..]
            && child == "--child"
        {
            return layers::child(role, dir.as_ref()).unwrap_or_else(|| failures::child(role, dir.as_ref()));
        }
        let wanted = args.iter().find(|arg| !arg.starts_with('-')).cloned().unwrap_or_default();
        let mut failed = setup::run_all(
            &wanted,
            &[
                inside::TESTS,
                attempts::TESTS,
                layers::TESTS,
                failures::TESTS,
                environment::TESTS,
                build::TESTS,
                trace::TESTS,
            ],
        );
        if setup::uid() == 0 && !args.iter().any(|arg| arg == "--once") {
            failed |= !setup::again_as_ordinary_user(&args);
        }
        if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

fn main() -> std::process::ExitCode {
    countersign::sandbox::enter_if_asked();
    #[cfg(target_os = "linux")]
    return linux::main();
    #[cfg(not(target_os = "linux"))]
    std::process::ExitCode::SUCCESS
}
