//! Packages for tests, made from nothing; those of the whole program include this file too.

#![allow(dead_code, missing_docs)] // each test program uses its part

#[cfg(feature = "debian")]
pub mod keys;

/// A member of a tar archive.
pub enum Member<'a> {
    Dir(&'a str),
    File(&'a str, u32, &'a [u8]),
    Link(&'a str, &'a str),
    Hard(&'a str, &'a str),
    Other(&'a str, u8),
}

pub fn tar(members: &[Member<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for member in members {
        let (name, kind, mode, target, content): (&str, u8, u32, &str, &[u8]) = match *member {
            Member::Dir(name) => (name, b'5', 0o755, "", b""),
            Member::File(name, mode, content) => (name, b'0', mode, "", content),
            Member::Link(name, target) => (name, b'2', 0o777, target, b""),
            Member::Hard(name, target) => (name, b'1', 0o644, target, b""),
            Member::Other(name, kind) => (name, kind, 0o644, "", b""),
        };
        let mut header = [0; 512];
        let size = format!("{:011o}", content.len());
        let mode = format!("{mode:07o}");
        for (at, text) in [
            (0, name.as_bytes()),
            (100, mode.as_bytes()),
            (108, b"0000000"),
            (116, b"0000000"),
            (124, size.as_bytes()),
            (136, b"00000000000"),
            (148, b"        "),
            (156, &[kind]),
            (157, target.as_bytes()),
            (257, b"ustar\x0000"),
        ] {
            header[at..at + text.len()].copy_from_slice(text);
        }
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

pub fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        bytes.extend_from_slice(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).as_bytes(),
        );
        bytes.extend_from_slice(content);
        if content.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, bytes).unwrap();
    gzip.finish().unwrap()
}

/// A package `name` 1.0 for all architectures, with more fields, control files and contents.
pub fn deb(name: &str, fields: &str, control: &[Member<'_>], data: &[Member<'_>]) -> Vec<u8> {
    let text = format!("Package: {name}\nVersion: 1.0\nArchitecture: all\n{fields}Description: test\n");
    let files = [tar(&[Member::Dir("./"), Member::File("./control", 0o644, text.as_bytes())]), tar(control)];
    // One archive: without the end mark of the first.
    let control = [&files[0][..files[0].len() - 1024], &files[1]].concat();
    ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &gzip(&control)), ("data.tar.gz", &gzip(&tar(data)))])
}
