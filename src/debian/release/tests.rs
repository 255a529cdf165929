use super::*;
#[test]
fn times() {
    assert_eq!(time("Sat, 12 Sep 2026 07:55:41 UTC"), Some(1_789_199_741));
    assert_eq!(time("Thu, 01 Jan 1970 00:00:00 +0000"), Some(0));
    for text in [
        "Sun, 12 Sep 2026 07:55:41 UTC",
        "Sat, 12 Sep 2026 07:55:41",
        "Sat, 12 Sep 2026 07:55:41 CET",
        "Sat, 32 Sep 2026 07:55:41 UTC",
        "",
        "UTC",
        "12 Sep 2026 07:55:41 UTC",
    ] {
        assert_eq!(time(text), None, "{text}");
    }
}
