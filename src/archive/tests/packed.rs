//! gzip, xz and zstd around tar: one tree, and what is done with damaged and hostile ones.

use super::*;
use std::time::{Duration, Instant};

/// Compressible and not, several blocks of every format.
fn sample() -> Vec<u8> {
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(300_000)
    .collect();
    made(|tar| {
        file(tar, b"noise", &noise);
        file(tar, b"zeros", &vec![0; 700_000]);
        file(tar, b"text", &b"one line of many\n".repeat(20_000));
    })
}

type Pack = fn(&[u8]) -> Vec<u8>;

const PACKS: [(&str, Pack); 3] = [("gzip", gzip), ("xz", xz), ("zstd", zstd)];

#[test]
fn every_way_to_pack_is_one_tree() {
    let plain = sample();
    let want = read(&plain).unwrap().tree;
    for (tool, args) in [
        ("gzip", &["-9", "-c"][..]),
        ("xz", &["-9", "-c"]),
        ("xz", &["-6e", "-c", "--check=sha256"]),
        ("xz", &["-c", "--check=crc32", "--block-size=65536", "-T2"]),
        ("xz", &["-c", "--check=none"]),
        ("xz", &["-c", "--x86", "--lzma2=preset=1"]),
        ("zstd", &["-q", "-c", "-19"]),
        ("zstd", &["-q", "-c", "--ultra", "-22"]),
        ("zstd", &["-q", "-c", "--long=27"]),
        ("zstd", &["-q", "-c", "--no-check"]),
        ("zstd", &["-q", "-c", "--no-compress-literals"]),
    ] {
        let packed = piped(tool, args, &plain);
        assert_eq!(read(&packed).unwrap().tree, want, "{tool} {args:?}");
    }
}

#[test]
fn cut_off_anywhere_or_damaged_anywhere() {
    let plain = sample();
    let want = read(&plain).unwrap().tree;
    for (name, pack) in PACKS {
        let packed = pack(&plain);
        for part in 0..8 {
            let said = read(&packed[..packed.len() * part / 8]).expect_err(name).to_string();
            assert!(said.contains("cut off") || part == 0, "{name} {part}: {said}");
        }
        for cut in 1..40 {
            assert!(read(&packed[..packed.len() - cut]).is_err(), "{name} -{cut}");
        }
        // Nowhere does a changed byte give another tree. Of gzip, times in the header and the bits behind the last block decide nothing, of
        // zstd an unused bit of the header and a larger window.
        let step = packed.len() / 97;
        let places = (0..packed.len()).step_by(step).chain(packed.len() - 40..packed.len()).chain(0..40);
        for at in places {
            let mut bytes = packed.clone();
            bytes[at] ^= 0x10;
            let start = Instant::now();
            if let Ok(scanned) = read(&bytes) {
                assert_eq!(scanned.tree, want, "{name} {at}");
                assert!(name == "gzip" || (name == "zstd" && at < 6), "{name} {at}");
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{name} {at}");
        }
    }
}

#[test]
fn what_may_follow_is_what_the_tools_accept() {
    let plain = sample();
    let want = read(&plain).unwrap().tree;
    let (first, second) = plain.split_at(400_000);
    for (name, pack) in PACKS {
        let whole = pack(&plain);
        let two = [pack(first), pack(second)].concat();
        assert_eq!(read(&two).unwrap().tree, want, "{name}: members one after the other");
        assert_eq!(read(&[&whole[..], &pack(b"")[..]].concat()).unwrap().tree, want, "{name}: an empty one behind");
        let said = refusal(&[&whole[..], &pack(b"more")[..]].concat());
        assert!(said.contains("follows the end of the archive"), "{name}: {said}");
        for garbage in [&b"g"[..], b"garbage, some of it", &[0], &[0, 0, 0, 0, 1], &whole[..7], &plain[..512]] {
            assert!(read(&[&whole[..], garbage].concat()).is_err(), "{name} {garbage:?}");
        }
    }
    // What one tool alone knows: padding of xz, frames that zstd skips.
    let (packed, other) = (xz(first), xz(second));
    let padded = |zeros: usize| [&packed[..], &vec![0; zeros][..], &other[..], &[0; 8][..]].concat();
    assert_eq!(read(&padded(4)).unwrap().tree, want);
    assert!(read(&padded(3)).is_err());
    let skipped = [&b"\x50\x2a\x4d\x18\x03\0\0\0abc"[..], &zstd(&plain), b"\x5f\x2a\x4d\x18\0\0\0\0"].concat();
    assert_eq!(read(&skipped).unwrap().tree, want);
    assert!(read(&[&skipped[..], b"\x5f\x2a\x4d\x18\xff\xff\xff\xff"].concat()).is_err());
}

#[test]
fn bombs_and_headers_that_ask_for_too_much_memory() {
    let zeros = made(|tar| file(tar, b"zeros", &vec![0; 16 << 20]));
    for (name, pack) in PACKS {
        let bomb = pack(&zeros);
        assert!(bomb.len() < 1 << 20, "{name}");
        let err = read_with(&bomb, 0, 8 << 20).unwrap_err();
        assert!(matches!(err, ArchiveError::TooLarge { limit, .. } if limit == 8 << 20), "{name}: {err}");
    }
    // One block header with a window of 4 GiB, as xz has it.
    let mut hostile = xz(&zeros);
    assert_eq!(hostile[14], 0x21, "the filter LZMA2");
    hostile[16] = 40;
    let header = usize::from(hostile[12]) * 4 + 4;
    let mut crc = flate2::Crc::new();
    crc.update(&hostile[12..12 + header - 4]);
    hostile[12 + header - 4..12 + header].copy_from_slice(&crc.sum().to_le_bytes());
    let said = refusal(&hostile);
    assert!(said.contains("more than 128 MiB of memory"), "{said}");
    // A window of nearly 4 TiB, and a single segment of as much.
    for header in [&b"\x28\xb5\x2f\xfd\x00\xff"[..], b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\x04\0\0"] {
        let said = refusal(&[header, &[1, 0, 0, 0, 0][..]].concat());
        assert!(said.contains("more than 128 MiB of memory"), "{said}");
    }
    // A dictionary that nobody has.
    assert!(read(b"\x28\xb5\x2f\xfd\x21\x01\x07\x01\0\0").is_err());
}
