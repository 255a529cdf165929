//! Mirrors: where the files of an environment are had, from directories, and with the feature `fetch` over HTTP. What is had is believed by nobody before its
//! digest was looked at.

#[cfg(feature = "fetch")]
mod http;

use crate::fetch::Network;
use crate::fs::FsError;
use crate::lock::Place;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where the mirrors of a lock's places are.
#[derive(Clone, Debug, Default)]
pub struct Mirrors {
    by_name: BTreeMap<String, Vec<Base>>,
    #[cfg(feature = "fetch")]
    client: http::Client,
}

/// One mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// A directory of this machine.
    Dir(PathBuf),
    /// What the path of a place is put behind, after a slash.
    Http(String),
}

/// Something that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The place names no mirror, or one that nobody named.
    #[error("no mirror {0:?} is known")]
    Unknown(String),
    /// There is no place to look at.
    #[error("nothing says where it is")]
    NoPlace,
    /// Neither a URL of HTTP nor a directory.
    #[error("{0:?} is neither an http:// or https:// URL nor an absolute path")]
    Base(String),
    /// A file of a mirror that is a directory.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A server's answer, or that there is none.
    #[error("{url}: {why}")]
    Http {
        /// What was asked for.
        url: String,
        /// What came of it.
        why: String,
    },
    /// This program was built without the feature.
    #[error("{0}: this program was built without fetching (feature `fetch`)")]
    NotBuilt(String),
}

/// A file that is being read, and where from.
pub struct Fetched {
    /// For people.
    pub what: String,
    /// A file or directory of this machine.
    pub path: Option<PathBuf>,
    /// Its bytes.
    pub bytes: Box<dyn Read>,
}

impl Mirrors {
    /// None yet; servers will be checked against the authorities of `network`.
    pub fn new(network: Network) -> Mirrors {
        #[cfg(not(feature = "fetch"))]
        let _ = network;
        Mirrors {
            by_name: BTreeMap::new(),
            #[cfg(feature = "fetch")]
            client: http::Client::new(network),
        }
    }

    /// One more base for a name; the ones that were added first are asked first.
    pub fn add(&mut self, name: &str, base: &str) -> Result<(), MirrorError> {
        let refused = || MirrorError::Base(base.to_owned());
        let http = ["http://", "https://"].iter().any(|scheme| base.starts_with(scheme));
        let base = match http {
            true if base.bytes().all(|b| b.is_ascii_graphic()) => Base::Http(base.trim_end_matches('/').to_owned()),
            false if Path::new(base).is_absolute() => Base::Dir(base.into()),
            _ => return Err(refused()),
        };
        if !matches!(format!("{name}:x").parse(), Ok(Place::Mirror { mirror, .. }) if mirror == name) {
            return Err(MirrorError::Unknown(name.to_owned()));
        }
        self.by_name.entry(name.to_owned()).or_default().push(base);
        Ok(())
    }

    /// Whether the name has a base.
    pub fn knows(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Opens what is at a place: of the first mirror that has it.
    pub fn open(&self, place: &Place) -> Result<Fetched, MirrorError> {
        let Place::Mirror { mirror, path } = place else { return Err(MirrorError::NoPlace) };
        let bases = self.by_name.get(mirror).ok_or_else(|| MirrorError::Unknown(mirror.clone()))?;
        let mut first = None;
        for base in bases {
            match self.open_at(base, path) {
                Ok(fetched) => return Ok(fetched),
                Err(err) => first = first.or(Some(err)),
            }
        }
        Err(first.unwrap_or(MirrorError::NoPlace))
    }

    fn open_at(&self, base: &Base, path: &str) -> Result<Fetched, MirrorError> {
        match base {
            Base::Dir(dir) => {
                let path = dir.join(path);
                let file = crate::fs::open_file(&path)?;
                Ok(Fetched { what: path.display().to_string(), path: Some(path), bytes: Box::new(file) })
            }
            Base::Http(base) => {
                let url = format!("{base}/{path}");
                #[cfg(feature = "fetch")]
                return self.client.get(&url).map(|bytes| Fetched { what: url, path: None, bytes });
                #[cfg(not(feature = "fetch"))]
                Err(MirrorError::NotBuilt(url))
            }
        }
    }

    /// Opens the page of a directory of a mirror: of one that is a directory the file `index.html` in it.
    pub fn page(&self, mirror: &str, dir: &str) -> Result<Fetched, MirrorError> {
        let bases = self.by_name.get(mirror).ok_or_else(|| MirrorError::Unknown(mirror.to_owned()))?;
        let mut first = None;
        for base in bases {
            let page = match base {
                Base::Dir(_) => format!("{dir}/index.html"),
                Base::Http(_) => format!("{dir}/"),
            };
            match self.open_at(base, &page) {
                Ok(fetched) => return Ok(fetched),
                Err(err) => first = first.or(Some(err)),
            }
        }
        Err(first.unwrap_or(MirrorError::NoPlace))
    }

    /// The place of a URL that is below a base of some mirror.
    pub fn place_of(&self, url: &str) -> Option<Place> {
        let bases = self.by_name.iter().flat_map(|(name, bases)| bases.iter().map(move |base| (name, base)));
        let mut places = bases.filter_map(|(name, base)| match base {
            Base::Http(base) => format!("{name}:{}", url.strip_prefix(base.as_str())?.strip_prefix('/')?).parse().ok(),
            Base::Dir(_) => None,
        });
        places.next()
    }

    /// The place of a path below the hosts of a mirror, of which a base may be a directory: `/` is the top of a base that is one of this machine.
    pub fn place_on_host(&self, mirror: &str, path: &str) -> Option<Place> {
        let mut places = self.by_name.get(mirror)?.iter().filter_map(|base| match base {
            Base::Dir(_) => format!("{mirror}:{path}").parse().ok(),
            Base::Http(base) => {
                let (scheme, rest) = base.split_once("://")?;
                let host = rest.split('/').next()?;
                self.place_of(&format!("{scheme}://{host}/{path}"))
            }
        });
        places.next()
    }

    /// The file or directory at a place, where a mirror that is a directory has it.
    pub fn local(&self, place: &Place) -> Option<PathBuf> {
        let Place::Mirror { mirror, path } = place else { return None };
        let dirs = self.by_name.get(mirror)?.iter().filter_map(|base| match base {
            Base::Dir(dir) => Some(dir.join(path)),
            Base::Http(_) => None,
        });
        dirs.into_iter().find(|path| path.exists())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mirror_that_has_it() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(two.path().join("a"), "two").unwrap();
        let mut mirrors = Mirrors::default();
        for dir in [&one, &two] {
            mirrors.add("local", dir.path().to_str().unwrap()).unwrap();
        }
        let read = |place: &str| {
            let mut text = String::new();
            mirrors
                .open(&place.parse().unwrap())
                .map(|mut fetched| fetched.bytes.read_to_string(&mut text).unwrap())?;
            Ok::<_, MirrorError>(text)
        };
        assert_eq!(read("local:a").unwrap(), "two");
        std::fs::write(one.path().join("a"), "one").unwrap();
        assert_eq!(read("local:a").unwrap(), "one");
        assert!(matches!(read("local:b"), Err(MirrorError::Fs(_))));
        assert!(matches!(read("other:a"), Err(MirrorError::Unknown(name)) if name == "other"));
        assert!(matches!(read("-"), Err(MirrorError::NoPlace)));
        for bad in ["relative", "ftp://x", "http://a b", "file:///x", ""] {
            assert!(matches!(mirrors.clone().add("x", bad), Err(MirrorError::Base(_))), "{bad}");
        }
        mirrors.add("files", "https://files.example/all/").unwrap();
        mirrors.add("index", "https://index.example/root").unwrap();
        let place = |url| mirrors.place_of(url).map(|place| place.to_string());
        assert_eq!(place("https://files.example/all/a/b.whl").as_deref(), Some("files:a/b.whl"));
        for other in
            ["https://files.example/allx/b.whl", "http://files.example/all/b", "https://files.example/all/../b", "/b"]
        {
            assert_eq!(place(other), None, "{other}");
        }
        let place = |mirror, path| mirrors.place_on_host(mirror, path).map(|place| place.to_string());
        assert_eq!(place("index", "root/p/a").as_deref(), Some("index:p/a"));
        assert_eq!(place("local", "p/a").as_deref(), Some("local:p/a"));
        assert_eq!((place("index", "p/a"), place("none", "p/a")), (None, None));
        std::fs::create_dir(two.path().join("d")).unwrap();
        std::fs::write(two.path().join("d/index.html"), "page").unwrap();
        let mut page = String::new();
        mirrors.page("local", "d").unwrap().bytes.read_to_string(&mut page).unwrap();
        assert_eq!(page, "page");
        assert!(mirrors.page("local", "e").is_err() && mirrors.page("none", "d").is_err());
        assert!(mirrors.clone().add("a:b", "/x").is_err() && mirrors.clone().add("", "/x").is_err());
    }
}
