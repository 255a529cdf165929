//! Debian source packages: what `dpkg-source --skip-patches` unpacks of one, patches not applied.

use super::SourceError;
use super::dsc::{Dsc, MAX_DSC};
use crate::archive::{self, Executable, MAX_UNPACKED};
use crate::digest::Wanted;
use crate::fs::FsError;
use crate::path::TreePath;
use crate::scan::{self, Exclude, Progress, ScanError, Scanned};
use crate::tree::{Entry, Node, Tree, TreeKind};
use std::path::{Path, PathBuf};

/// A package whose files are those that its control file names.
#[derive(Debug)]
pub(super) struct Package {
    path: PathBuf,
    dsc: Dsc,
    /// In the order in which they are unpacked.
    parts: Vec<Part>,
}

/// An archive of a package.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    what: What,
    /// The directory that is all of it, which goes.
    top: Option<Vec<u8>>,
}

impl Part {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// `orig`, or all there is.
    Main,
    /// `orig-NAME`, which is unpacked as the directory NAME.
    Component(String),
    /// The directory `debian`.
    Debian,
}

impl Package {
    pub(super) fn open(path: &Path) -> Result<Package, SourceError> {
        let refuse = |why: String| SourceError::Debian { path: path.to_owned(), why };
        let dsc = Dsc::parse(&crate::fs::read(path, MAX_DSC)?).map_err(refuse)?;
        let named = parts(&dsc).map_err(refuse)?;
        let beside = |name: &str| path.with_file_name(name);
        // All of them, also those that are not unpacked.
        for (name, file) in &dsc.files {
            let at = beside(name);
            let meta = at.symlink_metadata().map_err(|err| SourceError::io("read", &at, err))?;
            if !meta.is_file() {
                return Err(refuse(format!("{name} beside it is no file, but a link or something else")));
            }
            let other = || refuse(format!("{name} beside it is not the file that it names"));
            if meta.len() != file.size || scan::file(&at, Wanted::default())?.sha256 != file.sha256 {
                return Err(other());
            }
        }
        let (mut parts, mut left) = (Vec::new(), MAX_UNPACKED);
        for (name, what) in named {
            let path = beside(&name);
            let top = if what == What::Debian { None } else { top(&path, &what, &dsc, &mut left)? };
            parts.push(Part { path, what, top });
        }
        Ok(Package { path: path.to_owned(), dsc, parts })
    }

    pub(super) fn is_signed(&self) -> bool {
        self.dsc.is_signed
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Where a member of a part is in the tree, if it is.
    pub(super) fn place(&self, part: &Part, path: &TreePath) -> Option<TreePath> {
        let below = match &part.top {
            Some(top) => path.as_bytes().strip_prefix(top.as_slice())?.strip_prefix(b"/")?,
            None => path.as_bytes(),
        };
        let first = below.split(|byte| *byte == b'/').next().unwrap_or_default();
        let whole = match &part.what {
            What::Main => {
                let replaced = self.parts.iter().any(|other| match &other.what {
                    What::Main => false,
                    What::Component(name) => name.as_bytes() == first,
                    What::Debian => first == b"debian",
                });
                if replaced {
                    return None;
                }
                below.to_vec()
            }
            What::Component(name) => [name.as_bytes(), b"/", below].concat(),
            What::Debian => below.to_vec(),
        };
        TreePath::from_bytes(&whole).ok()
    }

    pub(super) fn tree(
        &self,
        wanted: Wanted,
        exclude: &Exclude<'_>,
        progress: Option<&Progress<'_>>,
    ) -> Result<Scanned, SourceError> {
        let refuse = |why: &str| SourceError::Debian { path: self.path.clone(), why: why.to_owned() };
        let meta = self.path.metadata().map_err(|err| FsError::io("read", &self.path, err))?;
        let (mut entries, mut left) = (Vec::new(), MAX_UNPACKED);
        for part in &self.parts {
            let hidden = |path: &TreePath, _: bool| is_hidden(&part.what, &self.dsc, path);
            let by = Executable::ByAnybody;
            let scanned = archive::tree_of(&part.path, 0, wanted, &hidden, left, progress, by)?;
            let before = entries.len();
            for Entry { path, node } in scanned.tree.into_entries() {
                if let Node::File { content, .. } = &node {
                    left = left.saturating_sub(content.size);
                }
                let is_debian = path.parts().next() == Some(b"debian") && path.as_bytes() != b"debian";
                if part.what == What::Debian && !is_debian {
                    return Err(refuse("its archive debian.tar has something outside of the directory debian"));
                }
                if let Some(path) = self.place(part, &path) {
                    entries.push(Entry { path, node });
                }
            }
            // A component is a directory, whatever is in it.
            if let (What::Component(name), true) = (&part.what, entries.len() == before)
                && let Ok(path) = TreePath::from_bytes(name.as_bytes())
            {
                entries.push(Entry { path, node: Node::Dir { perm: 0o755 } });
            }
        }
        let mut has_format = false;
        for entry in &mut entries {
            if let Node::File { perm, .. } = &mut entry.node {
                match entry.path.as_bytes() {
                    b"debian/rules" => *perm = 0o755,
                    b"debian/source/format" => has_format = true,
                    _ => {}
                }
            }
        }
        if self.dsc.format != "1.0" && !has_format {
            return Err(refuse("it has no file debian/source/format, which dpkg-source would make up"));
        }
        let (entries, excluded) = archive::without(entries, exclude);
        let tree = Tree::new(TreeKind::Source, entries).map_err(ScanError::Tree)?;
        Ok(Scanned::of_archive(&self.path, &meta, tree, excluded))
    }
}

/// `.pc` of quilt, at the top or in a directory there, which `dpkg-source` leaves out of an upstream archive.
fn is_hidden(what: &What, dsc: &Dsc, path: &TreePath) -> bool {
    let parts = path.parts().count();
    *what == What::Main && dsc.format == "3.0 (quilt)" && parts <= 2 && path.parts().next_back() == Some(b".pc")
}

/// The one directory that an archive is, if it is one.
fn top(path: &Path, what: &What, dsc: &Dsc, left: &mut u64) -> Result<Option<Vec<u8>>, SourceError> {
    let (mut first, mut is_one): (Option<Vec<u8>>, bool) = (None, true);
    archive::members(path, 0, *left, &mut |at, member| {
        if let archive::Member::File { size, .. } = &member {
            *left = left.saturating_sub(*size);
        }
        if is_hidden(what, dsc, &at) || at.parent().is_some_and(|above| is_hidden(what, dsc, &above)) {
            return Ok(());
        }
        let begin = at.parts().next().unwrap_or_default();
        let is_dir = matches!(member, archive::Member::Dir) || begin.len() < at.as_bytes().len();
        is_one &= is_dir && first.as_deref().is_none_or(|first| first == begin);
        first.get_or_insert_with(|| begin.to_vec());
        Ok(())
    })?;
    Ok(first.filter(|_| is_one))
}

/// The archives of a package in the order in which they are unpacked, and what each is.
fn parts(dsc: &Dsc) -> Result<Vec<(String, What)>, String> {
    let upstream = dsc.version.rsplit_once('-').map_or(dsc.version.as_str(), |(upstream, _)| upstream);
    let (whole, short) = (format!("{}_{}", dsc.source, dsc.version), format!("{}_{upstream}", dsc.source));
    let (mut main, mut debian, mut components): (Option<String>, Option<String>, Vec<(String, String)>) =
        Default::default();
    for name in dsc.files.keys() {
        let unknown = || format!("it names {name}, which is not known for the format {}", dsc.format);
        let (stem, signs) = name.strip_suffix(".asc").map_or((name.as_str(), false), |stem| (stem, true));
        if signs {
            // Of an upstream archive; nobody looks at it here.
            if dsc.files.contains_key(stem) && stem.contains(".orig") {
                continue;
            }
            return Err(unknown());
        }
        let tail =
            |begin: &str| stem.strip_prefix(begin).and_then(|tail| tail.rsplit_once(".tar.")).map(|(tail, _)| tail);
        let twice = || format!("it names {name} beside another one that is the same part");
        match dsc.format.as_str() {
            "1.0" if stem == format!("{whole}.diff.gz") => {
                return Err("it is of the format 1.0 with a diff, which is not applied here".to_owned());
            }
            "3.0 (quilt)" if tail(&whole) == Some(".debian") => {
                if debian.replace(name.clone()).is_some() {
                    return Err(twice());
                }
            }
            "1.0" | "3.0 (quilt)" if tail(&short) == Some(".orig") => {
                if main.replace(name.clone()).is_some() {
                    return Err(twice());
                }
            }
            "1.0" | "3.0 (native)" if tail(&whole) == Some("") => {
                if main.replace(name.clone()).is_some() {
                    return Err(twice());
                }
            }
            "3.0 (quilt)" => {
                let component = tail(&short).and_then(|tail| tail.strip_prefix(".orig-")).ok_or_else(unknown)?;
                let plain = component.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                if component.is_empty() || component == "debian" || !plain {
                    return Err(unknown());
                }
                if components.iter().any(|(other, _)| other == component) {
                    return Err(twice());
                }
                components.push((component.to_owned(), name.clone()));
            }
            "1.0" | "3.0 (native)" => return Err(unknown()),
            other => return Err(format!("it is of the format {other}, which is not known")),
        }
    }
    let mut parts = vec![(main.ok_or("it names no archive of the source")?, What::Main)];
    parts.extend(components.into_iter().map(|(component, name)| (name, What::Component(component))));
    match (dsc.format == "3.0 (quilt)", debian) {
        (true, Some(name)) => parts.push((name, What::Debian)),
        (true, None) => return Err("it names no archive of the directory debian".to_owned()),
        (false, _) => {}
    }
    Ok(parts)
}
