use super::*;
use crate::repository::tests::{checkout, git, of_commit, read};
use crate::source::Source;
use std::io::{Cursor, Write as _};

fn header(bytes: &[u8]) -> Result<Header, String> {
    Header::read(&mut Cursor::new(bytes))
}

const ID: &str = "0123456789abcdef0123456789abcdef01234567";

#[test]
fn headers() {
    let good = format!("# v2 git bundle\n{ID} refs/heads/main\n{ID} HEAD\n\nPACK");
    let read = header(good.as_bytes()).unwrap();
    assert_eq!(read.hash, gix::hash::Kind::Sha1);
    assert_eq!(read.references.len(), 2);
    for revision in ["main", "HEAD", "refs/heads/main", ID, &ID.to_uppercase()] {
        assert_eq!(read.resolve(revision).map(|(id, hidden)| (id.to_string(), hidden)), Some((ID.to_owned(), false)));
    }
    for revision in ["", "mai", "heads", "0123456789", "main~1"] {
        assert_eq!(read.resolve(revision), None, "{revision}");
    }
    let other = "f".repeat(40);
    assert!(read.resolve(&other).unwrap().1);
    let long = "a".repeat(64);
    for version_3 in [
        format!("# v3 git bundle\n{ID} HEAD\n\n"),
        format!("# v3 git bundle\n@object-format=sha1\n{ID} HEAD\n\n"),
        format!("# v3 git bundle\n@object-format=sha256\n{long} HEAD\n\n"),
    ] {
        let hash = header(version_3.as_bytes()).unwrap().hash;
        assert_eq!(hash == gix::hash::Kind::Sha256, version_3.contains("sha256"), "{version_3}");
    }
    for (text, why) in [
        (String::new(), "it is cut off"),
        ("# v2 git bundle".to_owned(), "it is cut off"),
        ("PACK\n".to_owned(), "no git bundle"),
        ("# v4 git bundle\n".to_owned(), "another version"),
        ("# v2 git bundle\n\n".to_owned(), "names no branch or tag"),
        (format!("# v2 git bundle\n-{ID} message\n{ID} HEAD\n\n"), "needs commits that are not in it"),
        (format!("# v2 git bundle\n{ID} HEAD\n{ID} HEAD\n\n"), "names HEAD twice"),
        (format!("# v2 git bundle\n{ID} HEAD\n"), "it is cut off"),
        (format!("# v2 git bundle\n{} HEAD\n\n", &ID[1..]), "damaged"),
        (format!("# v2 git bundle\n{} HEAD\n\n", ID.to_uppercase()), "damaged"),
        (format!("# v2 git bundle\n{long} HEAD\n\n"), "damaged"),
        (format!("# v2 git bundle\n{ID}\n\n"), "damaged"),
        (format!("# v2 git bundle\n{ID} main\n\n"), "no branch or tag"),
        (format!("# v2 git bundle\n{ID} refs/heads/\x1b[31m\n\n"), "control characters"),
        (format!("# v2 git bundle\n@object-format=sha1\n{ID} HEAD\n\n"), "damaged"),
        (format!("# v3 git bundle\n@filter=blob:none\n{ID} HEAD\n\n"), "made with a filter"),
        (format!("# v3 git bundle\n@object-format=md5\n{ID} HEAD\n\n"), "object-format=md5"),
        (format!("# v3 git bundle\n@object-format=sha1\n@object-format=sha1\n{ID} HEAD\n\n"), "there twice"),
        (format!("# v3 git bundle\n{ID} HEAD\n@object-format=sha1\n\n"), "damaged"),
        (format!("# v2 git bundle\n{ID} refs/{}\n\n", "x".repeat(9000)), "too long"),
    ] {
        let said = header(text.as_bytes()).expect_err(&text);
        assert!(said.contains(why), "{text:?}: {said}");
    }
    assert_eq!(header(b"# v2 git bundle\n\xff\n").unwrap_err(), "its header is not UTF-8");
}

fn bundled(bundle: &Path, revision: &str) -> Result<Source, String> {
    let scratch = bundle.parent().unwrap();
    let before = std::fs::read_dir(scratch).unwrap().count();
    let source = Source::bundled(bundle, revision, scratch).map_err(|err| err.to_string());
    if source.is_err() {
        assert_eq!(std::fs::read_dir(scratch).unwrap().count(), before, "nothing stays");
    }
    source
}

#[test]
fn a_commit_from_a_bundle_is_that_of_the_repository() {
    for (format, version) in [("sha1", "2"), ("sha1", "3"), ("sha256", "3")] {
        let dir = checkout(format);
        let root = dir.path();
        let first = git(root, &["rev-parse", "HEAD"]);
        // So that there are deltas, also of deltas.
        for n in 0..5 {
            let text = (0..3000 + n).map(|line| format!("line {line} of {n}\n")).collect::<String>();
            std::fs::write(root.join("big"), text).unwrap();
            git(root, &["commit", "-q", "-a", "-m", &n.to_string()]);
        }
        git(root, &["tag", "-a", "-m", "t", "v1", "HEAD~2"]);
        git(root, &["checkout", "-q", "--orphan", "apart"]);
        git(root, &["commit", "-q", "-m", "apart"]);
        let apart = git(root, &["rev-parse", "HEAD"]);
        git(root, &["checkout", "-q", "main"]);
        let out = tempfile::tempdir().unwrap();
        let bundle = out.path().join("it");
        let option = format!("--version={version}");
        git(root, &["bundle", "create", "-q", &option, bundle.to_str().unwrap(), "HEAD", "main", "v1"]);
        for (name, same) in [("HEAD", "HEAD"), ("main", "main"), ("v1", "v1"), ("refs/tags/v1", "v1"), (&first, &first)]
        {
            let source = bundled(&bundle, name).unwrap();
            assert_eq!(read(&source), of_commit(root, same), "{format} {name}");
            let dest = tempfile::tempdir().unwrap();
            source.materialise(&of_commit(root, same), dest.path(), 1).unwrap();
            assert_eq!(read(&Source::open(dest.path(), 0).unwrap()), of_commit(root, same));
            assert_eq!(source.as_commit().unwrap().path(), bundle);
        }
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 1, "what was unpacked is gone");
        for none in ["apart", &apart, &first[..12], "HEAD~1", "v2", ""] {
            assert!(bundled(&bundle, none).unwrap_err().contains("it: revision"), "{none}");
        }
        let tree = git(root, &["rev-parse", "HEAD^{tree}"]);
        assert!(bundled(&bundle, &tree).unwrap_err().contains("no branch or tag of the bundle leads to it"));
        // What needs more than is in it.
        git(root, &["bundle", "create", "-q", &option, bundle.to_str().unwrap(), "main~2..main"]);
        assert!(bundled(&bundle, "main").unwrap_err().contains("needs commits that are not in it"));
    }
}

#[test]
fn damaged_bundles() {
    let dir = checkout("sha1");
    let root = dir.path();
    std::fs::write(root.join("big"), "one line of many\n".repeat(90_000)).unwrap();
    git(root, &["commit", "-q", "-a", "-m", "again"]);
    let out = tempfile::tempdir().unwrap();
    let bundle = out.path().join("it");
    git(root, &["bundle", "create", "-q", bundle.to_str().unwrap(), "main"]);
    let whole = std::fs::read(&bundle).unwrap();
    let want = read(&bundled(&bundle, "main").unwrap());
    for at in (0..whole.len()).step_by(5) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x21;
        std::fs::write(&bundle, &bytes).unwrap();
        assert!(bundled(&bundle, "main").is_err(), "a byte at {at}");
        std::fs::write(&bundle, &whole[..at]).unwrap();
        assert!(bundled(&bundle, "main").is_err(), "cut off at {at}");
    }
    let mut longer = std::fs::File::create(&bundle).unwrap();
    longer.write_all(&whole).unwrap();
    longer.write_all(b"x").unwrap();
    assert!(bundled(&bundle, "main").unwrap_err().contains("something follows its end"));
    std::fs::write(&bundle, &whole).unwrap();
    assert_eq!(read(&bundled(&bundle, "main").unwrap()), want);
}
