//! Who vouches for the parts of an environment: what the lock says of it, or what was found with a keyring of the user's own.

use super::depot::Telling;
use super::exit::{Exit, Failure};
use super::ui;
use crate::environment::{self, ByWhom, Depot, Doing, Signed, VouchError, Vouched};
use crate::fs;
use crate::lock::{Part, Pinned};
use crate::policy;
use crate::statement::{Control, Provenance};
use crate::stop::Stop;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Longest keyring.
const MAX_KEYRING: u64 = 16 << 20;
/// Parts that are named one by one when it is not as the lock says.
const SHOWN: usize = 20;

/// Reads keyrings that were named.
pub fn keyrings(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, Failure> {
    let one = |path: &PathBuf| {
        fs::read(path, MAX_KEYRING).map_err(|err| {
            Failure::from(err)
                .hint("--keyring F names the keys that may sign; on Debian they are in debian-archive-keyring")
        })
    };
    paths.iter().map(one).collect()
}

/// Whether there is a source, whose lock files the lock is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is read in this run (docs/spec.md §3.4).
    Read,
    /// What the lock says of it is claimed.
    Absent,
}

/// Who vouches for how many parts.
pub struct Vouchers {
    by: ByWhom,
    source: Source,
    /// The release files, where that was checked.
    checked: Option<Vec<Signed>>,
    now: i64,
}

impl Vouchers {
    /// With keyrings, the truth, or a refusal; without, what the lock says.
    pub fn of(
        pinned: &Pinned,
        keyrings: &[PathBuf],
        source: Source,
        depot: Option<&Depot>,
        shown: bool,
        stop: &Stop,
    ) -> Result<Vouchers, Failure> {
        let claimed = Vouchers { source, ..Vouchers::claimed(pinned) };
        if keyrings.is_empty() {
            return Ok(claimed);
        }
        let keyrings = self::keyrings(keyrings)?;
        if claimed.by.keys.is_empty() {
            return Ok(Vouchers { checked: Some(Vec::new()), ..claimed });
        }
        let depot = depot.ok_or_else(|| Failure::new(Exit::Internal, "nothing to take the release files from"))?;
        let telling = Telling::new(shown);
        depot.get_all(&environment::evidence(pinned), stop, &|left| telling.told(Doing::Fetching(left)))?;
        let now = claimed.now;
        let found = environment::vouched(pinned, &keyrings, now, &mut |part| {
            stop.check()?;
            Ok(Box::new(depot.part(part)?))
        })?;
        drop(telling);
        if let Some((first, _)) = found.doubts.first() {
            return Err(refusal(&found, first));
        }
        Ok(Vouchers { by: found.by, source, checked: Some(found.releases), now })
    }

    /// What the lock says, and nobody checked.
    pub fn claimed(pinned: &Pinned) -> Vouchers {
        let now = jiff::Timestamp::now().as_second();
        Vouchers { by: environment::claimed(pinned), source: Source::Absent, checked: None, now }
    }

    /// Whether somebody but the vendor vouches for a part, and all of that was checked.
    pub fn hold(&self) -> bool {
        let ByWhom { keys, source, .. } = &self.by;
        let others = !keys.is_empty() || *source > 0;
        others && (keys.is_empty() || self.checked.is_some()) && (*source == 0 || self.source == Source::Read)
    }

    /// Notes in what is signed whether it was checked; nothing where there was nothing to check.
    pub fn note_in(&self, provenance: &mut Provenance) {
        let state = match self.hold() {
            true => Control::Enforced,
            false if !self.by.keys.is_empty() => Control::NotEnforced,
            false => return,
        };
        provenance.controls.insert(policy::VOUCHERS.to_owned(), state);
    }

    fn who(&self) -> String {
        let ByWhom { keys, source, vendor } = &self.by;
        let keys = keys.iter().map(|(key, n)| (*n, format!("openpgp:{key}")));
        let of_source = match self.source {
            Source::Read => "the source's own lock files",
            Source::Absent => "the source's own lock files (not checked here: no source)",
        };
        let others = [(*source, of_source.to_owned()), (*vendor, "the vendor alone".to_owned())];
        let all = keys.chain(others).filter(|(n, _)| *n > 0).enumerate();
        let words = all.map(|(at, (n, who))| match at {
            0 => format!("{} by {who}", ui::count(n, "part")),
            _ => format!("{n} by {who}"),
        });
        words.collect::<Vec<_>>().join("; ")
    }

    /// Lines of a table: nothing where nobody claims anything, and nobody asked.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let who = self.who();
        let Some(releases) = &self.checked else {
            return match self.by.keys.is_empty() {
                true => Vec::new(),
                false => vec![("vouched", format!("not checked, no --keyring; the lock says: {who}"))],
            };
        };
        let who = if who.is_empty() { "no parts: the environment is the machine's own paths".to_owned() } else { who };
        let mut rows = vec![("vouched", who)];
        rows.extend(releases.iter().map(|release| {
            let until = release.valid_until.map(|until| {
                let over = if until < self.now { ", which is over" } else { "" };
                format!(", good until {}{over}", time(until))
            });
            ("release", format!("{} of {}{}", release.suite, time(release.date), until.unwrap_or_default()))
        }));
        rows
    }

    /// What the reason of a signed verdict says of it: nothing but what was checked.
    pub fn reason(&self) -> String {
        match self.hold() {
            true => format!("; environment vouched for, checked: {}", self.who()),
            false => String::new(),
        }
    }

    /// For programs; null where there are no parts.
    pub fn json(&self) -> Value {
        let ByWhom { keys, source, vendor } = &self.by;
        if self.by == ByWhom::default() {
            return Value::Null;
        }
        let release = |release: &Signed| {
            json!({
                "suite": release.suite, "sha256": release.sha256, "openpgp": release.key, "date": time(release.date),
                "validUntil": release.valid_until.map(time),
                "isOver": release.valid_until.is_some_and(|until| until < self.now),
            })
        };
        json!({
            "checked": self.checked.is_some(), "openpgp": keys, "source": source,
            "sourceChecked": self.source == Source::Read && *source > 0, "vendor": vendor,
            "releases": self.checked.iter().flatten().map(release).collect::<Vec<_>>(),
        })
    }
}

fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// What does not hold, from the first link of the chain that breaks; what hangs on it is not so because of that.
fn refusal(found: &Vouched, first: &Part) -> Failure {
    let same = || found.doubts.iter().filter(|(part, _)| part.class == first.class);
    let of_trust = same().all(|(_, doubt)| doubt.is_of_trust());
    let mut lines = same().map(|(part, doubt)| {
        let version = if part.version.as_str() == "-" { String::new() } else { format!(" {}", part.version) };
        format!("{} {}{version}: {} does not vouch for it: {doubt}", part.class.word(), part.name, part.voucher)
    });
    let fact = lines.next().unwrap_or_default();
    lines.by_ref().take(SHOWN).for_each(|line| ui::say(&ui::escape(&line)));
    match lines.count() {
        0 => {}
        n => ui::say(&format!("… and {n} more")),
    }
    let failure = Failure::new(if of_trust { Exit::Refused } else { Exit::Broken }, fact);
    match of_trust {
        true => failure.hint("--keyring F names the keys whose word you take; it can be given several times"),
        false => failure.hint("what the lock says of this part is not so; ask who signed it"),
    }
}

impl From<VouchError> for Failure {
    fn from(err: VouchError) -> Failure {
        match err {
            VouchError::Depot(err) => err.into(),
            VouchError::Read { .. } => Failure::new(Exit::CouldNotTell, err),
            err => Failure::usage(err),
        }
    }
}
