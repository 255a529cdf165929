//! What a build must have been to count: how it was observed, what held it, and what it was built in.

use super::Signer;
use crate::lock::{Kind, Lock, Part, Voucher};
use crate::statement::{CONTROLS, Control, Observation, Provenance};
use std::collections::BTreeSet;
use std::num::NonZeroU32;

/// The control of a rebuild that looked for itself who vouches for the parts of its environment, where somebody but the vendor does
/// (docs/spec.md §6.1).
pub const VOUCHERS: &str = "vouchers";

/// What holds for the vendor's build and for every rebuild that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildRule {
    /// Levels of observation that count; not empty.
    pub observation: BTreeSet<Observation>,
    /// Controls that must have been enforced.
    pub controls: BTreeSet<String>,
    /// Kinds of environment that count; not empty. `None`: any.
    pub environment: Option<BTreeSet<Kind>>,
    /// Who may vouch for the parts of an environment; not empty. `None`: anybody.
    pub vouchers: Option<BTreeSet<Voucher>>,
}

impl BuildRule {
    /// From the values of a policy's keys.
    pub(super) fn new(
        observation: Option<Vec<Observation>>,
        controls: Option<Vec<String>>,
        environment: Option<Vec<Kind>>,
        vouchers: Option<Vec<String>>,
    ) -> Result<BuildRule, String> {
        let observation = match observation {
            None => [Observation::Isolated].into(),
            Some(levels) => set("observation", levels)?,
        };
        let controls = match controls {
            Some(names) if !names.is_empty() => set("controls", names)?,
            _ => BTreeSet::new(),
        };
        if let Some(name) = controls.iter().find(|name| !CONTROLS.contains(&name.as_str()) && *name != VOUCHERS) {
            return Err(format!("{name:?} is no control; they are: {}, {VOUCHERS}", CONTROLS.join(", ")));
        }
        let environment = environment.map(|kinds| set("environment", kinds)).transpose()?;
        let vouchers = vouchers.map(|list| list.iter().map(|text| voucher(text)).collect::<Result<Vec<_>, _>>());
        let vouchers = vouchers.transpose()?.map(|list| set("vouchers", list)).transpose()?;
        if vouchers.is_some() && environment.as_ref().is_some_and(|kinds| kinds.iter().all(|kind| *kind == Kind::Host))
        {
            return Err("`vouchers` contradicts `environment`: nobody vouches for a host's own paths".into());
        }
        if !controls.is_empty() && observation.iter().all(|level| *level != Observation::Isolated) {
            return Err("`controls` contradicts `observation`: only an isolated build has any".into());
        }
        Ok(BuildRule { observation, controls, environment, vouchers })
    }

    /// Whether rebuilds can count at all.
    pub(super) fn rebuilds_can_count(&self) -> Result<(), String> {
        match self.observation.iter().all(|level| *level == Observation::NotObserved) {
            true => Err("`observation` names no level of a rebuild: what was not observed is none".into()),
            false => Ok(()),
        }
    }

    /// Whether that many rebuilders can have been in so many environments. What a lock pins as a whole is one for all who build its order.
    pub(super) fn environments_can_differ(&self, wanted: NonZeroU32, rebuilders: usize) -> Result<(), String> {
        if (rebuilders as u64) < u64::from(wanted.get()) {
            return Err(format!(
                "what it requires is more than its signers can give: {}",
                super::of(rebuilders, wanted.get(), "environment")
            ));
        }
        let host = |kinds: &BTreeSet<Kind>| kinds.contains(&Kind::Host);
        let only_pinned = self.environment.as_ref().is_some_and(|kinds| !host(kinds)) || self.vouchers.is_some();
        if wanted.get() > 1 && only_pinned {
            return Err("`environments` contradicts `environment` or `vouchers`: only hosts' own paths differ from \
                        machine to machine, an image is the same for all"
                .into());
        }
        Ok(())
    }

    /// Whether a build counts, by what is signed of it; or why it does not.
    pub fn accepts(&self, build: &Provenance, signer: &Signer) -> Result<(), String> {
        self.refuses(build, signer.rebuilds())
            .map_or(Ok(()), |what| Err(format!("the build that {} signed {what}", signer.name)))
    }

    /// Why a build of a vendor, or a rebuild, does not count.
    pub fn refuses(&self, build: &Provenance, rebuild: bool) -> Option<String> {
        if !self.observation.contains(&build.observation) {
            return Some(format!("was {}, which the policy does not accept", build.observation.word()));
        }
        let held = |name: &str| build.controls.get(name) == Some(&Control::Enforced);
        if let Some(name) = self.controls.iter().find(|name| *name != VOUCHERS && !held(name)) {
            return Some(format!("does not say that the control {name} was enforced, which the policy demands"));
        }
        if let Some(kinds) = self.environment.as_ref().filter(|kinds| !kinds.contains(&build.environment_kind)) {
            let accepted: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
            let (kind, accepted) = (build.environment_kind.word(), accepted.join(", "));
            return Some(format!("was in an environment of kind {kind}, and the policy accepts: {accepted}"));
        }
        let demanded = rebuild && self.controls.contains(VOUCHERS);
        if self.vouchers.is_none() && !demanded {
            return None;
        }
        let lock = match Lock::parse(&build.order.lock) {
            Ok(lock) => lock,
            Err(err) => return Some(format!("has no lock: {err}")),
        };
        let parts = lock.pinned.parts();
        if let Some(what) = self.vouchers.as_ref().and_then(|trusted| not_vouched(build, parts, trusted)) {
            return Some(what);
        }
        // A vendor that vouches is the one who would be checked, so of it nothing is asked; and where it alone vouches, nothing can be checked.
        let others = parts.iter().any(|part| part.voucher != Voucher::Vendor);
        match (rebuild, others, held(VOUCHERS)) {
            (true, true, false) => Some(
                "does not say that it was checked who vouches for its environment, which the policy demands".into(),
            ),
            (true, false, _) if demanded => {
                Some("has nothing in its environment for which somebody but the vendor vouches, and the policy demands that it was checked who does".into())
            }
            _ => None,
        }
    }

    /// In words.
    pub(super) fn explain(&self) -> Vec<String> {
        let list = |words: &mut dyn Iterator<Item = &str>| words.collect::<Vec<_>>().join(", ");
        let mut says = vec![format!(
            "where a build counts that was: {}",
            list(&mut self.observation.iter().map(|level| level.word()))
        )];
        if !self.controls.is_empty() {
            says.push(format!(
                "and in which these controls held: {}",
                list(&mut self.controls.iter().map(String::as_str))
            ));
        }
        if let Some(kinds) = &self.environment {
            says.push(format!("in an environment of the kind: {}", list(&mut kinds.iter().map(|kind| kind.word()))));
        }
        if let Some(vouchers) = &self.vouchers {
            let words: Vec<String> = vouchers.iter().map(Voucher::to_string).collect();
            let checked =
                if vouchers.iter().all(|one| *one == Voucher::Vendor) { "" } else { ", as each rebuild has checked" };
            says.push(format!("of which each part is vouched for by one of these{checked}: {}", words.join(", ")));
        }
        says
    }
}

/// What of an environment nobody trusted vouches for.
fn not_vouched(build: &Provenance, parts: &[Part], trusted: &BTreeSet<Voucher>) -> Option<String> {
    if build.environment_kind == Kind::Host {
        return Some("was in a host's own paths, for which nobody vouches".into());
    }
    let part = parts.iter().find(|part| !trusted.contains(&part.voucher))?;
    let (name, version, voucher) = (&part.name, &part.version, &part.voucher);
    Some(format!("has {name} {version} in its environment, for which {voucher} vouches, whom the policy does not name"))
}

/// A list that says something, each value once.
fn set<T: Ord>(key: &str, list: Vec<T>) -> Result<BTreeSet<T>, String> {
    let count = list.len();
    let set: BTreeSet<T> = list.into_iter().collect();
    match (set.is_empty(), set.len() == count) {
        (true, _) => Err(format!("`{key}` is empty: no build would count")),
        (_, false) => Err(format!("`{key}` has a value twice")),
        _ => Ok(set),
    }
}

fn voucher(text: &str) -> Result<Voucher, String> {
    text.parse().map_err(|err| format!("`vouchers`: {text:?}: {err}"))
}
