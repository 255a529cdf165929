//! `[environment]` of a recipe: what to build in. What it is pinned to stands in the lock.

use super::{RecipeError, wrong};
use crate::digest::{self, Sha256};
use crate::fetched::Ecosystem;
use crate::json;
use crate::lock::{Class, Kind, PartWord, Pinned, Place, Roots};
use crate::path::TreePath;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Most packages, suites and tools that a recipe may name.
const MOST: usize = 4096;

/// What a recipe asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The environment itself.
    pub wants: Wants,
    /// Archives that are unpacked into it.
    pub tools: Vec<Tool>,
    /// What the source depends on, put into it.
    pub fetch: Vec<Fetch>,
    /// SHA-256 of the one spelling of all that.
    pub digest: Sha256,
}

/// Kinds of environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Paths of the machine.
    Host {
        /// Whether the default ones are there.
        default_roots: bool,
        /// Further ones.
        roots: Vec<PathBuf>,
    },
    /// A root file system: a tar archive.
    Rootfs {
        /// Where it is had.
        image: Place,
    },
    /// An OCI image: a layout directory, or an archive of one.
    Oci {
        /// Where it is had.
        image: Place,
        /// Its tag or digest, where there are several.
        reference: Option<String>,
    },
    /// Packages of Debian.
    Debian {
        /// Where they are from.
        suites: Vec<Suite>,
        /// Parts of the archive, such as `main`.
        components: Vec<PartWord>,
        /// Their names, each perhaps with `=VERSION`.
        packages: Vec<PartWord>,
    },
}

/// A suite of Debian, and the mirror that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suite {
    /// As configuration or command line call it.
    pub mirror: String,
    /// Such as `bookworm`, or `bookworm-security`.
    pub name: PartWord,
}

/// An archive with a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Name.
    pub name: PartWord,
    /// Version.
    pub version: PartWord,
    /// Where it is had, by architecture; under the empty name for all of them.
    pub from: BTreeMap<String, Place>,
    /// The directory in the environment that it is unpacked into.
    pub at: TreePath,
    /// Leading parts removed from its members' names.
    pub strip: u8,
}

/// What lock files in the source name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Whose lock files they are.
    pub kind: Ecosystem,
    /// The lock files; never empty.
    pub from: Vec<TreePath>,
    /// The directory in the environment that the files are put into.
    pub at: TreePath,
    /// The mirror that has them.
    pub mirror: String,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Typed {
    #[serde(default)]
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_roots: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roots: Option<Vec<PathBuf>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suites: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    components: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packages: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tools: Vec<TypedTool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fetch: Vec<TypedFetch>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TypedFetch {
    kind: Ecosystem,
    from: Vec<String>,
    at: Option<String>,
    mirror: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TypedTool {
    name: String,
    version: String,
    from: TypedFrom,
    at: String,
    #[serde(default)]
    strip: u8,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "from is a place `MIRROR:PATH`, or a table of one for each architecture")]
enum TypedFrom {
    All(String),
    Each(BTreeMap<String, String>),
}

impl Typed {
    pub(super) fn check(mut self) -> Result<Environment, RecipeError> {
        for fetch in &mut self.fetch {
            fetch.at.get_or_insert_with(|| format!("/vendor/{}", fetch.kind.word()));
            fetch.mirror.get_or_insert_with(|| fetch.kind.mirror().to_owned());
        }
        let digest = digest::sha256(&json::print(&self));
        let tools = self.tools.iter().map(TypedTool::check).collect::<Result<Vec<_>, _>>()?;
        let names: BTreeSet<&PartWord> = tools.iter().map(|tool| &tool.name).collect();
        if names.len() != tools.len() || tools.len() > MOST {
            return Err(wrong("environment.tools has a name twice, or too many"));
        }
        let fetch = self.fetch.iter().map(TypedFetch::check).collect::<Result<Vec<_>, _>>()?;
        let kinds: BTreeSet<Ecosystem> = fetch.iter().map(|fetch| fetch.kind).collect();
        if kinds.len() != fetch.len() {
            return Err(wrong("environment.fetch has a kind twice"));
        }
        apart(&tools, &fetch)?;
        self.only_keys_of_the_kind()?;
        let needed = |key: &str| wrong(format!("environment.{key} is needed with kind = {:?}", self.kind.word()));
        let place = |key: &str, text: &Option<String>| {
            let text = text.as_ref().ok_or_else(|| needed(key))?;
            text.parse::<Place>().ok().filter(|place| *place != Place::Unknown).ok_or_else(|| {
                wrong(format!(
                    "environment.{key} = {text:?} is not a place such as \"local:debian-12.tar\": MIRROR:PATH"
                ))
            })
        };
        let wants = match self.kind {
            Kind::Host => {
                Wants::Host { default_roots: self.default_roots.unwrap_or(true), roots: self.roots.unwrap_or_default() }
            }
            Kind::Rootfs => Wants::Rootfs { image: place("image", &self.image)? },
            Kind::Oci => Wants::Oci { image: place("image", &self.image)?, reference: self.reference },
            Kind::Debian => Wants::Debian {
                suites: suites(self.suites.as_ref().ok_or_else(|| needed("suites"))?)?,
                components: words("components", self.components.as_deref().unwrap_or(&["main".to_owned()]))?,
                packages: words("packages", self.packages.as_ref().ok_or_else(|| needed("packages"))?)?,
            },
        };
        Ok(Environment { wants, tools, fetch, digest })
    }

    /// A key of another kind would be taken and do nothing.
    fn only_keys_of_the_kind(&self) -> Result<(), RecipeError> {
        let is = |kind| self.kind == kind;
        for (key, given, belongs) in [
            ("default-roots", self.default_roots.is_some(), is(Kind::Host)),
            ("roots", self.roots.is_some(), is(Kind::Host)),
            ("image", self.image.is_some(), is(Kind::Rootfs) || is(Kind::Oci)),
            ("reference", self.reference.is_some(), is(Kind::Oci)),
            ("suites", self.suites.is_some(), is(Kind::Debian)),
            ("components", self.components.is_some(), is(Kind::Debian)),
            ("packages", self.packages.is_some(), is(Kind::Debian)),
        ] {
            if given && !belongs {
                return Err(wrong(format!("environment.{key} says nothing with kind = {:?}", self.kind.word())));
            }
        }
        Ok(())
    }
}

impl TypedTool {
    fn check(&self) -> Result<Tool, RecipeError> {
        let word = |key: &str, text: &str| {
            text.parse().map_err(|err| wrong(format!("environment.tools.{key} = {text:?}: {err}")))
        };
        let place = |text: &str| {
            let place = text.parse::<Place>().ok().filter(|place| *place != Place::Unknown);
            place.ok_or_else(|| wrong(format!("environment.tools.from = {text:?} is not a place: MIRROR:PATH")))
        };
        let from = match &self.from {
            TypedFrom::All(text) => [(String::new(), place(text)?)].into(),
            TypedFrom::Each(each) if each.is_empty() || each.contains_key("") => {
                return Err(wrong("environment.tools.from names no architecture"));
            }
            TypedFrom::Each(each) => {
                each.iter().map(|(name, text)| Ok((name.clone(), place(text)?))).collect::<Result<_, RecipeError>>()?
            }
        };
        let at = place_in_environment("environment.tools.at", &self.at)?;
        if self.strip > 8 {
            return Err(wrong("environment.tools.strip is more than 8"));
        }
        Ok(Tool {
            name: word("name", &self.name)?,
            version: word("version", &self.version)?,
            from,
            at,
            strip: self.strip,
        })
    }
}

impl TypedFetch {
    fn check(&self) -> Result<Fetch, RecipeError> {
        let path = |text: &String| {
            let path = TreePath::from_bytes(text.as_bytes());
            path.map_err(|err| wrong(format!("environment.fetch.from = {text:?}: {err}")))
        };
        let from = self.from.iter().map(path).collect::<Result<Vec<_>, _>>()?;
        let distinct: BTreeSet<&TreePath> = from.iter().collect();
        if from.is_empty() || from.len() > MOST || distinct.len() != from.len() {
            return Err(wrong(format!("environment.fetch.from is empty, longer than {MOST}, or has a path twice")));
        }
        let mirror = self.mirror.clone().unwrap_or_else(|| self.kind.mirror().to_owned());
        if !matches!(format!("{mirror}:x").parse(), Ok(Place::Mirror { mirror: own, .. }) if own == mirror) {
            return Err(wrong(format!("environment.fetch.mirror = {mirror:?} is not the name of a mirror")));
        }
        let at = self.at.clone().unwrap_or_else(|| format!("/vendor/{}", self.kind.word()));
        Ok(Fetch { kind: self.kind, from, at: place_in_environment("environment.fetch.at", &at)?, mirror })
    }
}

/// A directory of the environment that something is put into.
fn place_in_environment(key: &str, at: &str) -> Result<TreePath, RecipeError> {
    let roots = Roots::new(false, [std::path::Path::new(at)]).map_err(|err| wrong(format!("{key}: {err}")))?;
    roots.below().next().cloned().ok_or_else(|| wrong(format!("{key} is empty")))
}

/// Nothing is put into the directory of something else.
fn apart(tools: &[Tool], fetch: &[Fetch]) -> Result<(), RecipeError> {
    let tools = tools.iter().map(|tool| (format!("environment.tools: {}", tool.name), &tool.at));
    let fetch = fetch.iter().map(|fetch| (format!("environment.fetch: {}", fetch.kind.word()), &fetch.at));
    let mut all: Vec<(String, Vec<u8>)> =
        tools.chain(fetch).map(|(name, at)| (name, [at.as_bytes(), b"/"].concat())).collect();
    all.sort_by(|a, b| a.1.cmp(&b.1));
    // With the slash, what is below a directory comes directly behind it.
    match all.windows(2).find(|pair| pair[1].1.starts_with(&pair[0].1)) {
        Some(pair) => Err(wrong(format!("{} is unpacked into another's directory", pair[1].0))),
        None => Ok(()),
    }
}

fn words(key: &str, list: &[String]) -> Result<Vec<PartWord>, RecipeError> {
    if list.is_empty() || list.len() > MOST {
        return Err(wrong(format!("environment.{key} is empty, or longer than {MOST}")));
    }
    list.iter().map(|text| text.parse().map_err(|err| wrong(format!("environment.{key}: {text:?}: {err}")))).collect()
}

/// `SUITE`, or `MIRROR:SUITE` where another mirror than `debian` has it.
fn suites(list: &[String]) -> Result<Vec<Suite>, RecipeError> {
    let names: Vec<(&str, &str)> = list.iter().map(|text| text.split_once(':').unwrap_or(("debian", text))).collect();
    let suites = names.into_iter().map(|(mirror, name)| {
        // What follows the mirror is a directory there.
        match format!("{mirror}:dists/{name}").parse::<Place>() {
            Ok(Place::Mirror { mirror, .. }) if !name.contains('/') => {
                let name = name.parse().map_err(|err| wrong(format!("environment.suites: {name:?}: {err}")))?;
                Ok(Suite { mirror, name })
            }
            _ => Err(wrong(format!("environment.suites: {name:?} is not a suite such as \"bookworm\""))),
        }
    });
    let suites = suites.collect::<Result<Vec<_>, _>>()?;
    if suites.is_empty() || suites.len() > MOST { Err(wrong("environment.suites is empty")) } else { Ok(suites) }
}

impl Environment {
    /// The kind.
    pub fn kind(&self) -> Kind {
        match self.wants {
            Wants::Host { .. } => Kind::Host,
            Wants::Rootfs { .. } => Kind::Rootfs,
            Wants::Oci { .. } => Kind::Oci,
            Wants::Debian { .. } => Kind::Debian,
        }
    }

    /// Whether there is anything that a lock file has to pin: of a host's own paths there is not.
    pub fn needs_lock(&self) -> bool {
        self.kind() != Kind::Host || !self.tools.is_empty() || !self.fetch.is_empty()
    }

    /// Whether a lock is one of this environment: who reads the recipe must not judge another than the one that is signed. The first thing
    /// that does not fit, in words.
    pub fn fits(&self, pinned: &Pinned) -> Result<(), String> {
        if self.kind() != pinned.kind {
            return Err(format!("kind {} and {}", pinned.kind.word(), self.kind().word()));
        }
        let roots = match &self.wants {
            Wants::Host { default_roots, roots } => {
                Roots::new(*default_roots, roots.iter().map(PathBuf::as_path)).map_err(|err| err.to_string())?
            }
            _ => Roots::default(),
        };
        if roots != pinned.roots {
            return Err("other roots".to_owned());
        }
        let named = |class| pinned.parts().iter().filter(move |part| part.class == class);
        let tools: BTreeSet<_> = self.tools.iter().map(|tool| (&tool.name, &tool.version)).collect();
        let locked: BTreeSet<_> = named(Class::Tool).map(|part| (&part.name, &part.version)).collect();
        if tools != locked || named(Class::Tool).count() != self.tools.len() {
            return Err("other tools".to_owned());
        }
        // What the source names is known to who has the source; here, that something is there of each, and nothing else.
        for fetch in &self.fetch {
            if !pinned.parts().iter().any(|part| fetch.kind.classes().contains(&part.class)) {
                return Err(format!("nothing that {} depends on", fetch.kind.word()));
            }
        }
        let dependencies: Vec<Class> = self.fetch.iter().flat_map(|fetch| fetch.kind.classes()).copied().collect();
        let classes: &[Class] = match self.kind() {
            Kind::Host => &[],
            Kind::Rootfs => &[Class::Archive],
            Kind::Oci => &[Class::Manifest, Class::Config, Class::Layer],
            Kind::Debian => &[Class::Deb, Class::Index, Class::Release],
        };
        let of_the_kind = |class| class == Class::Tool || classes.contains(&class) || dependencies.contains(&class);
        if let Some(part) = pinned.parts().iter().find(|part| !of_the_kind(part.class)) {
            return Err(format!("a part of the class {}", part.class.word()));
        }
        match &self.wants {
            Wants::Host { .. } => {}
            Wants::Rootfs { .. } if named(Class::Archive).count() == 1 => {}
            Wants::Rootfs { .. } => return Err("not one archive".to_owned()),
            Wants::Oci { .. } if named(Class::Manifest).count() == 1 && named(Class::Config).count() == 1 => {}
            Wants::Oci { .. } => return Err("not one image".to_owned()),
            Wants::Debian { packages, .. } => {
                let name = |part: &'_ PartWord| part.as_str().split(':').next().unwrap_or_default().to_owned();
                let debs: BTreeMap<String, &str> =
                    named(Class::Deb).map(|part| (name(&part.name), part.version.as_str())).collect();
                if debs.len() != named(Class::Deb).count() {
                    return Err("a package twice".to_owned());
                }
                for package in packages {
                    let (name, version) = match package.as_str().split_once('=') {
                        Some((name, version)) => (name, Some(version)),
                        None => (package.as_str(), None),
                    };
                    if debs.get(name).is_none_or(|there| version.is_some_and(|version| version != *there)) {
                        return Err(format!("no package {package}"));
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
