//! Any text as a lock file of an ecosystem, and as a page of an index: what is named has a place, and is what it says of itself.
#![no_main]

use countersign::fetched::{Ecosystem, items, pip};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for kind in [Ecosystem::Cargo, Ecosystem::Pip, Ecosystem::Npm, Ecosystem::Go] {
        for item in items(kind, &[("file".to_owned(), data.to_owned())], "x86_64").unwrap_or_default() {
            assert!(kind.classes().contains(&item.class));
            let inside = |path: &String| !path.split('/').any(|part| matches!(part, "" | "." | ".."));
            assert!(item.path.as_ref().is_none_or(inside));
        }
    }
    for link in pip::links(&String::from_utf8_lossy(data)) {
        pip::target("simple/x", &link.href);
    }
});
