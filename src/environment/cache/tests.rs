use super::*;
use crate::digest::{Wanted, content};
use crate::path::TreePath;
use crate::tree::{Entry, Node, TreeKind};

const NOW: Moment = (1_000_000, 500);
const LATER: Moment = (2_000_000, 0);

fn memory(given: &[u8], now: Moment) -> (Memory, bool) {
    Memory::new(given.to_owned(), &["/r".into()], &Reader::own().unwrap(), now)
}

fn looks(inode: u64) -> Looks {
    Looks { device: 1, inode, size: 10, mode: 0o100_644, modified: (900_000, 0), changed: (900_000, 7), mounted: 0 }
}

fn sha256(n: u8) -> Sha256 {
    Sha256::from_bytes([n; 32])
}

/// A tree of a directory, a link and a file.
fn tree(dir: u32, target: &str, name: &str, text: &str) -> Tree {
    let entry = |path: &str, node| Entry { path: TreePath::from_bytes(path.as_bytes()).unwrap(), node };
    let file = Node::File { perm: 0o644, content: content(text.as_bytes(), Wanted::default()) };
    let link = Node::Link { target: target.as_bytes().into() };
    let entries = vec![entry("d", Node::Dir { perm: dir }), entry("d/l", link), entry(name, file)];
    Tree::new(TreeKind::Environment, entries).unwrap()
}

fn plain() -> Tree {
    tree(0o755, "to", "f", "text")
}

fn ended(memory: Memory) -> (u64, Option<Vec<u8>>) {
    let finished = memory.finish(&plain());
    assert_eq!(finished.digest, plain().digest());
    (finished.cached, finished.new)
}

fn cache(of: &[(Looks, u8)]) -> Vec<u8> {
    let (memory, good) = memory(b"", NOW);
    assert!(good, "nothing is no bad cache");
    of.iter().enumerate().for_each(|(place, (looks, n))| memory.learn(place, *looks, sha256(*n)));
    ended(memory).1.unwrap()
}

fn records(cache: &[u8]) -> usize {
    let records = cache.len() - HEAD - SUM;
    assert_eq!(records % RECORD, 0);
    records / RECORD
}

#[test]
fn the_same_is_found_and_anything_else_is_not() {
    let bytes = cache(&[(looks(5), 1), (looks(3), 2), (looks(4), 3)]);
    assert_eq!(bytes.len(), HEAD + 3 * RECORD + SUM);
    let (same, good) = memory(&bytes, NOW);
    assert!(good);
    // Threads do not keep the order.
    assert_eq!([(1, 3), (2, 4), (0, 5)].map(|(at, n)| same.find(at, &looks(n))), [2, 3, 1].map(|n| Some(sha256(n))));
    assert_eq!(ended(same), (3, None), "the same cache is not written again");
    let was = looks(3);
    let (memory, _) = memory(&bytes, LATER);
    for other in [
        Looks { device: 2, ..was },
        Looks { inode: 6, ..was },
        Looks { size: 11, ..was },
        Looks { mode: 0o100_755, ..was },
        Looks { modified: (900_000, 1), ..was },
        Looks { modified: (900_001, 0), ..was },
        Looks { changed: (900_000, 8), ..was },
        Looks { changed: (900_001, 7), ..was },
        Looks { mounted: 1, ..was },
    ] {
        assert_eq!(memory.find(1, &other), None, "{other:?}");
    }
    assert_eq!(memory.find(1, &was), Some(sha256(2)));
    memory.learn(2, Looks { size: 11, ..looks(4) }, sha256(9));
    let (hits, new) = ended(memory);
    assert_eq!((hits, records(&new.unwrap())), (1, 2), "what is gone is forgotten");
}

#[test]
fn a_place_says_only_where_to_look_first() {
    let bytes = cache(&[(looks(5), 1), (looks(3), 2), (looks(4), 3), (looks(9), 4)]);
    // Two names that are new, one that is gone, and files in each other's place.
    let (now, _) = memory(&bytes, LATER);
    now.learn(0, looks(7), sha256(7));
    let found = [(1, 5), (2, 4), (3, 3), (4, 8), (5, 1)].map(|(at, n)| now.find(at, &looks(n)));
    assert_eq!(found, [Some(sha256(1)), Some(sha256(3)), Some(sha256(2)), None, None]);
    now.learn(4, looks(8), sha256(8));
    let (hits, new) = ended(now);
    let new = new.unwrap();
    assert_eq!((hits, records(&new)), (3, 5));
    // In the new order, by place.
    let (again, _) = memory(&new, LATER);
    let found = [(0, 7), (1, 5), (2, 4), (3, 3), (4, 8)].map(|(at, n)| again.find(at, &looks(n)));
    assert_eq!(found, [7, 1, 3, 2, 8].map(|n| Some(sha256(n))));
    assert_eq!(ended(again), (5, None));
    // A place far outside of it.
    assert_eq!(memory(&new, LATER).0.find(usize::MAX, &looks(5)), Some(sha256(1)));
}

#[test]
fn fewer_files_are_another_cache() {
    let bytes = cache(&[(looks(5), 1), (looks(3), 2)]);
    for (at, n) in [(0, 5), (0, 3), (1, 3)] {
        let (memory, _) = memory(&bytes, LATER);
        assert!(memory.find(at, &looks(n)).is_some());
        let (hits, new) = ended(memory);
        assert_eq!((hits, new.map(|new| records(&new))), (1, Some(1)));
    }
}

#[test]
fn the_digest_of_the_listing_is_kept_for_the_same_tree_alone() {
    let kept = |text: &str| {
        let (memory, _) = memory(b"", NOW);
        memory.learn(0, looks(1), sha256(1));
        memory.finish(&tree(0o755, "to", "f", text)).new.unwrap()
    };
    let read = |cache: &[u8], tree: &Tree| {
        let (memory, good) = memory(cache, LATER);
        assert!(good && memory.find(0, &looks(1)).is_some());
        memory.finish(tree)
    };
    let bytes = kept("text");
    let same = read(&bytes, &plain());
    assert_eq!((same.digest, same.new), (plain().digest(), None));
    for other in [
        tree(0o750, "to", "f", "text"),
        tree(0o755, "ot", "f", "text"),
        tree(0o755, "to", "g", "text"),
        tree(0o755, "to", "d/f", "text"),
        tree(0o755, "to", "f", "texs"),
    ] {
        let finished = read(&bytes, &other);
        assert_eq!(finished.digest, other.digest());
        assert_ne!(finished.digest, plain().digest());
        let again = read(&finished.new.unwrap(), &other);
        assert_eq!((again.digest, again.new), (other.digest(), None), "then that is kept");
    }
    // It is the kept one: what the owner forges is believed, as for files.
    let mut forged = bytes.clone();
    forged[HEAD - 1] ^= 1;
    sign(&mut forged);
    assert_ne!(read(&forged, &plain()).digest, plain().digest());
    forged[HEAD - 33] ^= 1;
    sign(&mut forged);
    assert_eq!(read(&forged, &plain()).digest, plain().digest(), "another tree's");
}

#[test]
fn shapes_differ_where_listings_do() {
    let entry = |path: &str, node| Entry { path: TreePath::from_bytes(path.as_bytes()).unwrap(), node };
    let link = |path: &str, target: &str| entry(path, Node::Link { target: target.as_bytes().into() });
    let trees: Vec<Tree> = [
        vec![],
        vec![entry("a", Node::Dir { perm: 0o755 })],
        vec![entry("a", Node::Closed { mode: 0o755 })],
        vec![entry("a", Node::Closed { mode: 0o040_755 })],
        vec![link("a", "bl"), link("b", "")],
        vec![link("a", "b"), link("bl", "")],
        vec![link("ab", ""), link("b", "l")],
    ]
    .map(|entries| Tree::new(TreeKind::Environment, entries).unwrap())
    .into();
    for (at, one) in trees.iter().enumerate() {
        for (other_at, other) in trees.iter().enumerate() {
            assert_eq!(Shape::of(one) == Shape::of(other), at == other_at, "{at} {other_at}");
        }
    }
    // More than one piece.
    let many = |last: &str| {
        let links = (0..5000).map(|n| link(&format!("{n}"), "somewhere")).chain([link("last", last)]);
        Shape::of(&Tree::new(TreeKind::Environment, links.collect()).unwrap())
    };
    assert_eq!(many("a"), many("a"));
    assert_ne!(many("a"), many("b"));
}

#[test]
fn times_that_tell_nothing_are_not_believed() {
    let told = |looks| records(&cache(&[(looks, 1)])) == 1;
    let at = |modified, changed| Looks { modified, changed, ..looks(1) };
    let old = (900_000, 7);
    assert!(told(at(old, old)));
    assert!(told(at(old, (NOW.0 - SLACK, NOW.1 - 1))));
    assert!(!told(at(old, (NOW.0 - SLACK, NOW.1))), "just written");
    assert!(!told(at((NOW.0 - SLACK, NOW.1), old)));
    assert!(!told(at(old, (NOW.0 + 9, 1))), "from the future");
    assert!(!told(at(old, (900_000, 0))), "no clock says a whole second");
    assert!(told(Looks { mounted: 1, ..at(old, (900_000, 0)) }));
    // A cache that holds one all the same: the same rule again.
    let racy = at(old, (NOW.0 - SLACK, NOW.1));
    let mut bytes = cache(&[(looks(1), 1)]);
    bytes[HEAD..HEAD + RECORD].copy_from_slice(&record(&racy, sha256(1)));
    sign(&mut bytes);
    let (memory, good) = memory(&bytes, LATER);
    assert!(good);
    assert_eq!(memory.find(0, &racy), None);
}

fn sign(bytes: &mut [u8]) {
    let end = bytes.len() - SUM;
    let sum = sum(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum);
}

#[test]
fn a_damaged_cache_is_none() {
    let good = cache(&[(looks(1), 1), (looks(2), 2)]);
    let is_good = |bytes: &[u8]| {
        let (memory, good) = memory(bytes, NOW);
        assert_eq!(memory.find(0, &looks(1)).is_some(), good);
        good
    };
    assert!(is_good(&good));
    for at in [0, 30, 60, HEAD - 40, HEAD - 1, HEAD + 60, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(!is_good(&bad), "{at}");
    }
    for cut in [1, SUM, HEAD, HEAD + SUM, good.len() - 1] {
        assert!(!is_good(&good[..cut]), "{cut}");
    }
    // Each signed: what is wrong is in the form.
    let signed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        sign(&mut bytes);
        is_good(&bytes)
    };
    assert!(signed(&|_| ()));
    assert!(!signed(&|bytes| bytes[20] ^= 1), "another version");
    assert!(!signed(&|bytes| bytes[30] ^= 1), "another scope");
    assert!(!signed(&|bytes| bytes[56..64].copy_from_slice(&(NOW.0 + 1).to_le_bytes())), "from the future");
    assert!(!signed(&|bytes| bytes.insert(HEAD, 0)), "not whole");
    assert!(!signed(&|bytes| bytes.truncate(HEAD - 8 + SUM)), "no head");
}

#[test]
fn each_reader_and_each_set_of_roots_has_its_own() {
    let bytes = cache(&[(looks(1), 1)]);
    let me = Reader::own().unwrap();
    assert!(Memory::new(bytes.clone(), &["/r".into()], &me, NOW).1);
    for roots in [&["/".into()][..], &["/r".into(), "/s".into()], &[]] {
        assert!(!Memory::new(bytes.clone(), roots, &me, NOW).1);
    }
    assert!(!Memory::new(bytes, &["/r".into()], &Reader::of(&[4, 5, 6]), NOW).1);
}

#[test]
fn names_of_one_file_that_disagree() {
    let both = cache(&[(looks(1), 1), (looks(1), 1)]);
    let (same, _) = memory(&both, LATER);
    assert_eq!([0, 1].map(|at| same.find(at, &looks(1))), [Some(sha256(1)); 2]);
    assert_eq!(ended(same), (2, None));
    // It changed between the two: of either state what was read of it is true.
    let changed = Looks { changed: (900_000, 9), ..looks(1) };
    let other = cache(&[(looks(1), 1), (changed, 2)]);
    let (now, _) = memory(&other, LATER);
    assert_eq!([0, 1].map(|at| now.find(at, &changed)), [Some(sha256(2)); 2]);
    assert_eq!(now.find(0, &Looks { changed: (900_000, 8), ..looks(1) }), None);
}
