use super::*;
use crate::debian::testing::{gzip, keys::*};
use crate::digest;
use crate::lock::{Image, Kind, Roots};
use pgp::packet::SubpacketData;
use pgp::types::{Duration, KeyDetails as _};
use std::collections::HashMap;
use std::io::Cursor;

/// Years after the release file's `Valid-Until`.
const NOW: i64 = 2_000_000_000;

/// A suite `stable` of one component with the packages `a` and `b`, pinned.
struct World {
    parts: Vec<Part>,
    blobs: HashMap<Sha256, Vec<u8>>,
}

const DEBS: [(&str, &[u8]); 2] = [("a", b"bytes of a"), ("b", b"bytes of b, which are more")];

fn packages() -> String {
    let one = |(name, bytes): (&str, &[u8])| {
        let (size, digest) = (bytes.len(), digest::sha256(bytes));
        format!(
            "Package: {name}\nVersion: 1:2.0-1\nArchitecture: all\nFilename: pool/{name}.deb\nSize: {size}\nSHA256: {digest}\n\n"
        )
    };
    DEBS.map(one).concat()
}

fn text(index: &[u8]) -> String {
    format!(
        "Suite: stable\nCodename: trixie\nArchitectures: all amd64\nComponents: main\nDate: Sat, 12 Sep 2026 07:55:41 UTC\n\
         Valid-Until: Sat, 19 Sep 2026 07:55:41 UTC\nSHA256:\n {} {} main/binary-amd64/Packages.gz",
        digest::sha256(index),
        index.len()
    )
}

fn signed(text: &str, keys: &[&Key]) -> Vec<u8> {
    file(text, &keys.iter().map(|key| key.signs(text, key.text())).collect::<Vec<_>>().concat())
}

fn voucher(key: &Key) -> Voucher {
    format!("openpgp:{}", key.name().to_lowercase()).parse().unwrap()
}

impl World {
    fn of(release: Vec<u8>, index: Vec<u8>, key: &Key) -> World {
        let mut world = World { parts: Vec::new(), blobs: HashMap::new() };
        let by = voucher(key);
        for (name, bytes) in DEBS {
            world.add(Class::Deb, &format!("{name}:all"), "1:2.0-1", bytes.to_vec(), &by);
        }
        world.add(Class::Index, "stable/main", "-", index, &by);
        world.add(Class::Release, "stable", "-", release, &by);
        world
    }

    fn new() -> World {
        let (key, index) = (Key::new(1), gzip(packages().as_bytes()));
        World::of(signed(&text(&index), &[&key]), index, &key)
    }

    fn add(&mut self, class: Class, name: &str, version: &str, bytes: Vec<u8>, voucher: &Voucher) {
        let (sha256, size) = (digest::sha256(&bytes), bytes.len() as u64);
        self.blobs.insert(sha256, bytes);
        let (name, version, voucher) = (name.parse().unwrap(), version.parse().unwrap(), voucher.clone());
        self.parts.push(Part { class, name, version, sha256, size, voucher, place: "m:x".parse().unwrap() });
    }

    fn part(&mut self, class: Class) -> &mut Part {
        self.parts.iter_mut().find(|part| part.class == class).unwrap()
    }

    fn pinned(&self) -> Pinned {
        let tree = digest::sha256(b"").to_string().parse().unwrap();
        let image = Image { architecture: "x86_64".parse().unwrap(), tree, parts: self.parts.clone() };
        Pinned { kind: Kind::Debian, roots: Roots::default(), image: Some(image) }
    }

    fn check(&self, rings: &[Vec<u8>]) -> Result<Vouched, VouchError> {
        check(&self.pinned(), rings, NOW, &mut |part| match self.blobs.get(&part.sha256) {
            Some(bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
            None => Err(DepotError::NoMaterial(part.name.to_string())),
        })
    }

    /// The doubts with a keyring of the first key.
    fn doubts(&self) -> Vec<(String, Doubt)> {
        let found = self.check(&[Key::new(1).ring()]).unwrap();
        assert_eq!(found.by.keys.values().sum::<usize>() + found.by.vendor + found.doubts.len(), self.parts.len());
        found.doubts.into_iter().map(|(part, doubt)| (part.name.to_string(), doubt)).collect()
    }
}

#[test]
fn from_a_key_to_each_part() {
    let mut world = World::new();
    world.add(Class::Tool, "go", "1", b"tool".to_vec(), &Voucher::Vendor);
    let found = world.check(&[Key::new(1).ring()]).unwrap();
    let key = Key::new(1).name().to_lowercase();
    assert_eq!(found.doubts, []);
    let by = ByWhom { keys: BTreeMap::from([(key.clone(), 4)]), source: 0, vendor: 1 };
    assert_eq!(found.by, by);
    let [release] = &found.releases[..] else { panic!() };
    assert_eq!((release.suite.as_str(), &release.key), ("stable", &key));
    assert_eq!((release.date, release.valid_until), (1_789_199_741, Some(1_789_804_541)), "which is over, and said");
    // The same as the lock says it, and what of it is read.
    assert_eq!(claimed(&world.pinned()), by);
    assert_eq!(evidence(&world.pinned()).len(), 2);
    // Of several keyrings.
    assert_eq!(world.check(&[Key::new(9).ring(), Key::new(1).ring()]).unwrap().doubts, []);
    // A file that several signed: any of them may be the one that the lock names.
    let (key, index) = (Key::new(1), gzip(packages().as_bytes()));
    let both = signed(&text(&index), &[&Key::new(2), &key]);
    assert_eq!(World::of(both, index, &key).doubts(), []);
}

#[test]
fn a_key_that_is_not_the_one() {
    let found = World::new().check(&[Key::new(9).ring()]).unwrap();
    let (part, doubt) = &found.doubts[0];
    assert_eq!((part.class, found.doubts.len(), found.by.keys.len()), (Class::Release, 4, 0));
    assert!(doubt.is_of_trust() && doubt.to_string().contains("is not in the keyring"), "{doubt}");
    // The lock names another key than the one that signed.
    let index = gzip(packages().as_bytes());
    let other = World::of(signed(&text(&index), &[&Key::new(1)]), index.clone(), &Key::new(2));
    let doubts = other.doubts();
    assert_eq!(doubts[0], ("stable".into(), Doubt::OtherKey(vec![Key::new(1).name().to_lowercase()])));
    assert!(!doubts[0].1.is_of_trust());
    // The same, but a key that is not known signed too: nobody can tell.
    let both = World::of(signed(&text(&index), &[&Key::new(1), &Key::new(2)]), index.clone(), &Key::new(2));
    assert!(both.doubts()[0].1.is_of_trust());
    // One package alone is said to be of another key.
    let mut one = World::new();
    one.part(Class::Deb).voucher = voucher(&Key::new(2));
    assert_eq!(one.doubts(), [("a:all".into(), Doubt::NotInIndex)]);
    let mut one = World::new();
    one.part(Class::Index).voucher = voucher(&Key::new(2));
    assert_eq!(one.doubts()[0], ("stable/main".into(), Doubt::NotInRelease));
    // A text that was changed after it was signed.
    let forged = String::from_utf8(signed(&text(&index), &[&Key::new(1)])).unwrap().replace("trixie", "forky");
    let doubts = World::of(forged.into_bytes(), index.clone(), &Key::new(1)).doubts();
    assert!(matches!(&doubts[0].1, Doubt::NotSigned(why) if why.contains("is not of this text")), "{doubts:?}");
    let none = World::of(text(&index).into_bytes(), index.clone(), &Key::new(1)).doubts();
    assert!(matches!(&none[0].1, Doubt::NotSigned(why) if why.contains("not a signed text")), "{none:?}");
    // Another suite of the same signer.
    let text = text(&index).replace("stable", "unstable").replace("trixie", "sid");
    let doubts = World::of(signed(&text, &[&Key::new(1)]), index, &Key::new(1)).doubts();
    assert_eq!(doubts[0], ("stable".into(), Doubt::OtherSuite));
}

#[test]
fn a_key_that_has_come_to_its_end() {
    let key = Key::new(1);
    let base = || [packet(&key.public), packet(&user())].concat();
    let life = |seconds| SubpacketData::KeyExpirationTime(Duration::from_secs(seconds));
    let ring = |seconds| [base(), key.own(key.config(POSITIVE, 1, vec![flags(true), life(seconds)]))].concat();
    // Since it signed, and before.
    assert_eq!(World::new().check(&[ring(SIGNED + 1)]).unwrap().doubts, []);
    let found = World::new().check(&[ring(SIGNED - 1)]).unwrap();
    assert!(found.doubts[0].1.is_of_trust() && found.doubts[0].1.to_string().contains("expired"));
    // A revocation counts for what was signed before it, too, in whichever keyring it is.
    let revoked = key.of_itself(key.config(pgp::packet::SignatureType::KeyRevocation, SIGNED + 5, vec![]));
    for rings in
        [vec![[key.ring(), revoked.clone()].concat(), key.ring()], vec![key.ring(), [base(), revoked].concat()]]
    {
        let found = World::new().check(&rings).unwrap();
        assert!(found.doubts[0].1.is_of_trust() && found.doubts[0].1.to_string().contains("revoked"));
    }
    assert_eq!(key.public.created_at().as_secs(), BORN);
}

#[test]
fn parts_that_are_not_in_the_chain() {
    let key = Key::new(1);
    // An index that the release file does not have, or has for something else.
    let (index, other) = (gzip(packages().as_bytes()), gzip(format!("{}\n", packages()).as_bytes()));
    let good = text(&index);
    let doubts = World::of(signed(&good, &[&key]), other, &key).doubts();
    let names = |doubts: &[(String, Doubt)]| doubts.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(doubts[0], ("stable/main".into(), Doubt::NotInRelease));
    assert_eq!(names(&doubts), ["stable/main", "a:all", "b:all"]);
    for (from, to) in
        [("main/binary", "contrib/binary"), ("amd64/Packages", "i386/Packages"), ("Packages.gz", "Sources.gz")]
    {
        let doubts = World::of(signed(&good.replace(from, to), &[&key]), index.clone(), &key).doubts();
        assert_eq!(doubts[0], ("stable/main".into(), Doubt::NotInRelease), "{to}");
    }
    let longer = good.replace(&format!(" {} main", index.len()), &format!(" {} main", index.len() + 1));
    assert_eq!(World::of(signed(&longer, &[&key]), index, &key).doubts()[0].1, Doubt::NotInRelease);
    // No release file at all.
    let mut world = World::new();
    world.parts.pop();
    assert_eq!(world.doubts()[0], ("stable/main".into(), Doubt::NotInRelease));
    // One that is the vendor's own.
    let mut world = World::new();
    world.part(Class::Release).voucher = Voucher::Vendor;
    assert_eq!(world.doubts()[0], ("stable/main".into(), Doubt::NotInRelease));
    // Packages.
    let change = |act: &dyn Fn(&mut Part)| {
        let mut world = World::new();
        act(world.part(Class::Deb));
        let doubts = world.doubts();
        assert_eq!(doubts.len(), 1);
        doubts[0].1.clone()
    };
    assert_eq!(change(&|part| part.name = "c:all".parse().unwrap()), Doubt::NotInIndex);
    assert_eq!(change(&|part| part.name = "a:amd64".parse().unwrap()), Doubt::NotInIndex);
    assert_eq!(change(&|part| part.name = "a".parse().unwrap()), Doubt::NotInIndex);
    assert_eq!(change(&|part| part.version = "2.0-1".parse().unwrap()), Doubt::NotInIndex);
    let size = Doubt::Differs { what: "size", index: "10".into(), lock: "11".into() };
    assert_eq!(change(&|part| part.size += 1), size);
    assert!(matches!(change(&|part| part.sha256 = digest::sha256(b"")), Doubt::Differs { what: "digest", .. }));
    // What Debian says nothing of.
    let mut world = World::new();
    world.add(Class::Tool, "go", "1", b"tool".to_vec(), &voucher(&key));
    assert_eq!(world.doubts(), [("go".into(), Doubt::Class("tool"))]);
}

#[test]
fn evidence_that_cannot_be_had_or_read() {
    for class in [Class::Release, Class::Index] {
        let mut world = World::new();
        let digest = world.part(class).sha256;
        world.blobs.remove(&digest);
        let err = world.check(&[Key::new(1).ring()]).unwrap_err();
        assert!(matches!(&err, VouchError::Depot(DepotError::NoMaterial(_))), "{err}");
    }
    // A package is not read for that.
    let mut world = World::new();
    let digest = world.part(Class::Deb).sha256;
    world.blobs.remove(&digest);
    assert_eq!(world.doubts(), []);
    // One that is signed for and no list of packages.
    let (key, index) = (Key::new(1), gzip(b"Package: ../a\n"));
    let world = World::of(signed(&text(&index), &[&key]), index, &key);
    let err = world.check(&[key.ring()]).unwrap_err();
    assert!(matches!(&err, VouchError::Read { what, .. } if what == "stable/main"), "{err}");
    assert!(matches!(World::new().check(&[b"none".to_vec()]), Err(VouchError::Keyring(_))));
    // Longer than any.
    let mut world = World::new();
    world.part(Class::Release).size = 1 << 40;
    assert!(matches!(&world.doubts()[0].1, Doubt::NotSigned(why) if why.contains("longer")));
}
