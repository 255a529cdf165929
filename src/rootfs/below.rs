//! An archive into one directory of a root file system: a toolchain, say.

use super::tar::put;
use super::{Builder, Found, Last, RootfsError, Why, refused};
use crate::archive::{self, RootKind};
use crate::path::TreePath;
use std::io::Read;
use std::path::Path;

/// Puts what is in a tar archive into the directory `below`, without the first `strip` parts of each name; members that have no more than
/// those are left out. Links stay what they are, and no member's way leads through one. After an error the builder is spoiled.
pub fn apply(
    builder: &mut Builder,
    shown: &Path,
    input: impl Read,
    below: &TreePath,
    strip: u8,
) -> Result<(), RootfsError> {
    each(builder, shown, input, below.as_bytes(), &|builder, name| {
        let moved = moved(name, below, strip)?;
        if let Some(path) = &moved {
            stays(builder, name, below.as_bytes(), path)?;
        }
        Ok(moved)
    })
}

/// The same of an archive that somebody else made than who says where it goes: all of it is below the directory `top`, which becomes `below`,
/// and nothing of it leaves that.
pub fn apply_alone(
    builder: &mut Builder,
    shown: &Path,
    input: impl Read,
    below: &[u8],
    top: &[u8],
) -> Result<(), RootfsError> {
    each(builder, shown, input, below, &|builder, name| {
        let mut parts = parts(name)?.into_iter();
        if parts.next() != Some(top) {
            return Err(refused(name, Why::NotBelow(String::from_utf8_lossy(top).into_owned())));
        }
        let rest: Vec<&[u8]> = parts.collect();
        if rest.is_empty() {
            return Ok(None);
        }
        let path = [below, b"/", &rest.join(&b'/')].concat();
        stays(builder, name, below, &path)?;
        Ok(Some(path))
    })
}

/// Whether the way from the directory to the path leads through no link, so that it stays there. `name` is the member's.
fn stays(builder: &Builder, name: &[u8], below: &[u8], path: &[u8]) -> Result<(), RootfsError> {
    let ends = (below.len() + 1..path.len()).filter(|at| path[*at] == b'/');
    for end in ends {
        if matches!(builder.at(&path[..end], Last::Itself)?, Some(Found::Link { .. })) {
            return Err(refused(name, Why::NotADirectory));
        }
    }
    Ok(())
}

/// What a member's name becomes, if anything.
type Rename<'a> = dyn Fn(&Builder, &[u8]) -> Result<Option<Vec<u8>>, RootfsError> + 'a;

fn each(
    builder: &mut Builder,
    shown: &Path,
    input: impl Read,
    below: &[u8],
    renamed: &Rename<'_>,
) -> Result<(), RootfsError> {
    builder.whole(|builder| {
        builder.dir(below)?;
        let mut plain = archive::unpacked(shown, input, None)?;
        let limit = builder.limits.bytes.saturating_mul(2).saturating_sub(builder.unpacked);
        let read = archive::plain_root_members(shown, &mut plain, limit, &mut |member| {
            builder.count_member(member.name)?;
            let Some(name) = renamed(builder, member.name)? else { return Ok(()) };
            let kind = match member.kind {
                RootKind::Hard { target } => {
                    let moved = renamed(builder, &target)?;
                    let outside = || Why::NoTarget(String::from_utf8_lossy(&target).into_owned());
                    RootKind::Hard { target: moved.ok_or_else(|| refused(member.name, outside()))? }
                }
                kind => kind,
            };
            if member.attributes {
                builder.left_out.attributes += 1;
            }
            put(builder, &name, kind).map_err(|err| match err {
                RootfsError::Entry { why: Why::Content(err), .. } => archive::explain(shown, err).into(),
                err => err,
            })
        })?;
        builder.unpacked += read;
        Ok(())
    })
}

/// The parts of a name that mean something.
fn parts(name: &[u8]) -> Result<Vec<&[u8]>, RootfsError> {
    let parts: Vec<&[u8]> = name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    if parts.contains(&&b".."[..]) { Err(refused(name, Why::Name)) } else { Ok(parts) }
}

fn moved(name: &[u8], below: &TreePath, strip: u8) -> Result<Option<Vec<u8>>, RootfsError> {
    let rest: Vec<&[u8]> = parts(name)?.into_iter().skip(strip.into()).collect();
    if rest.is_empty() {
        return Ok(None);
    }
    Ok(Some([below.as_bytes(), b"/", &rest.join(&b'/')].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::{Builder, Limits};

    fn archive(entries: &[(&str, Option<&str>)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, link) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o755);
            header.set_size(0);
            // As it stands there: set_path would refuse what is tried here.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            match link {
                Some(target) => {
                    header.set_entry_type(tar::EntryType::Link);
                    header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
                }
                None if name.ends_with('/') => header.set_entry_type(tar::EntryType::Directory),
                None => header.set_entry_type(tar::EntryType::Regular),
            }
            header.set_cksum();
            tar.append(&header, std::io::empty()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn unpack(entries: &[(&str, Option<&str>)]) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let mut builder = Builder::new(&dir.path().join("spool"), Limits::default()).unwrap();
        let below = TreePath::from_bytes(b"opt/go").unwrap();
        apply(&mut builder, Path::new("go.tar"), &archive(entries)[..], &below, 1).map_err(|err| err.to_string())?;
        let dest = dir.path().join("root");
        builder.finish(&dest, 0).map_err(|err| err.to_string())?;
        let found = walkdir::WalkDir::new(&dest).sort_by_file_name().into_iter().flatten();
        let names = found.map(|entry| entry.path().strip_prefix(&dest).unwrap().to_str().unwrap().to_owned());
        Ok(names.filter(|name| !name.is_empty()).collect())
    }

    #[test]
    fn a_tool_stays_in_its_directory() {
        let good = unpack(&[("go/", None), ("./go/bin/go", None), ("go/bin/gofmt", Some("go/bin/go")), ("top", None)]);
        assert_eq!(good.unwrap(), ["opt", "opt/go", "opt/go/bin", "opt/go/bin/go", "opt/go/bin/gofmt"]);
        assert_eq!(unpack(&[("/go/etc/x", None)]).unwrap(), ["opt", "opt/go", "opt/go/etc", "opt/go/etc/x"]);
        for bad in ["go/../../etc/passwd", "../x", "go/.."] {
            assert!(unpack(&[(bad, None)]).unwrap_err().contains("not the name"), "{bad}");
        }
        for outside in ["../../etc/passwd", "go", "go/none"] {
            assert!(unpack(&[("go/x", Some(outside))]).is_err(), "{outside}");
        }
    }
}
