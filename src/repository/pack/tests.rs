use super::*;
use flate2::Compression;
use flate2::write::ZlibEncoder;

const SHA1: gix::hash::Kind = gix::hash::Kind::Sha1;

fn number(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n > 127 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut out = ZlibEncoder::new(Vec::new(), Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// Type and length as before an object.
fn start(kind: u8, size: u64) -> Vec<u8> {
    let mut out = vec![(kind << 4) | (size & 15) as u8];
    if size > 15 {
        out[0] |= 0x80;
        out.extend(number(size >> 4));
    }
    out
}

fn blob(bytes: &[u8]) -> Vec<u8> {
    [start(3, bytes.len() as u64), zlib(bytes)].concat()
}

/// The base so many bytes before, as git writes it.
fn back(mut distance: u64) -> Vec<u8> {
    let mut out = vec![(distance & 127) as u8];
    loop {
        distance >>= 7;
        if distance == 0 {
            break;
        }
        distance -= 1;
        out.push((distance & 127) as u8 | 128);
    }
    out.reverse();
    out
}

fn delta_at(distance: u64, delta: &[u8]) -> Vec<u8> {
    [start(6, delta.len() as u64), back(distance), zlib(delta)].concat()
}

fn delta_of(id: &ObjectId, delta: &[u8]) -> Vec<u8> {
    [start(7, delta.len() as u64), id.as_bytes().to_vec(), zlib(delta)].concat()
}

/// A delta that puts `text` in place of all.
fn becomes(from: usize, text: &[u8]) -> Vec<u8> {
    [number(from as u64), number(text.len() as u64), vec![text.len() as u8], text.to_vec()].concat()
}

fn pack_of(objects: &[Vec<u8>], count: u32) -> Vec<u8> {
    let mut bytes = [&b"PACK\0\0\0\x02"[..], &count.to_be_bytes()].concat();
    objects.iter().for_each(|object| bytes.extend(object));
    let mut hash = gix::hash::hasher(SHA1);
    hash.update(&bytes);
    bytes.extend(hash.try_finalize().unwrap().as_bytes());
    bytes
}

fn id(text: &[u8]) -> ObjectId {
    gix::objs::compute_hash(SHA1, ObjectKind::Blob, text).unwrap()
}

fn indexed(bytes: &[u8]) -> Result<usize, String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p"), bytes).unwrap();
    index(&dir.path().join("p"), &dir.path().join("i"), SHA1)
}

fn refused(objects: &[Vec<u8>], why: &str) {
    let said = indexed(&pack_of(objects, objects.len() as u32)).expect_err(why);
    assert!(said.contains(why), "{said}");
}

/// What is counted of a pack, within a limit.
fn within(objects: &[Vec<u8>], left: u64) -> Result<Vec<Option<ObjectId>>, String> {
    let bytes = pack_of(objects, objects.len() as u32);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    file.rewind().unwrap();
    let mut work = Work { left, chains: 8 * left, limit: object_limit(0) };
    read(&file, bytes.len() as u64, SHA1, &mut work).map(|(entries, _)| entries.iter().map(|entry| entry.id).collect())
}

#[test]
fn deltas_of_every_kind() {
    let base = blob(b"one");
    let second = delta_at(base.len() as u64, &becomes(3, b"two"));
    // Before its base, and its base is a delta.
    let forward = delta_of(&id(b"three"), &becomes(5, b"four"));
    let third = delta_of(&id(b"two"), &becomes(3, b"three"));
    let objects = [forward, base.clone(), second, third.clone(), third, base];
    let want = [&b"four"[..], b"one", b"two", b"three", b"three", b"one"].map(|text| Some(id(text)));
    assert_eq!(within(&objects, 1000).unwrap(), want);
    assert_eq!(indexed(&pack_of(&objects, 6)), Ok(4));
    assert_eq!(indexed(&pack_of(&[], 0)), Ok(0));
    // Copies: of the last two bytes, then of all.
    let copies = [number(3), number(5), vec![0b1001_0001, 1, 2, 0b1001_0000, 3]].concat();
    assert_eq!(within(&[blob(b"one"), delta_of(&id(b"one"), &copies)], 99).unwrap()[1], Some(id(b"neone")));
}

#[test]
fn packs_that_lie() {
    let base = blob(b"one");
    let at = base.len() as u64;
    refused(&[delta_of(&id(b"nothing"), &becomes(3, b"two"))], "needs objects that are not in it");
    // Each the base of the other.
    refused(
        &[delta_of(&id(b"a"), &becomes(1, b"b")), delta_of(&id(b"b"), &becomes(1, b"a"))],
        "needs objects that are not in it",
    );
    refused(&[base.clone(), delta_at(at - 1, &becomes(3, b"two"))], "needs objects that are not in it");
    refused(&[base.clone(), delta_at(0, &becomes(3, b"two"))], "has no base");
    refused(&[base.clone(), delta_at(at + 1000, &becomes(3, b"two"))], "has no base");
    for delta in [
        becomes(4, b"two"),
        vec![],
        vec![0x80; 12],
        [number(3), number(2), vec![3, 1, 2, 3]].concat(),
        [number(3), number(4), vec![3, 1, 2, 3]].concat(),
        [number(3), number(4), vec![4, 1]].concat(),
        [number(3), number(1), vec![0]].concat(),
        [number(3), number(4), vec![0b1001_0000, 4]].concat(),
        [number(3), number(1), vec![0b1001_0001, 3, 1]].concat(),
        [number(3), number(1), vec![0b1000_0001]].concat(),
        [number(3), number(1), vec![0b1111_1111, 255, 255, 255, 255, 255, 255, 255]].concat(),
    ] {
        refused(&[base.clone(), delta_at(at, &delta)], "one of its deltas is damaged");
    }
    let huge = [number(3), number(1 << 40)].concat();
    refused(&[base.clone(), delta_at(at, &huge)], "too much for what it is");
    let huge = [number(3), number(120 << 20), vec![1, 1]].concat();
    refused(&[base.clone(), delta_at(at, &huge)], "one of its deltas is damaged");
    refused(&[[start(3, 1 << 40), zlib(b"x")].concat()], "too much for what it is");
    refused(&[[start(3, 2), zlib(b"x")].concat()], "not of the length");
    refused(&[[start(3, 0), zlib(b"x")].concat()], "not of the length");
    refused(&[[start(5, 1), zlib(b"x")].concat()], "unsupported");
    refused(&[[start(3, 1), b"no zlib".to_vec()].concat()], "at 12: ");
    for count in [0, 2, 3, u32::MAX] {
        assert!(indexed(&pack_of(std::slice::from_ref(&base), count)).is_err(), "{count}");
    }
    let mut bytes = pack_of(&[base], 1);
    *bytes.last_mut().unwrap() ^= 1;
    assert!(indexed(&bytes).unwrap_err().contains("its check sum does not hold"));
}

/// Many large objects of few bytes, chained and side by side: work has an end, and so has what is held.
#[test]
fn bombs() {
    let size = 1 << 20;
    let mut objects = vec![blob(&vec![0; size])];
    // Each begins with its number, so that no two are equal.
    for n in 0..200u32 {
        let delta = [
            number(size as u64),
            number(size as u64),
            vec![4],
            n.to_be_bytes().to_vec(),
            vec![0xf1, 4, 0xfc, 0xff, 0x0f],
        ];
        let distance = objects.last().map_or(0, Vec::len) as u64;
        objects.push(delta_at(distance, &delta.concat()));
    }
    let ids = within(&objects, 4 << 30).unwrap();
    assert!(ids.iter().all(Option::is_some));
    assert!(within(&objects, 10 << 20).unwrap_err().contains("its objects are too much for a pack of its length"));
    // Each from the one before it: the last one is two hundred of them to whoever asks for it.
    assert!(within(&objects, 300 << 20).unwrap_err().contains("its deltas are too much for a pack of its length"));
    let mut deep = vec![blob(b"x")];
    for _ in 0..=delta::MAX_DEPTH {
        let distance = deep.last().map_or(0, Vec::len) as u64;
        deep.push(delta_at(distance, &becomes(1, b"x")));
    }
    refused(&deep, "chained more than 4096 deep");
    deep.pop();
    assert!(indexed(&pack_of(&deep, deep.len() as u32)).is_ok());
}

/// A base is unpacked once for all that are made from it.
#[test]
fn a_base_is_held() {
    let size = 40 << 20;
    let mut objects = vec![blob(&vec![0; size])];
    let base = id(&vec![0; size]);
    for n in 0..12u32 {
        let delta = [number(size as u64), number(4), vec![4], n.to_be_bytes().to_vec()];
        objects.push(delta_of(&base, &delta.concat()));
    }
    let ids = within(&objects, 200 << 20).unwrap();
    assert_eq!(ids[5], Some(id(&4u32.to_be_bytes())));
}
