//! Some files of a source, in memory.

use super::{Form, Source, SourceError};
use crate::archive::{self, Member};
use crate::digest::{self, Sha256};
use crate::path::TreePath;
use crate::scan::beneath;
use crate::tree::Tree;
use rustix::fs::{FileType, Mode, OFlags};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

impl Source {
    /// The bytes of some recorded files of `tree`, as it was scanned from here, by their SHA-256. Those that are longer than `most` are left out.
    pub fn contents(
        &self,
        tree: &Tree,
        paths: &[TreePath],
        most: u64,
    ) -> Result<HashMap<TreePath, Vec<u8>>, SourceError> {
        let mut wanted: HashMap<Sha256, Option<Vec<u8>>> = HashMap::new();
        let files: HashMap<&TreePath, Sha256> = tree
            .files()
            .filter(|(_, content)| content.size <= most)
            .map(|(path, content)| (path, content.sha256))
            .collect();
        let recorded = || paths.iter().filter_map(|path| Some((path, *files.get(path)?)));
        for (path, sha256) in recorded() {
            let bytes = match &self.form {
                Form::Directory => file_below(&self.path, path, most)?,
                Form::Commit(commit) => commit.file(path)?,
                Form::Archive { .. } | Form::Debian(_) => None,
            };
            wanted.insert(sha256, bytes);
        }
        match &self.form {
            Form::Archive { strip, limit } => {
                from_archive(&self.path, *strip, *limit, &mut wanted, &|path| files.get(&path).copied())?;
            }
            Form::Debian(package) => {
                for part in package.parts() {
                    let place = |path| files.get(&package.place(part, &path)?).copied();
                    from_archive(part.path(), 0, archive::MAX_UNPACKED, &mut wanted, &place)?;
                }
            }
            Form::Directory | Form::Commit(_) => {}
        }
        let each = recorded().map(|(path, sha256)| {
            let bytes = wanted.get(&sha256).and_then(Option::as_ref).filter(|bytes| digest::sha256(bytes) == sha256);
            let changed = || SourceError::Changed { source_path: self.path.clone(), path: path.clone() };
            Ok((path.clone(), bytes.ok_or_else(changed)?.clone()))
        });
        each.collect()
    }
}

/// Members whose recorded content is wanted. A hard link's content is that of a file before it, which is recorded with the same digest.
fn from_archive(
    path: &Path,
    strip: u8,
    limit: u64,
    wanted: &mut HashMap<Sha256, Option<Vec<u8>>>,
    recorded: &dyn Fn(TreePath) -> Option<Sha256>,
) -> Result<(), SourceError> {
    archive::members(path, strip, limit, &mut |at, member| {
        let Some(bytes) = recorded(at).and_then(|sha256| wanted.get_mut(&sha256)) else { return Ok(()) };
        if let Member::File { data, size, .. } = member {
            let mut read = Vec::new();
            data.take(size).read_to_end(&mut read).map_err(|err| archive::explain(path, err))?;
            *bytes = Some(read);
        }
        Ok(())
    })?;
    Ok(())
}

/// A regular file below a directory, of at most `most` bytes and one more, on a way that leads through no link; `None` where there is none.
pub fn file_below(dir: &Path, path: &TreePath, most: u64) -> Result<Option<Vec<u8>>, SourceError> {
    let shown = dir.join(path.to_os());
    let fail = |err: std::io::Error| SourceError::io("read", &shown, err);
    let flags = beneath::DIRECTORY.difference(OFlags::NOFOLLOW);
    let root = rustix::fs::open(dir, flags, Mode::empty()).map_err(|err| SourceError::io("open", dir, err))?;
    let fd = match beneath::open(&root, path.as_bytes(), OFlags::RDONLY, Mode::empty()) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => return Ok(None),
        Err(err) => return Err(fail(err.into())),
    };
    let stat = rustix::fs::fstat(&fd).map_err(|err| fail(err.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::from(fd).take(most + 1).read_to_end(&mut bytes).map_err(fail)?;
    Ok(Some(bytes))
}
