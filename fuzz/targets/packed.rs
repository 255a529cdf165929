//! Content of a member of a tar archive that is packed: the first byte says how. The header of that member stands before it in a stream or frame
//! of its own, so that what the decompressor makes of the rest need not begin like a tar archive. The check sums of xz are mended: without, next
//! to no change would be looked at.
#![no_main]

use countersign::archive::tree;
use countersign::digest::Wanted;
use lzma_rust2::{CheckType, XzOptions, XzWriter};
use std::io::Write as _;
use std::sync::LazyLock;

const LIMIT: u64 = 1 << 20;

/// The header of a file of a million bytes.
static HEADER: LazyLock<[u8; 512]> = LazyLock::new(|| {
    let mut header = [0; 512];
    for (at, bytes) in [(0, &b"f"[..]), (100, b"0000644"), (124, b"00003777777"), (148, b"        "), (156, b"0")] {
        header[at..at + bytes.len()].copy_from_slice(bytes);
    }
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
});
/// It, by gzip, xz and zstd.
static PACKED: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&*HEADER).unwrap();
    let mut options = XzOptions::with_preset(0);
    options.set_check_sum_type(CheckType::None);
    let mut xz = XzWriter::new(Vec::new(), options).unwrap();
    xz.write_all(&*HEADER).unwrap();
    // One frame of one raw block, with its length in 16 bits that count from 256.
    let zstd = [&b"\x28\xb5\x2f\xfd\x60\x00\x01\x01\x10\x00"[..], &*HEADER].concat();
    [gzip.finish().unwrap(), xz.finish().unwrap(), zstd]
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((form, bytes)) = data.split_first() else { return };
    let (form, mut bytes) = (usize::from(form % 3), bytes.to_vec());
    if form == 1 {
        mend(&mut bytes);
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&PACKED[form]).unwrap();
    file.write_all(&bytes).unwrap();
    let begun = std::time::Instant::now();
    let read = tree(file.path(), 0, Wanted::SUBJECT, &|_, _| false, LIMIT, None);
    assert!(begun.elapsed().as_secs() < 5, "{read:?}");
    if bytes.is_empty() {
        let why = read.unwrap_err().to_string();
        assert!(why.contains("cut off"), "the header is read: {why}");
    }
});

/// Puts right the check sums of stream header, first block header, index and footer.
fn mend(bytes: &mut [u8]) {
    let length = bytes.len();
    let mut sum = |from: usize, to: usize, at: usize| {
        if from < to && to <= length && at + 4 <= length {
            let mut crc = flate2::Crc::new();
            crc.update(&bytes[from..to]);
            bytes[at..at + 4].copy_from_slice(&crc.sum().to_le_bytes());
        }
        bytes.get(12).map_or(0, |byte| (usize::from(*byte) + 1) * 4)
    };
    let block = sum(6, 8, 8);
    sum(12, 8 + block, 8 + block);
    let Some(footer) = length.checked_sub(12) else { return };
    sum(footer + 4, footer + 10, footer);
    let index = bytes[footer + 4..footer + 8].try_into().map_or(0, u32::from_le_bytes) as usize;
    if let Some(begin) = index.checked_add(1).and_then(|n| n.checked_mul(4)).and_then(|n| footer.checked_sub(n)) {
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[begin..footer - 4]);
        let value = crc.sum().to_le_bytes();
        bytes[footer - 4..footer].copy_from_slice(&value);
    }
}
