//! Any bytes as a bundle. An envelope that is read is read again, the same, from what is printed; and nothing is added twice.
#![no_main]

use countersign::bundle::{Bundle, append};
use countersign::envelope::Envelope;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(bundle) = Bundle::parse(data) else { return };
    for envelope in bundle.envelopes() {
        assert_eq!(Envelope::parse(&envelope.to_line()).as_ref(), Ok(envelope));
    }
    let line = b"{}".to_vec();
    let once = append(data, &[line.clone()]).unwrap();
    assert_eq!(append(&once, &[line]).unwrap(), once);
});
