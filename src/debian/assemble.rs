//! Packages as one root file system, as if `dpkg --unpack` had been run on all of them at once: `dpkg --configure -a`, run in that root later,
//! configures everything. No script of a package is run here, and none is read.
//!
//! - Where the suite keeps programs and libraries below `/usr` only, `/bin`, `/lib` and the like are links first. Of newer suites `base-files`
//!   brings them, which is why it is unpacked before all others; of older ones `usrmerge` or `usr-is-merged` says so. Other packages follow by
//!   name.
//! - A file that two packages have is that of the one which `Replaces` the other, and an error when none does. A package may not be asked for
//!   in its own words: `Replaces` counts only between packages of the set.
//! - Configuration files lie beside their place under `.dpkg-new`, where dpkg looks for them when it configures the package.
//! - In `/var/lib/dpkg` is what dpkg would have written there, in one order.
//! - `preinst` scripts are not run. Of what they do in a fresh root one thing matters: `base-passwd` makes `/etc/passwd` and `/etc/group`, which
//!   are made here from its masters.

use super::deb::{Control, Deb, DebError};
use super::relation::{self, Relation, RelationError};
use super::version::Version;
use crate::archive::{ArchiveError, RootKind, RootMember};
use crate::rootfs::{Builder, Found, Last, MAX_LINKS, RootfsError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

mod database;

/// Largest of the files that are made from others.
const MAX_MASTER: u64 = 1 << 20;
/// Links at the top: of every merged root, and of those in which a package has something there.
const ALWAYS: [&str; 3] = ["bin", "sbin", "lib"];
const WHEN_USED: [&str; 4] = ["lib32", "lib64", "libo32", "libx32"];

/// A package to unpack: what the resolver, or a lock, says of it.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a Version,
    /// Its architecture, or `all`.
    pub architecture: &'a str,
}

/// What was assembled.
#[derive(Debug, PartialEq, Eq)]
pub struct Assembled {
    /// Packages with a `preinst` script, which was not run, in the order of names.
    pub preinst: Vec<String>,
}

/// Packages that are not a root file system together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// One of the package files.
    #[error(transparent)]
    Deb(#[from] DebError),
    /// An archive in one.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// What cannot be put into a root.
    #[error("{package}: {why}")]
    Rootfs {
        /// Whose it is.
        package: String,
        /// Why.
        why: RootfsError,
    },
    /// A package file that cannot be opened.
    #[error("cannot read {package}: {}", crate::fs::reason(why))]
    Open {
        /// The package.
        package: String,
        /// Why.
        why: io::Error,
    },
    /// Another package than was asked for.
    #[error("the file for {expected} is {found}")]
    Other {
        /// Name, version and architecture, as asked for.
        expected: String,
        /// As the package says.
        found: String,
    },
    /// The same package twice.
    #[error("{0} is there twice")]
    Twice(String),
    /// A file of two packages.
    #[error("{first} and {second} both have {path}, and none replaces the other")]
    Both {
        /// The package that was unpacked first.
        first: String,
        /// The other.
        second: String,
        /// The path, escaped.
        path: String,
    },
    /// Something that dpkg's database cannot hold or that is meant for it alone.
    #[error("{package}: {what}: {why}")]
    Database {
        /// The package.
        package: String,
        /// A path, field or line, escaped.
        what: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The field `Replaces`.
    #[error("{package}: Replaces: {why}")]
    Replaces {
        /// The package.
        package: String,
        /// What is wrong.
        why: RelationError,
    },
}

/// One package, unpacked.
struct Unpacked {
    control: Control,
    replaces: Vec<Relation>,
    /// Paths, which begin with a slash; `None` for those that another package replaced.
    list: Vec<Option<Vec<u8>>>,
    conffiles: BTreeSet<Vec<u8>>,
}

/// Who has a path: the package's number, and the place in its list.
type Owners = HashMap<Vec<u8>, (usize, usize)>;

struct Assembly {
    builder: Builder,
    /// Whether links are made that no package brings.
    merges: bool,
    done: Vec<Unpacked>,
    owners: Owners,
    masters: BTreeMap<&'static str, Vec<u8>>,
    /// Entries of all packages, and the bytes of their names.
    entries: usize,
    names: u64,
}

/// Puts packages into a fresh builder and gives it back. `open` opens the file of the part with that number; that it is the right one by its
/// digest is the caller's to see to.
pub fn assemble(
    builder: Builder,
    parts: &[Part<'_>],
    open: &mut dyn FnMut(usize) -> io::Result<Box<dyn Read>>,
) -> Result<(Builder, Assembled), AssembleError> {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|at| (parts[*at].name != "base-files", parts[*at].name));
    if let Some(pair) = order.windows(2).find(|pair| parts[pair[0]].name == parts[pair[1]].name) {
        return Err(AssembleError::Twice(parts[pair[0]].name.to_owned()));
    }
    let merges = parts.iter().any(|part| matches!(part.name, "usrmerge" | "usr-is-merged"));
    let mut assembly = Assembly {
        builder,
        merges,
        done: Vec::new(),
        owners: HashMap::new(),
        masters: BTreeMap::new(),
        entries: 0,
        names: 0,
    };
    if merges {
        ALWAYS.iter().try_for_each(|name| assembly.link(name)).map_err(of("the root"))?;
    }
    for at in order {
        let part = &parts[at];
        let mut input = open(at).map_err(|why| AssembleError::Open { package: part.name.to_owned(), why })?;
        assembly.unpack(part, &mut input)?;
    }
    assembly.finish()
}

fn of(package: &str) -> impl Fn(RootfsError) -> AssembleError + use<> {
    let package = package.to_owned();
    move |why| AssembleError::Rootfs { package: package.clone(), why }
}

impl Assembly {
    /// A link at the top to what is below `usr`, which is made too.
    fn link(&mut self, name: &str) -> Result<(), RootfsError> {
        let below = format!("usr/{name}");
        self.builder.dir(below.as_bytes())?;
        self.builder.symlink(name.as_bytes(), below.as_bytes())
    }

    fn unpack(&mut self, part: &Part<'_>, input: &mut dyn Read) -> Result<(), AssembleError> {
        let shown = PathBuf::from(format!("{}_{}_{}.deb", part.name, part.version, part.architecture));
        let deb = Deb::open(&shown, input)?;
        let control = &deb.control;
        if (control.name.as_str(), control.version.as_str(), control.architecture.as_str())
            != (part.name, part.version.as_str(), part.architecture)
        {
            let found = format!("{} {} {}", control.name, control.version, control.architecture);
            let expected = format!("{} {} {}", part.name, part.version, part.architecture);
            return Err(AssembleError::Other { expected, found });
        }
        let (replaces, conffiles) = database::about(control)?;
        let number = self.done.len();
        let mut list: Vec<Option<Vec<u8>>> = Vec::new();
        let limit = self.builder.limits().bytes.saturating_mul(2);
        let name = control.name.clone();
        let version = control.version.clone();
        let control = deb.contents::<AssembleError>(limit, &mut |_, member| {
            let entry = Entry { number, name: &name, version: &version, replaces: &replaces, conffiles: &conffiles };
            self.member(&entry, &mut list, member)
        })?;
        self.done.push(Unpacked { control, replaces, list, conffiles });
        Ok(())
    }

    fn member(
        &mut self,
        of: &Entry<'_>,
        list: &mut Vec<Option<Vec<u8>>>,
        member: RootMember<'_>,
    ) -> Result<(), AssembleError> {
        let path = plain(member.name);
        let refuse =
            |why| AssembleError::Database { package: of.name.to_owned(), what: path.escape_ascii().to_string(), why };
        if path.contains(&b'\n') {
            return Err(refuse("a line end cannot be in a path"));
        }
        // Only what we put there is a configuration file to dpkg.
        if path.ends_with(b".dpkg-new") {
            return Err(refuse("this is where dpkg looks for configuration files"));
        }
        // The builder holds each directory once; a package can have it a million times, and each is in its list.
        let limits = *self.builder.limits();
        (self.entries, self.names) = (self.entries + 1, self.names + path.len() as u64);
        if self.entries > limits.entries.saturating_mul(2) || self.names > limits.names {
            return Err(refuse("there are too many entries before it"));
        }
        let shown = [&b"/"[..], if path.is_empty() { b"." } else { path }].concat();
        let top = WHEN_USED.iter().find(|top| path.split(|byte| *byte == b'/').next() == Some(top.as_bytes()));
        if let Some(top) = top.filter(|_| self.merges)
            && self.builder.at(top.as_bytes(), Last::Itself).map_err(self::of(of.name))?.is_none()
        {
            self.link(top).map_err(self::of(of.name))?;
        }
        // Nothing of a package may pretend that dpkg, or we, wrote it.
        let whole = self.whole(path).map_err(self::of(of.name))?;
        let database =
            whole.starts_with(b"var/lib/dpkg/") || [&b"var"[..], b"var/lib", b"var/lib/dpkg"].contains(&&whole[..]);
        if database && !matches!(member.kind, RootKind::Dir) {
            return Err(refuse("it is in dpkg's database"));
        }
        let found = match path.is_empty() {
            true => Some(Found::Dir),
            false => self.builder.at(path, Last::Follow).map_err(self::of(of.name))?,
        };
        // What dpkg makes of what is there: a link to a directory stays where a directory comes, and a directory where a link comes.
        let stays = match member.kind {
            RootKind::Dir => found == Some(Found::Dir),
            RootKind::Link { .. } => {
                self.builder.at(path, Last::Itself).map_err(self::of(of.name))? == Some(Found::Dir)
            }
            _ => false,
        };
        if stays {
            list.push(Some(shown));
            return Ok(());
        }
        if let Some((owner, at)) = self.owners.get(&whole).copied() {
            if owner == of.number {
                return Err(refuse("it is there twice"));
            }
            let other = &mut self.done[owner];
            if matches!(member.kind, RootKind::Dir) {
                return Err(refuse("it is a directory, and a file or link of another package is there"));
            } else if replaces(of.replaces, &other.control.name, &other.control.version) {
                if let Some(old) = other.list[at].take().filter(|old| other.conffiles.remove(old)) {
                    self.builder.remove(&[&old, &b".dpkg-new"[..]].concat()).map_err(self::of(of.name))?;
                }
            } else if replaces(&other.replaces, of.name, of.version) {
                return Ok(());
            } else {
                let first = other.control.name.clone();
                let path = path.escape_ascii().to_string();
                return Err(AssembleError::Both { first, second: of.name.to_owned(), path });
            }
        }
        if matches!(member.kind, RootKind::Dir) {
            self.builder.dir(path).map_err(self::of(of.name))?;
            list.push(Some(shown));
            return Ok(());
        }
        let conffile = of.conffiles.contains(&shown);
        let place = if conffile { [path, b".dpkg-new"].concat() } else { path.to_vec() };
        let outcome = match member.kind {
            RootKind::File { perm, data, size, .. } => match master(of.name, path).filter(|_| size <= MAX_MASTER) {
                None => self.file(&place, perm, data),
                Some(name) => {
                    let mut bytes = Vec::new();
                    data.read_to_end(&mut bytes).map_err(|err| crate::archive::explain(Path::new(name), err))?;
                    let outcome = self.file(&place, perm, &mut bytes.as_slice());
                    self.masters.insert(name, bytes);
                    outcome
                }
            },
            RootKind::Link { target } => self.builder.symlink(&place, &target),
            RootKind::Hard { target } => {
                let target = plain(&target);
                let target_whole = self.whole(target).map_err(self::of(of.name))?;
                let owner = self.owners.get(&target_whole).map(|(owner, _)| *owner);
                if owner != Some(of.number) || conffile || of.conffiles.contains(&[b"/", target].concat()) {
                    return Err(refuse("it is a hard link to what is not a file of the package before it"));
                }
                self.builder.hardlink(&place, target)
            }
            RootKind::Device | RootKind::Fifo => return Err(refuse("it is a device or a FIFO")),
            RootKind::Dir => Ok(()),
        };
        outcome.map_err(self::of(of.name))?;
        self.owners.insert(whole, (of.number, list.len()));
        list.push(Some(shown));
        Ok(())
    }

    fn file(&mut self, place: &[u8], perm: u32, data: &mut dyn Read) -> Result<(), RootfsError> {
        if perm & 0o6000 != 0 {
            self.builder.leave_out(|left_out| left_out.set_ids += 1);
        }
        self.builder.file(place, perm & 0o111 != 0, data)
    }

    /// The path without links in what is above it, so that `/lib/a` and `/usr/lib/a` are one, and nothing is reached by another name.
    fn whole(&self, path: &[u8]) -> Result<Vec<u8>, RootfsError> {
        let mut real: Vec<u8> = Vec::new();
        let mut left: Vec<Vec<u8>> = path.rsplit(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
        let mut links = 0;
        while let Some(part) = left.pop() {
            match part.as_slice() {
                b"" | b"." => continue,
                // Of the member's own name the builder refuses it; in a link it is not above the root.
                b".." => {
                    let above = real.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                    real.truncate(above);
                    continue;
                }
                _ => {}
            }
            let before = real.len();
            if !real.is_empty() {
                real.push(b'/');
            }
            real.extend_from_slice(&part);
            if left.is_empty() || links == MAX_LINKS {
                continue;
            }
            if let Some(Found::Link { target }) = self.builder.at(&real, Last::Itself)? {
                links += 1;
                real.truncate(if target.starts_with(b"/") { 0 } else { before });
                left.extend(target.rsplit(|byte| *byte == b'/').map(<[u8]>::to_vec));
            }
        }
        Ok(real)
    }

    fn finish(mut self) -> Result<(Builder, Assembled), AssembleError> {
        let root = of("the root");
        for (path, bytes) in std::mem::take(&mut self.masters) {
            if self.builder.at(path.as_bytes(), Last::Itself).map_err(&root)?.is_none() {
                self.builder.file(path.as_bytes(), false, &mut bytes.as_slice()).map_err(&root)?;
            }
        }
        for dir in ["dev", "proc", "sys", "run", "tmp"] {
            self.builder.dir(dir.as_bytes()).map_err(&root)?;
        }
        // What the machine on which it runs says of itself has no place in it.
        self.builder.remove(b"etc/resolv.conf").map_err(&root)?;
        self.builder.file(b"etc/machine-id", false, &mut io::empty()).map_err(&root)?;
        let preinst = |unpacked: &&Unpacked| unpacked.control.file("preinst").is_some();
        let mut preinst: Vec<String> =
            self.done.iter().filter(preinst).map(|unpacked| unpacked.control.name.clone()).collect();
        preinst.sort();
        database::write(&mut self.builder, &mut self.done)?;
        Ok((self.builder, Assembled { preinst }))
    }
}

/// The package that is being unpacked.
struct Entry<'a> {
    number: usize,
    name: &'a str,
    version: &'a Version,
    replaces: &'a [Relation],
    conffiles: &'a BTreeSet<Vec<u8>>,
}

fn replaces(list: &[Relation], name: &str, version: &Version) -> bool {
    list.iter().any(|relation| relation.name == name && relation.admits(version))
}

/// Without `./` or `/` before it and slashes behind it. What else is wrong with a name the builder refuses.
fn plain(name: &[u8]) -> &[u8] {
    let mut name = name;
    while let Some(rest) = name.strip_prefix(b"./").or_else(|| name.strip_prefix(b"/")) {
        name = rest;
    }
    while let Some(rest) = name.strip_suffix(b"/") {
        name = rest;
    }
    if name == b"." { b"" } else { name }
}

/// The file that is made from one of `base-passwd`.
fn master(package: &str, path: &[u8]) -> Option<&'static str> {
    match (package, path) {
        ("base-passwd", b"usr/share/base-passwd/passwd.master") => Some("etc/passwd"),
        ("base-passwd", b"usr/share/base-passwd/group.master") => Some("etc/group"),
        _ => None,
    }
}

/// The relations of a field that names alternatives nowhere.
fn flat(package: &str, text: &str) -> Result<Vec<Relation>, AssembleError> {
    let list = relation::parse(text).map_err(|why| AssembleError::Replaces { package: package.to_owned(), why })?;
    Ok(list.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests;
