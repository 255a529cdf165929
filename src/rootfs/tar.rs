//! Tar archives onto a root file system: whole ones, Debian packages' and the layers of images.

use super::{Builder, RootfsError, Why, refused};
use crate::archive::{self, RootKind, RootMember};
use std::io::Read;
use std::path::Path;

/// Says that what is named after it is not there.
const WHITEOUT: &[u8] = b".wh.";
/// Says that nothing of earlier layers is in the directory it is in.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names that begin like this are what a file system keeps for itself.
const BOOKKEEPING: &[u8] = b".wh..wh.";

/// What names that begin with `.wh.` mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// Nothing.
    Names,
    /// That something of earlier layers is taken away (OCI image specification, "Whiteouts").
    Apply,
}

/// Puts what is in a tar archive, packed as its first bytes say, onto what is there. `shown` names the archive in errors.
///
/// After an error the builder is spoiled: half an archive is not written.
pub fn apply(builder: &mut Builder, shown: &Path, input: impl Read, whiteouts: Whiteouts) -> Result<(), RootfsError> {
    builder.whole(|builder| {
        let mut plain = archive::unpacked(shown, input, None)?;
        apply_plain(builder, shown, &mut plain, whiteouts)
    })
}

/// The same of tar as such. `input` is read to its end.
pub(crate) fn apply_plain(
    builder: &mut Builder,
    shown: &Path,
    input: &mut dyn Read,
    whiteouts: Whiteouts,
) -> Result<(), RootfsError> {
    builder.whole(|builder| {
        let limit = builder.limits.bytes.saturating_mul(2).saturating_sub(builder.unpacked);
        let read = archive::plain_root_members(shown, input, limit, &mut |member| {
            builder.count_member(member.name)?;
            one(builder, member, whiteouts).map_err(|err| match err {
                RootfsError::Entry { why: Why::Content(err), .. } => archive::explain(shown, err).into(),
                err => err,
            })
        })?;
        builder.unpacked += read;
        Ok(())
    })
}

fn one(builder: &mut Builder, member: RootMember<'_>, whiteouts: Whiteouts) -> Result<(), RootfsError> {
    if whiteouts == Whiteouts::Apply && taken_away(builder, member.name)? {
        return Ok(());
    }
    if member.attributes {
        builder.left_out.attributes += 1;
    }
    put(builder, member.name, member.kind)
}

/// One member, under this name.
pub(super) fn put(builder: &mut Builder, name: &[u8], kind: RootKind<'_>) -> Result<(), RootfsError> {
    match kind {
        RootKind::Dir => builder.dir(name),
        RootKind::File { perm, data, .. } => {
            if perm & 0o6000 != 0 {
                builder.left_out.set_ids += 1;
            }
            builder.file(name, perm & 0o111 != 0, data)
        }
        RootKind::Link { target } => builder.symlink(name, &target),
        RootKind::Hard { target } => builder.hardlink(name, &target),
        RootKind::Device => {
            builder.left_out.devices += 1;
            builder.nothing(name)
        }
        RootKind::Fifo => {
            builder.left_out.fifos += 1;
            builder.nothing(name)
        }
    }
}

/// Whether a member of a layer is no member, but says what is not there.
fn taken_away(builder: &mut Builder, name: &[u8]) -> Result<bool, RootfsError> {
    let end = name.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    let cut = name[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let (above, last) = (&name[..cut], &name[cut..end]);
    let bookkeeping = |part: &[u8]| part.starts_with(BOOKKEEPING);
    let parts = || above.split(|byte| *byte == b'/');
    if parts().any(bookkeeping) || (bookkeeping(last) && last != OPAQUE) {
        builder.left_out.bookkeeping += 1;
        return Ok(true);
    }
    if parts().any(|part| part.starts_with(WHITEOUT)) {
        return Err(refused(name, Why::Reserved));
    }
    if last == OPAQUE {
        builder.opaque(above)?;
        return Ok(true);
    }
    let Some(gone) = last.strip_prefix(WHITEOUT) else { return Ok(false) };
    if matches!(gone, b"" | b"." | b"..") {
        return Err(refused(name, Why::Reserved));
    }
    builder.whiteout(&[above, gone].concat())?;
    Ok(true)
}

#[cfg(test)]
pub(crate) mod tests;
