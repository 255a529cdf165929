//! An archive into one directory of a root file system: a toolchain, say.

use super::tar::put;
use super::{Builder, RootfsError, Why, refused};
use crate::archive::{self, RootKind};
use crate::path::TreePath;
use std::io::Read;
use std::path::Path;

/// Puts what is in a tar archive into the directory `below`, without the first `strip` parts of each name; members that have no more than
/// those are left out. Links stay what they are. After an error the builder is spoiled.
pub fn apply(
    builder: &mut Builder,
    shown: &Path,
    input: impl Read,
    below: &TreePath,
    strip: u8,
) -> Result<(), RootfsError> {
    builder.whole(|builder| {
        builder.dir(below.as_bytes())?;
        let mut plain = archive::unpacked(shown, input, None)?;
        let limit = builder.limits.bytes.saturating_mul(2).saturating_sub(builder.unpacked);
        let read = archive::plain_root_members(shown, &mut plain, limit, &mut |member| {
            let Some(name) = moved(member.name, below, strip)? else { return Ok(()) };
            let kind = match member.kind {
                RootKind::Hard { target } => {
                    let moved = moved(&target, below, strip)?;
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

fn moved(name: &[u8], below: &TreePath, strip: u8) -> Result<Option<Vec<u8>>, RootfsError> {
    let mut parts = name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    if parts.clone().any(|part| part == b"..") {
        return Err(refused(name, Why::Name));
    }
    let rest: Vec<&[u8]> = parts.by_ref().skip(strip.into()).collect();
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
