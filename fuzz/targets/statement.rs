//! Any bytes as a payload: provenance, verdict, run record, approval. What is read is written and read again, the same.
#![no_main]

use countersign::statement::Statement;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(statement) = Statement::decode(data) else { return };
    let written = match &statement {
        Statement::Provenance(provenance) => {
            provenance.order.digest();
            provenance.encode()
        }
        Statement::RunRecord(record) => record.encode(),
        Statement::Verdict(verdict) => verdict.encode(),
        Statement::Approval(approval) => approval.encode(),
        Statement::Other { .. } => return,
    };
    assert_eq!(Statement::decode(&written), Ok(statement));
});
