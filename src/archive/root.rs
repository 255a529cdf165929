//! Tar archives as root file systems. As strict as with sources in what readers of tar understand differently; but there may be devices, and a
//! name may come twice: what that means is said by who puts the tree together ([`crate::rootfs`]), and so is what a name may be.

use super::{ArchiveError, Metered, Packing, each, sound, stream, target};
use std::io::{self, Read};
use std::path::Path;

/// One member.
pub(crate) struct RootMember<'a> {
    /// As it stands there.
    pub(crate) name: &'a [u8],
    /// Whether it has extended attributes.
    pub(crate) attributes: bool,
    pub(crate) kind: RootKind<'a>,
}

pub(crate) enum RootKind<'a> {
    Dir,
    File {
        perm: u32,
        /// Where its content begins in the archive.
        offset: u64,
        size: u64,
        data: &'a mut dyn Read,
    },
    Link {
        target: Vec<u8>,
    },
    /// Another name of what came before.
    Hard {
        target: Vec<u8>,
    },
    Device,
    Fifo,
}

/// The tar in `input`: packed as its first bytes say, or only as `expected`. To be read to its end, where check sums are.
pub(crate) fn unpacked<'a>(
    shown: &Path,
    input: impl Read + 'a,
    expected: Option<Packing>,
) -> Result<Box<dyn Read + 'a>, ArchiveError> {
    stream::unpacked(shown, input, expected)
}

/// Gives each member of a tar archive of at most `limit` bytes to `act`, checks that it is whole, and says how long it was.
pub(crate) fn plain_root_members<E: From<ArchiveError>>(
    shown: &Path,
    input: &mut dyn Read,
    limit: u64,
    act: &mut dyn FnMut(RootMember<'_>) -> Result<(), E>,
) -> Result<u64, E> {
    let (input, meter) = Metered::plain(shown, input, limit)?;
    each(shown, input, &meter, &mut |member| one(shown, member, act))?;
    Ok(meter.read())
}

/// An error of reading what [`plain_root_members`] gave.
pub(crate) fn explain(shown: &Path, err: io::Error) -> ArchiveError {
    stream::explain(shown, err)
}

fn one<R: Read, E: From<ArchiveError>>(
    shown: &Path,
    member: &mut tar::Entry<'_, R>,
    act: &mut dyn FnMut(RootMember<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let name = member.path_bytes().into_owned();
    let refuse = |why: String| {
        let member = String::from_utf8_lossy(&name).into_owned();
        ArchiveError::Member { path: shown.to_owned(), member, why }
    };
    let Some(is_dir) = sound(member, &name).map_err(&refuse)? else { return Ok(()) };
    let attributes = attributes(member).map_err(|err| refuse(err.to_string()))?;
    let target = || target(member).ok_or_else(|| refuse("its target is missing or not a path".into()));
    let kind = match member.header().entry_type() {
        _ if is_dir => RootKind::Dir,
        kind if kind.is_symlink() => RootKind::Link { target: target()? },
        kind if kind.is_hard_link() => RootKind::Hard { target: target()? },
        kind if kind.is_character_special() || kind.is_block_special() => RootKind::Device,
        kind if kind.is_fifo() => RootKind::Fifo,
        kind if kind.is_file() => {
            let perm = member.header().mode().map_err(|err| refuse(err.to_string()))? & 0o7777;
            let (offset, size) = (member.raw_file_position(), member.size());
            RootKind::File { perm, offset, size, data: member }
        }
        kind => return Err(refuse(format!("it is {}", super::word(kind))).into()),
    };
    act(RootMember { name: &name, attributes, kind })
}

/// Whether there are extended attributes or access control lists.
fn attributes<R: Read>(member: &mut tar::Entry<'_, R>) -> io::Result<bool> {
    let Some(items) = member.pax_extensions()? else { return Ok(false) };
    for item in items {
        let item = item?;
        let key = item.key_bytes();
        if [&b"SCHILY.xattr."[..], b"LIBARCHIVE.xattr.", b"SCHILY.acl."].iter().any(|start| key.starts_with(start)) {
            return Ok(true);
        }
    }
    Ok(false)
}
