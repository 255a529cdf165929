//! Any bytes as the control file of a Debian source package. What is read names files beside it, and one text has one meaning.
#![no_main]

use countersign::source::Dsc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(dsc) = Dsc::parse(data) else { return };
    assert!(!dsc.files.is_empty());
    for name in dsc.files.keys() {
        assert!(!name.is_empty() && !name.contains('/') && !name.starts_with('.'), "{name:?}");
    }
    // An empty line at the end changes nothing.
    assert_eq!(Dsc::parse(&[data, b"\n\n"].concat()).as_ref(), Ok(&dsc));
});
