//! The build order (docs/spec.md §6.2): what to build, without what came out.

use super::{StatementError, prefixed};
use crate::digest::{self, OrderDigest, PayloadDigest, Sha1, Sha256, TreeDigest};
use crate::lock::{Lock, Pinned};
use crate::recipe::{Epoch, Recipe};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a rebuilder answers. Two builds are of the same thing exactly when their orders' digests are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildOrder {
    /// From what.
    pub source: SourceCommitment,
    /// How: the bytes of `countersign.toml`.
    pub recipe: String,
    /// What it is called.
    pub release: Release,
    /// What the environment is pinned to.
    pub lock: String,
}

/// How a statement is bound to its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceCommitment {
    /// Source that anybody may hash.
    Public {
        /// Digest of the listing: what decides.
        listing: TreeDigest,
        /// Its other names.
        ids: SourceIds,
    },
}

/// What other tools call a source (docs/spec.md §2.2). Decides nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceIds {
    /// What `git write-tree` gives.
    pub git_tree: Option<Sha1>,
    /// The same in a repository of object format `sha256`.
    pub git_tree_sha256: Option<Sha256>,
    /// The SWHID's hash.
    pub swhid: Option<Sha1>,
}

impl SourceIds {
    /// Those that both state, and state alike.
    pub fn common(self, other: SourceIds) -> SourceIds {
        SourceIds {
            git_tree: self.git_tree.filter(|mine| other.git_tree == Some(*mine)),
            git_tree_sha256: self.git_tree_sha256.filter(|mine| other.git_tree_sha256 == Some(*mine)),
            swhid: self.swhid.filter(|mine| other.swhid == Some(*mine)),
        }
    }
}

/// What precedes the hash in the SWHID of a directory.
pub const SWHID: &str = "swh:1:dir:";

/// Which release this is (docs/spec.md §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Product.
    pub product: Word,
    /// Version.
    pub version: Word,
    /// Channel, such as `stable`.
    pub channel: Word,
    /// Target, such as `x86_64-linux`.
    pub target: Word,
    /// Counts releases of one channel, if the vendor counts.
    pub sequence: Option<u64>,
    /// The provenance of the release before.
    pub previous: Option<PayloadDigest>,
}

/// A name of 1 to 128 characters: letters and digits of ASCII, and after the first also `.` `_` `+` `~` `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Word(String);

impl BuildOrder {
    /// SHA-256 of the order's text form.
    pub fn digest(&self) -> OrderDigest {
        let SourceCommitment::Public { listing, .. } = self.source;
        let release = &self.release;
        let text = format!(
            "countersign-build-order v1\nsource {listing}\nrecipe {}\nlock {}\nproduct {}\nversion {}\nchannel {}\n\
             target {}\nsequence {}\nprevious {}\n",
            digest::sha256(self.recipe.as_bytes()),
            digest::sha256(self.lock.as_bytes()),
            release.product,
            release.version,
            release.channel,
            release.target,
            release.sequence.map_or("-".to_owned(), |n| n.to_string()),
            release.previous.as_ref().map_or("-".to_owned(), prefixed),
        );
        OrderDigest::from_bytes(*digest::sha256(text.as_bytes()).as_bytes())
    }
}

impl BuildOrder {
    /// A release that is called otherwise than its recipe says, or that is built in other roots or at another time, is not what the recipe
    /// makes: whoever reads the recipe would judge another build than the one that is signed. Channel, target, sequence and previous may be
    /// given beside the recipe (docs/spec.md §6.2). What the environment of both is pinned to.
    pub(super) fn follows_its_recipe(&self) -> Result<Pinned, StatementError> {
        let differs = |what, says: String| Err(StatementError::NotTheRecipe(what, says));
        let recipe = Recipe::parse(self.recipe.as_bytes())?;
        let lock = Lock::parse(&self.lock).map_err(|err| StatementError::Entry("lock", err.to_string()))?;
        if self.release.product != recipe.name {
            return differs("the product", format!("{} and {}", self.release.product, recipe.name));
        }
        if self.release.version != recipe.version {
            return differs("the version", format!("{} and {}", self.release.version, recipe.version));
        }
        if let Err(what) = recipe.environment.fits(&lock.pinned) {
            return differs("the lock", what);
        }
        match recipe.epoch {
            Epoch::Fixed(epoch) if epoch != lock.epoch => {
                differs("the lock", format!("source-date-epoch {} and {epoch}", lock.epoch))
            }
            _ => Ok(lock.pinned),
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({}, {})", self.product, self.version, self.channel, self.target)
    }
}

impl Word {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Word {
    type Err = StatementError;

    fn from_str(text: &str) -> Result<Word, StatementError> {
        let rest = |c: u8| c.is_ascii_alphanumeric() || b"._+~-".contains(&c);
        let good = text.len() <= 128
            && text.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric())
            && text.bytes().all(rest);
        if good {
            Ok(Word(text.to_owned()))
        } else {
            Err(StatementError::Value(
                "release",
                text.to_owned(),
                "1 to 128 letters, digits and `._+~-`, the first a letter or digit",
            ))
        }
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Word, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A release as it stands in `externalParameters`: every field there, no other field.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireRelease {
    product: Word,
    version: Word,
    channel: Word,
    target: Word,
    // With a function of its own a field must be there; `null` is how "none" is said.
    #[serde(deserialize_with = "Option::deserialize")]
    sequence: Option<u64>,
    #[serde(deserialize_with = "Option::deserialize")]
    previous: Option<String>,
}

impl WireRelease {
    pub(super) fn of(release: &Release) -> WireRelease {
        WireRelease {
            product: release.product.clone(),
            version: release.version.clone(),
            channel: release.channel.clone(),
            target: release.target.clone(),
            sequence: release.sequence,
            previous: release.previous.as_ref().map(prefixed),
        }
    }

    pub(super) fn read(self) -> Result<Release, StatementError> {
        let previous = self.previous.map(|text| {
            let hex = text.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
            hex.ok_or_else(|| StatementError::Value("previous", text.clone(), "sha256:<64 lower-case hex digits>"))
        });
        Ok(Release {
            product: self.product,
            version: self.version,
            channel: self.channel,
            target: self.target,
            sequence: self.sequence,
            previous: previous.transpose()?,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The order of a recipe, released as hello 1.0.
    pub(crate) fn sample(recipe: String) -> BuildOrder {
        let word = |text: &str| text.parse().unwrap();
        BuildOrder {
            source: SourceCommitment::Public {
                listing: TreeDigest::from_bytes([1; 32]),
                ids: SourceIds {
                    git_tree: Some(Sha1::from_bytes([2; 20])),
                    git_tree_sha256: Some(Sha256::from_bytes([4; 32])),
                    swhid: Some(Sha1::from_bytes([3; 20])),
                },
            },
            recipe,
            release: Release {
                product: word("hello"),
                version: word("1.0"),
                channel: word("stable"),
                target: word("x86_64-linux"),
                sequence: None,
                previous: None,
            },
            lock: "countersign-lock v1\nkind host\nsource-date-epoch 1\nroot /usr\n".into(),
        }
    }

    #[test]
    fn words() {
        for good in ["a", "1.0", "x86_64-linux", "1.0~rc1+b-2", &"a".repeat(128)] {
            assert!(good.parse::<Word>().is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "a b", "a/b", "ä", "a\n", &"a".repeat(129)] {
            assert!(bad.parse::<Word>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_order_is_what_the_specification_says() {
        let mut order = sample("name = \"hello\"\n".into());
        let text = format!(
            "countersign-build-order v1\nsource {}\nrecipe {}\nlock {}\nproduct hello\nversion 1.0\nchannel stable\ntarget x86_64-linux\nsequence -\nprevious -\n",
            "01".repeat(32),
            digest::sha256(b"name = \"hello\"\n"),
            digest::sha256(order.lock.as_bytes())
        );
        assert_eq!(order.digest().as_bytes(), digest::sha256(text.as_bytes()).as_bytes());
        let mut other = order.clone();
        other.release.sequence = Some(7);
        other.release.previous = Some(PayloadDigest::from_bytes([3; 32]));
        let text = text
            .replace("sequence -", "sequence 7")
            .replace("previous -", &format!("previous sha256:{}", "03".repeat(32)));
        assert_eq!(other.digest().as_bytes(), digest::sha256(text.as_bytes()).as_bytes());
        // The public ids decide nothing.
        let before = order.digest();
        let SourceCommitment::Public { ids, .. } = &mut order.source;
        ids.git_tree = Some(Sha1::from_bytes([9; 20]));
        ids.git_tree_sha256 = None;
        assert_eq!(order.digest(), before);
    }
}
