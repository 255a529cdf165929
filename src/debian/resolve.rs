//! From the names of wanted packages to the exact set of packages that must be there.
//!
//! What is chosen:
//! - the base: `Essential: yes`, of which every package may make use without saying so; with [`Base::Required`] also `Priority: required`,
//!   which is mmdebstrap's variant `minbase`, where `apt` is required as in Debian 12;
//! - what is wanted, `build-essential` too only when it is;
//! - for all of these what `Pre-Depends` and `Depends` name. Never what `Recommends` names.
//!
//! Of a package the highest version is taken, or that which was asked for. A dependency that admits only another version, as of the packages
//! that were built with an older one, pins that version, and all is begun anew: what was chosen before does not decide. Of alternatives, one
//! that is there anyway is taken, else the first that can be had; they are decided after all that leaves no choice. Of several packages that
//! provide a name, the essential come before others, then by priority, then by name.
//!
//! `Conflicts` and `Breaks` are checked at the end and lead to no other choice: the answer follows from the inputs by few rules, and the
//! caller can always say which alternative is wanted.

use super::index::{Field, Index, Package, Provided};
use super::relation::{self, Relation, RelationError};
use super::version::{Version, VersionError};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most packages named by the caller, and in the answer.
const MAX: usize = 20_000;
/// How often a dependency may pin a version.
const MAX_PINS: usize = 1000;

/// What is there without being asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// `Essential: yes`.
    Essential,
    /// That, and `Priority: required`.
    Required,
}

/// A package that the caller asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// A package, or a name that one provides.
    pub name: String,
    /// Exactly this version.
    pub version: Option<Version>,
}

impl Wanted {
    /// Reads `name` or `name=version`.
    pub fn parse(text: &str) -> Result<Wanted, ResolveError> {
        let (name, version) = match text.split_once('=') {
            Some((name, version)) => (name, Some(Version::parse(version)?)),
            None => (text, None),
        };
        if !relation::is_name(name) {
            return Err(RelationError::Relation(text.chars().take(200).collect()).into());
        }
        Ok(Wanted { name: name.to_owned(), version })
    }
}

/// No set of packages answers.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Something that cannot be had.
    #[error("no package for {wanted}{}{}", instead(there), chain(because))]
    Missing {
        /// A relation, or several with `|` between them.
        wanted: String,
        /// Packages of that name which will not do.
        there: Vec<String>,
        /// Who wanted it, and who wanted that, up to what was asked for.
        because: Vec<String>,
    },
    /// Two packages that may not be together.
    #[error("{package} {field} {relation}, which is {other}{}", chain(because))]
    Conflict {
        /// The package that says so, with its version.
        package: String,
        /// `conflicts with` or `breaks`.
        field: &'static str,
        /// What it says.
        relation: String,
        /// The other one, with its version.
        other: String,
        /// Who wanted the first, and then who wanted the other.
        because: Vec<String>,
    },
    /// The same version of a package twice, and not the same file.
    #[error("there are two different packages {0}")]
    Ambiguous(String),
    /// Asked for in two versions.
    #[error("{0} is wanted in two versions")]
    Twice(String),
    /// A package whose relations cannot be read.
    #[error("{package}: {field}: {why}")]
    Relation {
        /// The package, with its version.
        package: String,
        /// Which of its fields.
        field: &'static str,
        /// What is wrong.
        why: RelationError,
    },
    /// Text that asks for no package.
    #[error(transparent)]
    Name(#[from] RelationError),
    /// Text that asks for no version.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// More than the limit.
    #[error("more than {MAX} packages, or {MAX_PINS} pinned versions")]
    TooMany,
}

fn instead(there: &[String]) -> String {
    if there.is_empty() { String::new() } else { format!(" (there is {})", there.join(", ")) }
}

fn chain(because: &[String]) -> String {
    because.iter().map(|link| format!("; {link}")).collect()
}

/// The set of packages, sorted by name.
pub fn resolve<'a>(index: &'a Index, base: Base, wanted: &[Wanted]) -> Result<Vec<&'a Package>, ResolveError> {
    if wanted.len() > MAX {
        return Err(ResolveError::TooMany);
    }
    let mut pins: BTreeMap<String, Version> = BTreeMap::new();
    for Wanted { name, version } in wanted {
        let Some(version) = version else { continue };
        if pins.insert(name.clone(), version.clone()).is_some_and(|other| other != *version) {
            return Err(ResolveError::Twice(name.clone()));
        }
    }
    let names: BTreeSet<&str> = wanted.iter().map(|wanted| wanted.name.as_str()).collect();
    for _ in 0..MAX_PINS {
        let mut set =
            Set { index, pins: &pins, chosen: BTreeMap::new(), sure: VecDeque::new(), choices: VecDeque::new() };
        match set.close(base, &names)? {
            None => {
                set.check()?;
                return Ok(set.chosen.values().map(|chosen| &index.packages[chosen.package]).collect());
            }
            Some((name, version)) => {
                pins.insert(name, version);
            }
        }
    }
    Err(ResolveError::TooMany)
}

/// A package in the set.
struct Chosen {
    package: usize,
    /// Who wanted it; `None` for what the caller or the base did.
    because: Option<Because>,
}

/// Group `group` of the field of a package.
#[derive(Clone)]
struct Because {
    package: usize,
    field: Field,
    text: String,
}

/// A group of alternatives, and who has it.
struct Group {
    list: Vec<Relation>,
    because: Option<Because>,
}

/// A set that grows.
struct Set<'a> {
    index: &'a Index,
    pins: &'a BTreeMap<String, Version>,
    chosen: BTreeMap<&'a str, Chosen>,
    /// Packages whose relations were not looked at yet.
    sure: VecDeque<usize>,
    /// Groups that leave a choice, or that nothing answers so far.
    choices: VecDeque<Group>,
}

impl<'a> Set<'a> {
    /// Adds all that is missing. Returns a version to pin, after which all must be done anew.
    fn close(&mut self, base: Base, wanted: &BTreeSet<&str>) -> Result<Option<(String, Version)>, ResolveError> {
        let index = self.index;
        let mut roots: Vec<usize> = Vec::new();
        for name in index.by_name.keys() {
            let package = self.candidate(name).filter(|package| {
                let package = &index.packages[*package];
                package.essential || (base == Base::Required && package.rank == super::index::Rank::Required)
            });
            roots.extend(package);
        }
        roots.sort_by_key(|package| &index.packages[*package].name);
        for package in roots {
            self.choose(package, None)?;
        }
        for name in wanted {
            let version = self.pins.get(*name).map(|version| (relation::Operator::Exactly, version.clone()));
            let relation = Relation { name: (*name).to_owned(), qualifier: None, version };
            self.group(vec![relation], None)?;
        }
        loop {
            if let Some(package) = self.sure.pop_front() {
                self.dependencies(package)?;
            } else if let Some(group) = self.choices.pop_front() {
                if let Some(pin) = self.decide(group)? {
                    return Ok(Some(pin));
                }
            } else {
                return Ok(None);
            }
        }
    }

    /// The one version of a package that may be taken.
    fn candidate(&self, name: &str) -> Option<usize> {
        let all = self.index.by_name.get(name)?;
        match self.pins.get(name) {
            None => all.first().copied(),
            Some(pin) => all.iter().copied().find(|package| self.index.packages[*package].version == *pin),
        }
    }

    fn choose(&mut self, package: usize, because: Option<Because>) -> Result<(), ResolveError> {
        let found = &self.index.packages[package];
        if self.chosen.contains_key(found.name.as_str()) {
            return Ok(());
        }
        if self.chosen.len() == MAX {
            return Err(ResolveError::TooMany);
        }
        let same = |other: &&usize| self.index.packages[**other].version == found.version;
        let twin = self.index.by_name[&found.name].iter().filter(same).any(|other| {
            let other = &self.index.packages[*other];
            (other.sha256, other.size) != (found.sha256, found.size)
        });
        if twin {
            return Err(ResolveError::Ambiguous(self.print(package)));
        }
        self.chosen.insert(&found.name, Chosen { package, because });
        self.sure.push_back(package);
        Ok(())
    }

    fn dependencies(&mut self, package: usize) -> Result<(), ResolveError> {
        for field in [Field::PreDepends, Field::Depends] {
            for list in self.relations(package, field)? {
                let because = Because { package, field, text: print(&list) };
                self.group(list, Some(because))?;
            }
        }
        Ok(())
    }

    fn relations(&self, package: usize, field: Field) -> Result<Vec<Vec<Relation>>, ResolveError> {
        self.index.packages[package].relations(field).map_err(|why| ResolveError::Relation {
            package: self.print(package),
            field: field.name(),
            why,
        })
    }

    /// What leaves no choice is chosen at once.
    fn group(&mut self, list: Vec<Relation>, because: Option<Because>) -> Result<(), ResolveError> {
        if let [only] = list.as_slice()
            && let Some(package) = self.direct(only)
        {
            return self.choose(package, because);
        }
        self.choices.push_back(Group { list, because });
        Ok(())
    }

    fn decide(&mut self, group: Group) -> Result<Option<(String, Version)>, ResolveError> {
        if group.list.iter().any(|relation| self.is_there(relation)) {
            return Ok(None);
        }
        let found = group.list.iter().find_map(|relation| self.direct(relation).or_else(|| self.provider(relation)));
        if let Some(package) = found {
            self.choose(package, group.because)?;
            return Ok(None);
        }
        // Only another version will do.
        for relation in &group.list {
            if self.pins.contains_key(&relation.name) {
                continue;
            }
            let all = self.index.by_name.get(&relation.name).map(Vec::as_slice).unwrap_or_default();
            if let Some(package) = all.iter().find(|package| self.answers(relation, **package)) {
                return Ok(Some((relation.name.clone(), self.index.packages[*package].version.clone())));
            }
        }
        let there = group.list.iter().flat_map(|relation| self.index.by_name.get(&relation.name).into_iter().flatten());
        let there = there.map(|package| self.print(*package)).take(10).collect();
        Err(ResolveError::Missing { wanted: print(&group.list), there, because: self.chain(group.because.as_ref()) })
    }

    /// The package of that name, if it may be taken and will do.
    fn direct(&self, relation: &Relation) -> Option<usize> {
        self.candidate(&relation.name).filter(|package| self.answers(relation, *package))
    }

    /// Whether a package of that name will do.
    fn answers(&self, relation: &Relation, package: usize) -> bool {
        relation.admits(&self.index.packages[package].version) && self.qualifies(relation, package)
    }

    /// There is one architecture here, and what is for all counts as of it.
    fn qualifies(&self, relation: &Relation, package: usize) -> bool {
        match relation.qualifier.as_deref() {
            None | Some("native") => true,
            Some("any") => self.index.packages[package].multi_arch_allowed,
            Some(architecture) => architecture == self.index.architecture,
        }
    }

    fn provides(&self, relation: &Relation, provided: &Provided) -> bool {
        let version = match (&relation.version, &provided.version) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(version)) => relation.admits(version),
        };
        version && self.qualifies(relation, provided.by)
    }

    /// The best of the packages that provide what is named.
    fn provider(&self, relation: &Relation) -> Option<usize> {
        let provided = self.index.provided.get(&relation.name)?;
        let may = provided.iter().filter(|provided| {
            self.provides(relation, provided)
                && self.candidate(&self.index.packages[provided.by].name) == Some(provided.by)
        });
        may.map(|provided| provided.by).min_by_key(|package| {
            let package = &self.index.packages[*package];
            (Reverse(package.essential), package.rank, &package.name)
        })
    }

    fn is_there(&self, relation: &Relation) -> bool {
        let direct = self.chosen.get(relation.name.as_str());
        direct.is_some_and(|chosen| self.answers(relation, chosen.package))
            || self.providers(relation).any(|provided| self.provides(relation, provided))
    }

    /// What chosen packages provide under that name.
    fn providers(&self, relation: &Relation) -> impl Iterator<Item = &'a Provided> {
        let all = self.index.provided.get(&relation.name).map(Vec::as_slice).unwrap_or_default();
        all.iter().filter(|provided| self.is_chosen(provided.by))
    }

    fn is_chosen(&self, package: usize) -> bool {
        let name = self.index.packages[package].name.as_str();
        self.chosen.get(name).is_some_and(|chosen| chosen.package == package)
    }

    /// Whether all that was chosen may be together.
    fn check(&self) -> Result<(), ResolveError> {
        for chosen in self.chosen.values() {
            for field in [Field::Conflicts, Field::Breaks] {
                for relation in self.relations(chosen.package, field)?.iter().flatten() {
                    if let Some(other) = self.against(chosen.package, relation) {
                        return Err(self.conflict(chosen.package, field, relation, other));
                    }
                }
            }
        }
        Ok(())
    }

    /// A chosen package, not itself, that is meant by what a package does not go together with.
    fn against(&self, package: usize, relation: &Relation) -> Option<usize> {
        let here = relation.qualifier.as_deref();
        if !matches!(here, None | Some("any" | "native")) && here != Some(&self.index.architecture) {
            return None;
        }
        let relation = &Relation { qualifier: None, ..relation.clone() };
        let direct = self.chosen.get(relation.name.as_str()).map(|chosen| chosen.package);
        let direct = direct.filter(|other| self.answers(relation, *other));
        let provided = self.providers(relation).filter(|provided| self.provides(relation, provided));
        direct.into_iter().chain(provided.map(|provided| provided.by)).find(|other| *other != package)
    }

    fn conflict(&self, package: usize, field: Field, relation: &Relation, other: usize) -> ResolveError {
        let chain = |package: usize| {
            let name = self.index.packages[package].name.as_str();
            self.chain(self.chosen.get(name).and_then(|chosen| chosen.because.as_ref()))
        };
        ResolveError::Conflict {
            package: self.print(package),
            field: if field == Field::Breaks { "breaks" } else { "conflicts with" },
            relation: relation.to_string(),
            other: self.print(other),
            because: [chain(package), chain(other)].concat(),
        }
    }

    fn chain(&self, because: Option<&Because>) -> Vec<String> {
        let mut links = Vec::new();
        let mut next = because;
        while let Some(because) = next {
            links.push(format!("{} {}: {}", self.print(because.package), because.field.name(), because.text));
            let name = self.index.packages[because.package].name.as_str();
            next = self.chosen.get(name).and_then(|chosen| chosen.because.as_ref());
        }
        links
    }

    fn print(&self, package: usize) -> String {
        let package = &self.index.packages[package];
        format!("{} {}", package.name, package.version)
    }
}

fn print(group: &[Relation]) -> String {
    group.iter().map(Relation::to_string).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests;
