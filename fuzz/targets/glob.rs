//! A pattern, a line feed and a path. Matching ends, and the three questions about one path do not contradict each other.
#![no_main]

use countersign::glob::Glob;
use countersign::path::TreePath;

libfuzzer_sys::fuzz_target!(|data: &str| {
    let Some((pattern, path)) = data.split_once('\n') else { return };
    let (Ok(glob), Ok(path)) = (Glob::parse(pattern), TreePath::from_bytes(path.as_bytes())) else { return };
    assert_eq!(glob.to_string(), pattern);
    let begun = std::time::Instant::now();
    let (matches, covers) = (glob.matches(&path), glob.covers(&path));
    assert!(covers || !matches);
    if matches {
        let mut above = path.parent();
        while let Some(dir) = above {
            assert!(glob.reaches_below(&dir), "{glob} matches {path} and does not reach below {dir}");
            above = dir.parent();
        }
    }
    assert!(begun.elapsed().as_secs() < 5, "{glob} on {path}");
});
