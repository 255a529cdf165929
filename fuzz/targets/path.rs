//! Any bytes as a path, raw and escaped: each way back gives the same, and no path leaves the tree.
#![no_main]

use countersign::path::TreePath;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(path) = TreePath::from_bytes(data) {
        assert!(path.parts().all(|part| !part.is_empty() && part != b"." && part != b".."));
        assert_eq!(TreePath::from_escaped(&path.escaped()), Ok(path));
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(path) = TreePath::from_escaped(text)
    {
        assert_eq!(path.escaped(), text);
    }
});
