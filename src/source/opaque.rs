//! Compiled code in a source, told by the first bytes of a file: what nobody can review, and what reproduces perfectly when a build copies it.

use crate::path::TreePath;

/// A file of the source that is compiled code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opaque {
    /// Where.
    pub path: TreePath,
    /// What it looks like, as people call it.
    pub kind: &'static str,
}

/// Class files begin with version 45 (JDK 1.1); a Mach-O file for several machines has the number of these there.
const FIRST_CLASS_VERSION: u32 = 45;
/// Magic numbers of CPython 3: `PYC_MAGIC_NUMBER` goes up by a few with each version.
const PYTHON3: std::ops::Range<u16> = 3000..5000;
/// That of CPython 2.7.
const PYTHON2: u16 = 62211;

/// As many first bytes are looked at.
pub(super) const ENOUGH: usize = 4096;

/// What a file with such a beginning is.
pub(super) fn kind(start: &[u8]) -> Option<&'static str> {
    let number = |at: usize| start.get(at..at + 4).map(|b| [b[0], b[1], b[2], b[3]]);
    match number(0)? {
        [0x7f, b'E', b'L', b'F'] => return Some("ELF"),
        [0xfe, 0xed, 0xfa, 0xce | 0xcf] | [0xce | 0xcf, 0xfa, 0xed, 0xfe] => return Some("Mach-O"),
        [0, b'a', b's', b'm'] => return Some("WebAssembly"),
        [b'd', b'e', b'x', b'\n'] => return Some("Dalvik"),
        [b'B', b'C', 0xc0, 0xde] => return Some("LLVM bitcode"),
        [0xca, 0xfe, 0xba, 0xbe] => {
            let next = u32::from_be_bytes(number(4)?);
            return Some(if next & 0xffff >= FIRST_CLASS_VERSION { "Java class" } else { "Mach-O" });
        }
        [a, b, b'\r', b'\n'] => {
            let magic = u16::from_le_bytes([a, b]);
            return (PYTHON3.contains(&magic) || magic == PYTHON2).then_some("Python bytecode");
        }
        _ => {}
    }
    if start.starts_with(b"!<arch>\n") {
        return Some("ar archive");
    }
    if start.starts_with(b"MZ") {
        // The place of the PE header; a text may begin with these two letters.
        let at = usize::try_from(u32::from_le_bytes(number(0x3c)?)).ok()?;
        return (number(at)? == *b"PE\0\0").then_some("PE");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_their_first_bytes() {
        let mut pe = vec![0; 0x100];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3c] = 0x80;
        pe[0x80..0x84].copy_from_slice(b"PE\0\0");
        for (bytes, is) in [
            (&b"\x7fELF\x02\x01"[..], "ELF"),
            (b"\xcf\xfa\xed\xfe\x07\0\0\x01", "Mach-O"),
            (b"\xca\xfe\xba\xbe\0\0\0\x02", "Mach-O"),
            (b"\xca\xfe\xba\xbe\0\0\0\x34", "Java class"),
            (b"\0asm\x01\0\0\0", "WebAssembly"),
            (b"\xa7\x0d\r\n\0\0\0\0", "Python bytecode"),
            (b"\x03\xf3\r\n", "Python bytecode"),
            (b"!<arch>\n/  ", "ar archive"),
            (&pe, "PE"),
        ] {
            assert_eq!(kind(bytes), Some(is));
        }
        pe[0x80] = b'p';
        for text in
            [&b""[..], b"ELF\x7f", b"#!/bin/sh\n", b"ab\r\nc", b"MZ is no program", &pe, b"!<arch> is", b"\x7fEL"]
        {
            assert_eq!(kind(text), None, "{text:?}");
        }
    }
}
