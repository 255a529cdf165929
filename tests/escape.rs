//! A hostile build tries every way out that tests/escape/escape.toml names: nothing gets out, nothing hangs, and the build's log or the error
//! says what was tried. Each way is also tried where it works, without the sandbox. Started by root, all of it runs for root and for an ordinary
//! user. No test harness, because the ways share what they are after.

#[cfg(target_os = "linux")]
mod common;

#[cfg(target_os = "linux")]
#[path = "escape/"]
mod linux {
    mod table;
    mod world;

    use super::common::Said;
    use std::process::ExitCode;
    use table::Way;
    use world::World;

    /// The ordinary user of the second round.
    const ORDINARY: u32 = 1234;

    pub fn main() -> ExitCode {
        let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
        let ways = table::read();
        assert!(ways.len() >= 30, "{}", ways.len());
        let root = rustix::process::getuid().is_root();
        let users = if root { vec![None, Some(ORDINARY)] } else { vec![None] };
        let mut failed = Vec::new();
        for user in users {
            let world = World::new(user);
            let (mut passed, mut tried) = (0, 0);
            for way in ways.iter().filter(|way| way.name.contains(&wanted)) {
                let (said, control) = (caught(|| inside(way, &world)), caught(|| outside(way, &world)));
                let word = |good: &Option<&'static str>| good.unwrap_or("FAILED");
                println!("uid {} {} ... {}, outside {}", world.uid, way.name, word(&said), word(&control));
                passed += usize::from(said.is_some());
                tried += usize::from(control == Some(WORKED));
                if said.is_none() || control.is_none() {
                    failed.push(format!("uid {}: {}", world.uid, way.name));
                }
            }
            println!("uid {}: {passed} ways lead nowhere; {tried} were seen to work outside", world.uid);
        }
        failed.iter().for_each(|way| println!("FAILED, see above: {way}"));
        if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    const WORKED: &str = "works";

    fn caught(part: impl FnOnce() -> &'static str) -> Option<&'static str> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(part)).ok()
    }

    /// In the sandbox: what is seen there and what is said, and that everything outside is as it was.
    fn inside(way: &Way, world: &World) -> &'static str {
        let project = world.project(way, &way.script);
        let begun = std::time::Instant::now();
        let (said, log) = project.build(&[]);
        assert!(begun.elapsed().as_secs() < 30, "{}: it nearly hangs", way.name);
        let told = || format!("{}\nlog:\n{log}\nstdout:\n{}\nstderr:\n{}", way.name, said.out, said.err);
        assert_eq!(said.code, way.exit, "{}", told());
        for text in &way.inside {
            assert!(log.contains(&world.fill(text)), "{text:?} is not in the log of {}", told());
        }
        for text in &way.never {
            assert!(!log.contains(&world.fill(text)) && !said.err.contains(text), "{text:?} is in that of {}", told());
        }
        for text in &way.says {
            assert!(said.err.contains(text), "{text:?} is not said of {}", told());
        }
        assert!(!said.err.contains('\x1b'), "{}", told());
        if way.exit == 0 {
            way.made.iter().for_each(|(name, text)| assert_eq!(&project.output(name), text, "{}", told()));
        } else {
            assert!(!project.has_outputs(), "{}", told());
        }
        project.is_gone(&told());
        world.is_untouched(&told());
        "nothing"
    }

    /// Without the sandbox: the way works, or it is said why that cannot be tried.
    fn outside(way: &Way, world: &World) -> &'static str {
        let Some(control) = &way.control else { return "not tried" };
        if control.root && world.uid != 0 {
            return "for root alone";
        }
        let project = world.project(way, control.script.as_ref().unwrap_or(&way.script));
        let (Said { code, out, err }, log) = project.build(&["--sandbox", "none"]);
        let told = || format!("{}, outside\nlog:\n{log}\nstdout:\n{out}\nstderr:\n{err}", way.name);
        let heard = world.heard();
        project.put_right();
        if control.absent.iter().any(|text| log.contains(&world.fill(text))) {
            return "not in this place";
        }
        assert_eq!(code, control.exit, "{}", told());
        for text in &control.inside {
            assert!(log.contains(&world.fill(text)), "{text:?} is not in the log of {}", told());
        }
        assert_eq!(heard, control.heard, "{}", told());
        control.made.iter().for_each(|(name, text)| assert_eq!(&project.output(name), text, "{}", told()));
        WORKED
    }
}

fn main() -> std::process::ExitCode {
    #[cfg(target_os = "linux")]
    return linux::main();
    #[cfg(not(target_os = "linux"))]
    std::process::ExitCode::SUCCESS
}
