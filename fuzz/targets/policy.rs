//! Any text as a policy; one that is read can be explained, and its keys are keys.
#![no_main]

use countersign::policy::Policy;

libfuzzer_sys::fuzz_target!(|data: &str| {
    let Ok(policy) = Policy::parse(data) else { return };
    assert!(!policy.explain().is_empty());
    policy.warnings();
    for signer in policy.signers() {
        assert_eq!(signer.key.to_string().parse(), Ok(signer.key));
        policy.independent(signer);
    }
});
