//! What comes from a mirror. The first byte says which reader gets the rest: control files, versions, relations, an index and what is resolved
//! from it, a keyring and a signed file with a NUL between them, a package, which is also unpacked.
#![no_main]

use countersign::debian::assemble::{Part, assemble};
use countersign::debian::control::Stanzas;
use countersign::debian::deb::Deb;
use countersign::debian::index::Index;
use countersign::debian::openpgp::Keyring;
use countersign::debian::relation;
use countersign::debian::release::Release;
use countersign::debian::resolve::{Base, Wanted, resolve};
use countersign::debian::version::Version;
use countersign::rootfs::{Builder, Limits};
use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    let begun = std::time::Instant::now();
    match kind % 6 {
        0 => control(data),
        1 => versions(data),
        2 => relations(data),
        3 => index(data),
        4 => release(data),
        _ => package(data),
    }
    assert!(begun.elapsed().as_secs() < 5);
});

fn control(data: &[u8]) {
    let mut stanzas = Stanzas::new(data);
    while let Ok(Some(stanza)) = stanzas.next() {
        let mut names = HashSet::new();
        for (name, value) in stanza.fields() {
            assert!(names.insert(name.to_ascii_lowercase()), "twice");
            assert!(!value.contains("\n\n") && !value.contains('\r'));
            assert_eq!(stanza.get(name), Some(value));
        }
    }
}

fn versions(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let list: Vec<Version> = text.split('\n').take(3).filter_map(|text| Version::parse(text).ok()).collect();
    for version in &list {
        assert_eq!(version, &Version::parse(version.as_str()).unwrap());
    }
    let [a, b, c] = &list[..] else { return };
    assert_eq!(a.cmp(b), b.cmp(a).reverse());
    assert!(!(a <= b && b <= c) || a <= c, "{a} {b} {c}");
}

fn relations(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(list) = relation::parse(text) else { return };
    let group = |group: &Vec<relation::Relation>| group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
    let printed = list.iter().map(group).collect::<Vec<_>>().join(", ");
    assert_eq!(relation::parse(&printed).as_ref(), Ok(&list));
}

fn index(data: &[u8]) {
    let mut index = Index::new("amd64");
    if index.add(0, data).is_err() {
        return;
    }
    let wanted = [Wanted::parse("a").unwrap()];
    if let Ok(set) = resolve(&index, Base::Required, &wanted) {
        assert!(set.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}

fn release(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (Some(ring), Some(file)) = (parts.next(), parts.next()) else { return };
    // A ring in binary form has NULs in it: the length of one stands before it.
    let split = ring.first().map_or(0, |length| usize::from(*length) * 4);
    let pair =
        if ring.starts_with(b"-") { Some((ring, file)) } else { data[1.min(data.len())..].split_at_checked(split) };
    let Some((ring, file)) = pair else { return };
    let Ok(ring) = Keyring::read(ring) else { return };
    if let Ok(release) = Release::open(file, &ring, 2_000_000_000) {
        assert!(!release.signers.is_empty());
    }
}

fn package(data: &[u8]) {
    let mut input = data;
    let Ok(deb) = Deb::open(Path::new("a.deb"), &mut input) else { return };
    let control = deb.control;
    let part = Part { name: &control.name, version: &control.version, architecture: &control.architecture };
    let place = tempfile::tempdir().unwrap();
    let limits = Limits { bytes: 1 << 20, names: 1 << 20, entries: 1000, ..Limits::default() };
    let builder = Builder::new(&place.path().join("spool"), limits).unwrap();
    let mut open = |_| Ok(Box::new(std::io::Cursor::new(data.to_vec())) as Box<dyn Read>);
    if let Ok((builder, _)) = assemble(builder, &[part], &mut open) {
        let _ = builder.finish(&place.path().join("root"), 0);
    }
}
