//! Why the kernel says "No such file or directory" of a program that is there: what it would start to load it is not.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Longest `#!` line that the kernel reads.
const LINE: usize = 256;
/// Most interpreters that it starts for one another.
const DEPTH: usize = 5;
/// Most entries of a program header table that are looked at.
const ENTRIES: u16 = 256;

/// Words for a program that exists, but what loads it does not. `dir` is what relative paths are from.
pub(super) fn missing(program: &Path, dir: &Path) -> Option<String> {
    let mut file = dir.join(program);
    for _ in 0..DEPTH {
        let (kind, interpreter) = interpreter(&file)?;
        let next = dir.join(&interpreter);
        if !next.exists() {
            return Some(format!("{} is there, its {kind} {} is not", file.display(), interpreter.display()));
        }
        file = next;
    }
    None
}

/// What the file names as its interpreter.
fn interpreter(file: &Path) -> Option<(&'static str, PathBuf)> {
    // A FIFO would let us wait.
    if !file.is_file() {
        return None;
    }
    let file = File::open(file).ok()?;
    let mut start = Vec::new();
    (&file).take(LINE as u64).read_to_end(&mut start).ok()?;
    if let Some(line) = start.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next()?;
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let word = line.split(blank).find(|word| !word.is_empty())?;
        return Some(("interpreter", path(word)));
    }
    Some(("loader", elf(&file, &start)?))
}

/// The `PT_INTERP` entry of an ELF file of this machine's byte order (elf(5)).
fn elf(file: &File, start: &[u8]) -> Option<PathBuf> {
    let wide = match start.strip_prefix(b"\x7fELF")?.first()? {
        1 => false,
        2 => true,
        _ => return None,
    };
    let half = |bytes: &[u8], at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let word = |bytes: &[u8], at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let address = |bytes: &[u8], narrow: usize, long: usize| {
        if wide {
            Some(u64::from_ne_bytes(bytes.get(long..long + 8)?.try_into().ok()?))
        } else {
            word(bytes, narrow).map(u64::from)
        }
    };
    let table = address(start, 28, 32)?;
    let size = half(start, if wide { 54 } else { 42 })?;
    let count = half(start, if wide { 56 } else { 44 })?;
    for index in 0..count.min(ENTRIES) {
        let mut entry = [0; 56];
        let entry = entry.get_mut(..if wide { 56 } else { 32 })?;
        file.read_exact_at(entry, table.checked_add(u64::from(index) * u64::from(size))?).ok()?;
        if word(entry, 0)? == 3 {
            let mut name = vec![0; usize::try_from(address(entry, 16, 32)?).ok()?.min(4096)];
            file.read_exact_at(&mut name, address(entry, 4, 8)?).ok()?;
            return Some(path(name.split(|byte| *byte == 0).next()?));
        }
    }
    None
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| {
            std::fs::write(dir.path().join(name), text).unwrap();
            missing(Path::new(name), dir.path())
        };
        let at = |name: &str| dir.path().join(name).display().to_string();
        let script = write("script", b"#! /no/such/shell -e\nexit");
        assert_eq!(script, Some(format!("{} is there, its interpreter /no/such/shell is not", at("script"))));
        // Through another that is there.
        assert_eq!(write("second", b"#!script"), script);
        assert_eq!(write("loop", b"#!loop"), None);
        assert_eq!(write("fine", b"#!/bin/sh"), None);
        assert_eq!(write("text", b"text"), None);
        assert_eq!(write("empty", b""), None);
        assert_eq!(missing(Path::new("none"), dir.path()), None);
    }

    #[test]
    fn loader_of_an_elf_file_and_of_a_broken_one() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("elf");
        let mut bytes = vec![0; 200];
        bytes[..5].copy_from_slice(b"\x7fELF\x02");
        bytes[32..40].copy_from_slice(&64u64.to_ne_bytes());
        bytes[54..56].copy_from_slice(&56u16.to_ne_bytes());
        bytes[56..58].copy_from_slice(&2u16.to_ne_bytes());
        bytes[64..68].copy_from_slice(&1u32.to_ne_bytes());
        bytes[120..124].copy_from_slice(&3u32.to_ne_bytes());
        bytes[128..136].copy_from_slice(&176u64.to_ne_bytes());
        bytes[152..160].copy_from_slice(&8u64.to_ne_bytes());
        bytes[176..184].copy_from_slice(b"/no/ld\0\0");
        std::fs::write(&name, &bytes).unwrap();
        assert_eq!(missing(&name, dir.path()), Some(format!("{} is there, its loader /no/ld is not", name.display())));
        for length in 0..184 {
            std::fs::write(&name, &bytes[..length]).unwrap();
            assert_eq!(missing(&name, dir.path()), None, "{length}");
        }
        bytes[32..40].copy_from_slice(&u64::MAX.to_ne_bytes());
        std::fs::write(&name, &bytes).unwrap();
        assert_eq!(missing(&name, dir.path()), None);
    }
}
