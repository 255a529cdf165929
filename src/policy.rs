//! Policies: whose signature counts as what, and how many are needed (docs/spec.md §7).
//!
//! A policy belongs to whoever verifies. It is never read from a bundle, a source tree or the working directory, and what it says of
//! a signer (role, organisation, jurisdiction, platform) is what counts, never what the signer says of itself. A policy that could
//! accept nothing, or anything, is an error and not a policy.
//!
//! ```toml
//! [[signer]]
//! name = "vendor"
//! key = "ssh-ed25519 AAAA…"
//! roles = ["vendor"]
//! organisation = "Example AG"
//!
//! [require]
//! vendor = 1
//! rebuilders = 2
//! ```

mod build;
mod matching;
mod template;
mod wire;

pub use build::{BuildRule, VOUCHERS};
pub use template::template;

use crate::digest::TreeDigest;
use crate::signature::PublicKey;
use crate::statement::Observation;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::num::NonZeroU32;

/// Longest policy, in bytes.
pub const MAX_POLICY: u64 = 1 << 20;
/// Most signers.
pub const MAX_SIGNERS: usize = 1000;

/// A policy that can be met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    signers: Vec<Signer>,
    require: Require,
}

/// Somebody whose signature counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// What the verifier calls it.
    pub name: String,
    /// Its key.
    pub key: PublicKey,
    /// As what it counts.
    pub role: Role,
    /// Builder ids that count with this key; an approver has none.
    pub builders: Vec<String>,
    /// Who runs it.
    pub organisation: Option<Attribute>,
    /// Under whose law.
    pub jurisdiction: Option<Attribute>,
    /// On what it builds.
    pub platform: Option<Attribute>,
}

/// As what a signature counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Publishes releases.
    Vendor,
    /// Builds them again.
    Rebuilder,
    /// Reads them and agrees, without building.
    Approver,
}

impl Role {
    /// As a policy writes it.
    pub fn word(self) -> &'static str {
        match self {
            Role::Vendor => "vendor",
            Role::Rebuilder => "rebuilder",
            Role::Approver => "approver",
        }
    }
}

/// What the verifier knows of a signer. Two are equal when they are after lower-casing and with white space run together, so that a slip
/// of spelling makes one organisation of two and never two of one.
#[derive(Clone, Debug)]
pub struct Attribute {
    text: String,
    folded: String,
}

/// What is needed for a yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Require {
    /// Distinct vendor keys.
    pub vendor: NonZeroU32,
    /// Distinct rebuilder keys; `None` is the policy's own word `"none"`.
    pub rebuilders: Option<NonZeroU32>,
    /// Distinct organisations among the rebuilders that count.
    pub organisations: Option<NonZeroU32>,
    /// The same for jurisdictions.
    pub jurisdictions: Option<NonZeroU32>,
    /// The same for platforms.
    pub platforms: Option<NonZeroU32>,
    /// Distinct approver keys, of those who approve the very statement of the vendor that counts.
    pub approvals: Option<NonZeroU32>,
    /// So many rebuilders that count, each in an environment of its own: distinct fingerprints of distinct keys.
    pub environments: Option<NonZeroU32>,
    /// What a build must have been to count.
    pub builds: BuildRule,
    /// So many rebuilders' dissent refuses.
    pub vetoes: NonZeroU32,
}

/// Text that is no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The line, from 1, where there is one to blame.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub why: String,
}

impl std::error::Error for PolicyError {}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "policy, line {line}: {}", self.why),
            None => write!(f, "policy: {}", self.why),
        }
    }
}

impl Attribute {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Attribute {
    fn eq(&self, other: &Attribute) -> bool {
        self.folded == other.folded
    }
}

impl Eq for Attribute {}

impl std::hash::Hash for Attribute {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.folded.hash(state);
    }
}

impl<'de> Deserialize<'de> for Attribute {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Attribute, D::Error> {
        let text = String::deserialize(d)?;
        let folded = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        if folded.is_empty() {
            return Err(serde::de::Error::custom("an empty text says nothing; leave the key out"));
        }
        Ok(Attribute { text, folded })
    }
}

impl Signer {
    /// Whether it counts as a rebuilder, if it counts.
    pub fn rebuilds(&self) -> bool {
        self.role == Role::Rebuilder
    }
}

impl Policy {
    /// Reads a policy and checks that it can be met.
    pub fn parse(text: &str) -> Result<Policy, PolicyError> {
        let at = |span: std::ops::Range<usize>| {
            Some(text.get(..span.start).unwrap_or_default().bytes().filter(|b| *b == b'\n').count() + 1)
        };
        if text.len() as u64 > MAX_POLICY {
            return Err(PolicyError { line: None, why: format!("it is longer than {MAX_POLICY} bytes") });
        }
        let wire: wire::Wire = toml::from_str(text).map_err(|err| PolicyError {
            line: err.span().and_then(at),
            why: err.message().trim().replace('\n', ", "),
        })?;
        // A struct is also read from an array, value by value: no other reader takes that.
        let whole: toml::Table = toml::from_str(text)
            .map_err(|err| PolicyError { line: None, why: err.message().trim().replace('\n', ", ") })?;
        let signers = whole.get("signer").and_then(toml::Value::as_array).into_iter().flatten();
        if !signers.chain(whole.get("require")).all(toml::Value::is_table) {
            return Err(PolicyError { line: None, why: "an array stands where a table should".to_owned() });
        }
        if wire.signer.len() > MAX_SIGNERS {
            return Err(PolicyError { line: None, why: format!("more than {MAX_SIGNERS} signers") });
        }
        let mut signers = Vec::with_capacity(wire.signer.len());
        let mut seen = Seen::default();
        for signer in wire.signer {
            let line = at(signer.span());
            let signer = wire::signer(signer.into_inner()).and_then(|signer| {
                seen.add(&signer)?;
                Ok(signer)
            });
            signers.push(signer.map_err(|why| PolicyError { line, why })?);
        }
        let line = at(wire.require.span());
        let require = wire::require(wire.require.into_inner()).map_err(|why| PolicyError { line, why })?;
        let policy = Policy { signers, require };
        policy.can_be_met().map_err(|why| PolicyError { line, why })?;
        Ok(policy)
    }

    /// All signers, in the policy's order.
    pub fn signers(&self) -> &[Signer] {
        &self.signers
    }

    /// What is needed.
    pub fn require(&self) -> &Require {
        &self.require
    }

    /// Whether a rebuild by this signer counts at all: a rebuilder, and not of a vendor's own organisation.
    pub fn independent(&self, signer: &Signer) -> bool {
        let of_vendor = |organisation: &Attribute| {
            self.signers.iter().any(|s| s.role == Role::Vendor && s.organisation.as_ref() == Some(organisation))
        };
        signer.role == Role::Rebuilder && !signer.organisation.as_ref().is_some_and(of_vendor)
    }

    /// What stands between these rebuilders and the thresholds, in words. Empty: nothing. `built_in` has the environments of each, who is known
    /// by a number: one rebuilder counts for one of them.
    pub fn rebuilders_short_of(
        &self,
        rebuilders: &[&Signer],
        built_in: &BTreeMap<usize, BTreeSet<TreeDigest>>,
    ) -> Vec<String> {
        let mut short = self.signers_short_of(rebuilders);
        if let Some(want) = self.require.environments {
            let have = matching::matched(built_in, usize::try_from(want.get()).unwrap_or(usize::MAX));
            if (have as u64) < u64::from(want.get()) {
                short.push(of(have, want.get(), "environment"));
            }
        }
        short
    }

    fn signers_short_of(&self, rebuilders: &[&Signer]) -> Vec<String> {
        let require = &self.require;
        let mut short = Vec::new();
        let mut need = |want: Option<NonZeroU32>, have: usize, what: &str| {
            if let Some(want) = want.filter(|want| (have as u64) < u64::from(want.get())) {
                short.push(of(have, want.get(), what));
            }
        };
        let distinct = |of: fn(&Signer) -> Option<&Attribute>| {
            rebuilders.iter().filter_map(|signer| of(signer)).collect::<HashSet<_>>().len()
        };
        let keys = rebuilders.iter().map(|signer| signer.key).collect::<HashSet<_>>().len();
        need(require.rebuilders, keys, "rebuilder");
        need(require.organisations, distinct(|s| s.organisation.as_ref()), "organisation");
        need(require.jurisdictions, distinct(|s| s.jurisdiction.as_ref()), "jurisdiction");
        need(require.platforms, distinct(|s| s.platform.as_ref()), "platform");
        short
    }

    /// What stands between these approvers and the threshold, in words. Each key is in the policy once.
    pub fn approvals_short_of(&self, approvers: usize) -> Option<String> {
        let want = self.require.approvals.filter(|want| (approvers as u64) < u64::from(want.get()))?;
        Some(of(approvers, want.get(), "approval"))
    }

    fn can_be_met(&self) -> Result<(), String> {
        let require = &self.require;
        let approvers = self.signers.iter().filter(|s| s.role == Role::Approver).count();
        if let Some(short) = self.approvals_short_of(approvers) {
            return Err(format!("what it requires is more than its signers can give: {short}"));
        }
        let vendors = self.signers.iter().filter(|s| s.role == Role::Vendor).count();
        if (vendors as u64) < u64::from(require.vendor.get()) {
            return Err(format!("it requires more vendors than it names: {} and {vendors}", require.vendor));
        }
        let distinct = [require.organisations, require.jurisdictions, require.platforms];
        if require.rebuilders.is_none() && distinct.iter().any(Option::is_some) {
            return Err(
                "`rebuilders = \"none\"` contradicts a threshold of organisations, jurisdictions or platforms".into()
            );
        }
        if require.rebuilders.is_some() {
            require.builds.rebuilds_can_count()?;
        }
        if let Some(many) = require.environments {
            let most = require.rebuilders.map_or(0, |_| self.signers.iter().filter(|s| self.independent(s)).count());
            require.builds.environments_can_differ(many, most)?;
        }
        let independent: Vec<&Signer> = self.signers.iter().filter(|s| self.independent(s)).collect();
        let short = self.signers_short_of(&independent);
        if !short.is_empty() {
            return Err(format!("what it requires is more than its signers can give: {}", short.join(", ")));
        }
        let dissenters = self.signers.iter().filter(|s| s.role == Role::Rebuilder).count();
        if dissenters > 0 && (dissenters as u64) < u64::from(require.vetoes.get()) {
            return Err(format!(
                "it lets more vetoes refuse than it names rebuilders: {} and {dissenters}",
                require.vetoes
            ));
        }
        Ok(())
    }

    /// What would be accepted, in words.
    pub fn explain(&self) -> Vec<String> {
        let require = &self.require;
        let mut says = vec![format!(
            "a file is accepted when {} of these vendors signed provenance for it: {}",
            require.vendor,
            names(self.signers.iter().filter(|s| s.role == Role::Vendor))
        )];
        match require.rebuilders {
            None => says.push("nobody needs to have rebuilt it".into()),
            Some(count) => says.push(format!(
                "and {count} of these rebuilders built the same bytes from the same source: {}",
                names(self.signers.iter().filter(|s| self.independent(s)))
            )),
        }
        for (count, what) in [
            (require.organisations, "organisations"),
            (require.jurisdictions, "jurisdictions"),
            (require.platforms, "platforms"),
        ] {
            says.extend(count.map(|count| match count.get() {
                1 => format!("of which at least 1 has one of the {what} that this policy names"),
                count => format!("from at least {count} different {what}"),
            }));
        }
        says.extend(require.approvals.map(|count| {
            let approvers = names(self.signers.iter().filter(|s| s.role == Role::Approver));
            format!("and {count} of these approvers approved that very statement, with the file in hand: {approvers}")
        }));
        says.extend(
            require
                .environments
                .map(|count| format!("in at least {count} different environments, of as many rebuilders")),
        );
        says.extend(require.builds.explain());
        let rebuilders = self.signers.iter().any(|signer| signer.role == Role::Rebuilder);
        says.extend(rebuilders.then(|| match require.vetoes.get() {
            1 => "one rebuilder who got other bytes in an equal environment is enough to refuse".to_owned(),
            many => format!("{many} rebuilders who got other bytes in an equal environment are needed to refuse"),
        }));
        says
    }

    /// What may surprise in it.
    pub fn warnings(&self) -> Vec<String> {
        let require = &self.require;
        let mut warnings = Vec::new();
        if require.rebuilders.is_none() {
            warnings.push("the vendor alone decides: no rebuild is required".to_owned());
        }
        if require.vetoes.get() > 1 {
            warnings.push("a single rebuilder's dissent does not refuse".to_owned());
        }
        if require.builds.observation.contains(&Observation::NotObserved) {
            warnings.push("outputs count that their vendor did not see being built".to_owned());
        }
        if require.rebuilders.is_none() && require.builds.vouchers.is_some() {
            warnings.push("who vouches for the environment is the vendor's word: only a rebuild checks it".to_owned());
        }
        if require.builds.controls.contains(VOUCHERS) && require.builds.vouchers.is_none() {
            warnings.push(
                "all parts of an environment but one may still be the vendor's alone: `vouchers` does not say who may vouch"
                    .to_owned(),
            );
        }
        if require.approvals.is_none() && self.signers.iter().any(|signer| signer.role == Role::Approver) {
            warnings.push("approvals are shown and change nothing: `approvals` is not required".to_owned());
        }
        for signer in &self.signers {
            if signer.role == Role::Rebuilder && !self.independent(signer) {
                warnings
                    .push(format!("{} is of a vendor's organisation and does not count as a rebuilder", signer.name));
            }
            for (count, value, what) in [
                (require.organisations, &signer.organisation, "organisation"),
                (require.jurisdictions, &signer.jurisdiction, "jurisdiction"),
                (require.platforms, &signer.platform, "platform"),
            ] {
                if signer.role == Role::Rebuilder && count.is_some() && value.is_none() {
                    warnings.push(format!("{} has no {what} and does not count towards that threshold", signer.name));
                }
            }
        }
        let mut by_builder: HashMap<&str, &str> = HashMap::new();
        for signer in &self.signers {
            for builder in &signer.builders {
                if let Some(first) = by_builder.insert(builder, &signer.name) {
                    warnings.push(format!("{first} and {} share the builder {builder}", signer.name));
                }
            }
        }
        warnings
    }
}

/// `0 of 1 vendor`, `1 of 2 vendors`.
pub(crate) fn of(have: usize, want: u32, what: &str) -> String {
    format!("{have} of {want} {what}{}", if want == 1 { "" } else { "s" })
}

fn names<'a>(signers: impl Iterator<Item = &'a Signer>) -> String {
    signers.map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[derive(Default)]
struct Seen {
    names: HashSet<String>,
    keys: HashMap<PublicKey, String>,
    builders: HashMap<String, Role>,
}

impl Seen {
    fn add(&mut self, signer: &Signer) -> Result<(), String> {
        if !self.names.insert(signer.name.clone()) {
            return Err(format!("the name {:?} is there twice", signer.name));
        }
        if let Some(first) = self.keys.insert(signer.key, signer.name.clone()) {
            return Err(format!("{first} and {} have the same key", signer.name));
        }
        for builder in &signer.builders {
            if self.builders.insert(builder.clone(), signer.role).is_some_and(|role| role != signer.role) {
                return Err(format!("the builder {builder:?} is under both a vendor and a rebuilder"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
