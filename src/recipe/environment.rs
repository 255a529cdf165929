//! `[environment]` of a recipe: what to build in. What it is pinned to stands in the lock.

use super::{RecipeError, wrong};
use crate::digest::{self, Sha256};
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
    pub(super) fn check(self) -> Result<Environment, RecipeError> {
        let digest = digest::sha256(&json::print(&self));
        let tools = self.tools.iter().map(TypedTool::check).collect::<Result<Vec<_>, _>>()?;
        let names: BTreeSet<&PartWord> = tools.iter().map(|tool| &tool.name).collect();
        if names.len() != tools.len() || tools.len() > MOST {
            return Err(wrong("environment.tools has a name twice, or too many"));
        }
        for tool in &tools {
            let within = |other: &&Tool| {
                other.name != tool.name
                    && tool
                        .at
                        .as_bytes()
                        .strip_prefix(other.at.as_bytes())
                        .is_some_and(|rest| rest.first() == Some(&b'/'))
            };
            if tools.iter().any(|other| other.name != tool.name && other.at == tool.at)
                || tools.iter().find(within).is_some()
            {
                return Err(wrong(format!(
                    "environment.tools: {} is unpacked into another tool's directory",
                    tool.name
                )));
            }
        }
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
        Ok(Environment { wants, tools, digest })
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
        let roots = Roots::new(false, [std::path::Path::new(&self.at)]);
        let roots = roots.map_err(|err| wrong(format!("environment.tools.at: {err}")))?;
        let at = roots.below().next().cloned().ok_or_else(|| wrong("environment.tools.at is empty"))?;
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
        self.kind() != Kind::Host || !self.tools.is_empty()
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
        let classes: &[Class] = match self.kind() {
            Kind::Host => &[],
            Kind::Rootfs => &[Class::Archive],
            Kind::Oci => &[Class::Manifest, Class::Config, Class::Layer],
            Kind::Debian => &[Class::Deb, Class::Index, Class::Release],
        };
        if let Some(part) =
            pinned.parts().iter().find(|part| part.class != Class::Tool && !classes.contains(&part.class))
        {
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
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    const HEAD: &str = "name = \"a\"\nversion = \"1\"\n[build]\nsteps = [[\"x\"]]\noutputs = [\"o\"]\n[environment]\n";

    fn read(text: &str) -> Result<Environment, String> {
        Recipe::parse(format!("{HEAD}{text}").as_bytes())
            .map(|recipe| recipe.environment)
            .map_err(|err| err.to_string())
    }

    const GO: &str = "[[environment.tools]]\nname = \"go\"\nversion = \"1.22\"\nfrom = \"go:go.tar.gz\"\nat = \"/opt/go\"\nstrip = 1\n";

    #[test]
    fn every_kind() {
        let debian =
            read("kind = \"debian\"\nsuites = [\"bookworm\", \"security:bookworm-security\"]\npackages = [\"gcc\"]\n");
        let Wants::Debian { suites, components, packages } = debian.unwrap().wants else { panic!() };
        assert_eq!((suites[0].mirror.as_str(), suites[1].mirror.as_str()), ("debian", "security"));
        assert_eq!(
            (suites[1].name.as_str(), components[0].as_str(), packages[0].as_str()),
            ("bookworm-security", "main", "gcc")
        );
        assert_eq!(read("kind = \"rootfs\"\nimage = \"local:a.tar\"\n").unwrap().kind(), Kind::Rootfs);
        assert_eq!(read("kind = \"oci\"\nimage = \"local:a\"\nreference = \"v1\"\n").unwrap().kind(), Kind::Oci);
        let host = read(GO).unwrap();
        assert!(host.needs_lock() && !read("").unwrap().needs_lock());
        assert_eq!((host.tools[0].at.as_bytes(), host.tools[0].strip), (&b"opt/go"[..], 1));
        assert_ne!(host.digest, read("").unwrap().digest);
        assert_eq!(read("kind = \"host\"").unwrap().digest, read("").unwrap().digest, "one spelling");
    }

    #[test]
    fn what_is_refused() {
        let debian = "kind = \"debian\"\nsuites = [\"bookworm\"]\npackages = [\"gcc\"]\n";
        for (text, why) in [
            ("kind = \"rootfs\"\n".to_owned(), "image is needed"),
            ("kind = \"rootfs\"\nimage = \"a.tar\"\n".to_owned(), "not a place"),
            ("kind = \"rootfs\"\nimage = \"-\"\n".to_owned(), "not a place"),
            ("kind = \"rootfs\"\nimage = \"local:../a.tar\"\n".to_owned(), "not a place"),
            ("image = \"local:a.tar\"\n".to_owned(), "says nothing with kind = \"host\""),
            (format!("{debian}roots = []\n"), "says nothing with kind = \"debian\""),
            (debian.replace("packages", "#"), "packages is needed"),
            (debian.replace("\"gcc\"", ""), "is empty"),
            (debian.replace("\"gcc\"", "\"g cc\""), "without blanks"),
            (debian.replace("\"bookworm\"", "\"../bookworm\""), "not a suite"),
            (debian.replace("\"bookworm\"", "\"a/b\""), "not a suite"),
            (GO.replace("/opt/go", "opt/go"), "not an absolute path"),
            (GO.replace("/opt/go", "/proc/go"), "the sandbox has its own"),
            (GO.replace("go:go", "go"), "not a place"),
            (GO.replace("strip = 1", "strip = 9"), "more than 8"),
            (GO.repeat(2), "a name twice"),
            (format!("{GO}{}", GO.replace("\"go\"", "\"go2\"")), "into another tool's"),
            (format!("{GO}{}", GO.replace("\"go\"", "\"go2\"").replace("/opt/go", "/opt/go/2")), "into another tool's"),
            (GO.replace("from = \"go:go.tar.gz\"", "from = {}"), "no architecture"),
        ] {
            let err = read(&text).unwrap_err();
            assert!(err.contains(why), "{text}: {err}");
        }
    }

    #[test]
    fn a_lock_fits_its_recipe_or_not() {
        let hex = "ab".repeat(32);
        let debian = read("kind = \"debian\"\nsuites = [\"bookworm\"]\npackages = [\"gcc\", \"make=4.3\"]\n").unwrap();
        let text = format!(
            "countersign-lock v1\nkind debian\nsource-date-epoch 5\narchitecture x86_64\ntree {hex}\n\
             part deb gcc:amd64 12 {hex} 1 vendor -\npart deb libc6:amd64 2 {hex} 1 vendor -\npart deb make:amd64 4.3 {hex} 1 vendor -\n"
        );
        let fits = |environment: &Environment, text: &str| {
            environment.fits(&crate::lock::Lock::parse(text).unwrap().pinned).map_err(|err| err.to_string())
        };
        assert_eq!(fits(&debian, &text), Ok(()));
        let tool = format!("part tool go 1.22 {hex} 1 vendor -\n");
        for (bad, why) in [
            (text.replace("make:amd64 4.3", "make:amd64 4.4"), "no package make=4.3"),
            (text.replace("deb gcc:", "deb gcc-12:"), "no package gcc"),
            (text.replace("kind debian", "kind oci"), "kind oci and debian"),
            (format!("{text}{tool}"), "other tools"),
            (
                text.replace("part deb gcc:amd64", &format!("part archive x - {hex} 1 vendor -\npart deb gcc:amd64")),
                "class archive",
            ),
            (
                text.replace(
                    "part deb libc6:amd64",
                    &format!("part deb gcc:amd64 13 {hex} 1 vendor -\npart deb libc6:amd64"),
                ),
                "twice",
            ),
        ] {
            assert!(fits(&debian, &bad).unwrap_err().contains(why), "{bad}");
        }
        let go = read(&format!("default-roots = false\nroots = [\"/usr\"]\n{GO}")).unwrap();
        let host = format!(
            "countersign-lock v1\nkind host\nsource-date-epoch 5\narchitecture x86_64\ntree {hex}\nroot /usr\n{tool}"
        );
        assert_eq!(fits(&go, &host), Ok(()));
        assert!(fits(&go, &host.replace("1.22", "1.23")).is_err());
        assert!(fits(&go, &host.replace("/usr", "/opt")).is_err());
    }
}
