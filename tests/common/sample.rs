//! A statement of a small build that nobody ran.

use countersign::digest::{self, TreeDigest, Wanted};
use countersign::path::TreePath;
use countersign::statement::*;

/// A subject of those bytes.
pub fn subject(name: &str, bytes: &[u8]) -> Subject {
    let content = digest::content(bytes, Wanted::SUBJECT);
    Subject { name: TreePath::from_escaped(name).unwrap(), sha256: content.sha256, blake3: content.blake3 }
}

/// `hello` 1.0 with the one file `out/hello`, built by that builder.
pub fn provenance(builder: String) -> Provenance {
    let word = |text: &str| text.parse().unwrap();
    Provenance {
        order: BuildOrder {
            source: SourceCommitment::Public {
                listing: TreeDigest::from_bytes([1; 32]),
                ids: SourceIds { git_tree: Some(digest::sha1(b"tree")), ..SourceIds::default() },
            },
            recipe: "name = \"hello\"\nversion = \"1.0\"\n[build]\nsteps = [[\"make\"]]\noutputs = [\"out\"]\nsource-date-epoch = 1\n\
                     [environment]\ndefault-roots = false\n"
                .into(),
            release: Release {
                product: word("hello"),
                version: word("1.0"),
                channel: word("stable"),
                target: word("x86_64-linux"),
                sequence: None,
                previous: None,
            },
            lock: "countersign-lock v1\nkind host\nsource-date-epoch 1\n".into(),
        },
        subjects: vec![subject("out/hello", b"hello\n")],
        observation: Observation::Isolated,
        controls: [("network".to_owned(), Control::Enforced)].into(),
        variables: [("HOME".to_owned(), "/home/build".to_owned())].into(),
        environment: Some(TreeDigest::from_bytes([4; 32])),
        environment_kind: EnvironmentKind::Host,
        outputs: TreeDigest::from_bytes([5; 32]),
        builder,
        claimed: None,
    }
}
