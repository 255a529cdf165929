//! Writing a tar archive: the same members in the same order are the same bytes, whoever writes them and when.

use crate::path::TreePath;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use tar::{EntryType, Header};

/// Every time in it: 1980-01-01, as with all that is unpacked.
const TIME: u64 = crate::recipe::DEFAULT_EPOCH;
/// Bytes that a header has for the target of a link.
const TARGET: usize = 100;

/// A tar archive that is being written: no owners, one time, modes 0755 and 0644.
pub(crate) struct Packer<W: Write> {
    tar: tar::Builder<W>,
}

impl<W: Write> Packer<W> {
    pub(crate) fn new(out: W) -> Packer<W> {
        Packer { tar: tar::Builder::new(out) }
    }

    pub(crate) fn dir(&mut self, path: &TreePath) -> io::Result<()> {
        let name = [path.as_bytes(), b"/"].concat();
        self.member(&name, header(EntryType::Directory, 0o755, 0), &mut io::empty())
    }

    /// A file of `size` bytes, which `data` must have.
    pub(crate) fn file(&mut self, path: &TreePath, exec: bool, size: u64, data: &mut dyn Read) -> io::Result<()> {
        let mode = if exec { 0o755 } else { 0o644 };
        let mut data = Exact { data, left: size };
        self.member(path.as_bytes(), header(EntryType::Regular, mode, size), &mut data)?;
        if data.left > 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// A link, whose target is written as it is.
    pub(crate) fn link(&mut self, path: &TreePath, target: &[u8]) -> io::Result<()> {
        let mut header = header(EntryType::Symlink, 0o777, 0);
        match target.len() <= TARGET {
            true => header.set_link_name_literal(target)?,
            false => {
                // As GNU tar has it: the whole target as the content of a member before, ended by a NUL.
                let mut long = self::header(EntryType::GNULongLink, 0o644, target.len() as u64 + 1);
                let content = &mut target.chain(&b"\0"[..]);
                long.set_path("././@LongLink")?;
                long.set_cksum();
                self.tar.append(&long, content)?;
                header.set_link_name_literal(&target[..TARGET])?;
            }
        }
        self.member(path.as_bytes(), header, &mut io::empty())
    }

    fn member(&mut self, name: &[u8], mut header: Header, data: &mut dyn Read) -> io::Result<()> {
        self.tar.append_data(&mut header, Path::new(OsStr::from_bytes(name)), data)
    }

    /// Its end mark.
    pub(crate) fn finish(self) -> io::Result<W> {
        self.tar.into_inner()
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(TIME);
    header.set_size(size);
    header
}

/// No more than was announced, lest the next header be taken for content.
struct Exact<'r> {
    data: &'r mut dyn Read,
    left: u64,
}

impl Read for Exact<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.data.read(into)?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| io::Error::other("it is longer than it was"))?;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{ArchiveError, Member, plain_members};

    fn path(name: &str) -> TreePath {
        TreePath::from_bytes(name.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let long = "d".repeat(90) + "/" + &"f".repeat(200);
        let targets: [&[u8]; 7] = [b"x", b"a//b/./c", b"/etc", b"../..", &[b't'; 100], &[b'u'; 101], b"\xff\n"];
        let write = || {
            let mut packer = Packer::new(Vec::new());
            packer.dir(&path("a b")).unwrap();
            packer.dir(&path(&long)).unwrap();
            packer.file(&path("a b/x"), true, 3, &mut &b"one"[..]).unwrap();
            packer.file(&path(&format!("{long}/y")), false, 0, &mut io::empty()).unwrap();
            for (at, target) in targets.iter().enumerate() {
                packer.link(&path(&format!("l{at}")), target).unwrap();
            }
            packer.link(&path(&format!("{long}/z")), &[b'v'; 4000]).unwrap();
            packer.finish().unwrap()
        };
        let bytes = write();
        assert_eq!(bytes, write());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.tar");
        std::fs::write(&file, &bytes).unwrap();
        let mut found = Vec::new();
        plain_members(&file, 1 << 20, &mut |path, member| {
            found.push(match member {
                Member::Dir => format!("{path}/"),
                Member::File { perm, size, data } => {
                    let mut text = String::new();
                    data.read_to_string(&mut text).unwrap();
                    format!("{path} {perm:o} {size} {text}")
                }
                Member::Link { target } => format!("{path} -> {}", target.escape_ascii()),
                Member::Hard { .. } => panic!(),
            });
            Ok::<(), ArchiveError>(())
        })
        .unwrap();
        let mut wanted =
            vec!["a b/".to_owned(), format!("{long}/"), "a b/x 755 3 one".into(), format!("{long}/y 644 0 ")];
        wanted.extend(targets.iter().enumerate().map(|(at, target)| format!("l{at} -> {}", target.escape_ascii())));
        wanted.push(format!("{long}/z -> {}", "v".repeat(4000)));
        assert_eq!(found, wanted);
        for cut in [bytes.len() - 1024, bytes.len() - 1536, 512, 0] {
            std::fs::write(&file, &bytes[..cut]).unwrap();
            assert!(plain_members(&file, 1 << 20, &mut |_, _| Ok::<(), ArchiveError>(())).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_file_that_is_another_than_announced() {
        let write = |size| Packer::new(Vec::new()).file(&path("x"), false, size, &mut &b"three"[..]);
        assert!(write(5).is_ok() && write(4).is_err() && write(6).is_err());
    }
}
