//! Provenance: who built what from which order (docs/spec.md §6.1). SLSA provenance v1, so that other tools can read it.

use super::order::{BuildOrder, SWHID, SourceCommitment, SourceIds, WireRelease};
use super::{Digests, Only, StatementError, Subject, digests, read_digests};
use crate::bundle::LISTING_MEDIA_TYPE;
use crate::digest::{self, Content, OrderDigest, PayloadDigest, Sha1, Sha256, TreeDigest, Wanted};
use crate::json;
use crate::lock::Kind as EnvironmentKind;
use crate::tree::{Entry, Node, Tree, TreeKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// What was to be built.
    pub order: BuildOrder,
    /// Every regular file of the output tree, in the listing's order.
    pub subjects: Vec<Subject>,
    /// How much of the build the builder saw.
    pub observation: Observation,
    /// What the sandbox held, by name.
    pub controls: BTreeMap<String, Control>,
    /// Exactly the variables that the steps got.
    pub variables: BTreeMap<String, String>,
    /// The fingerprint of the environment; none with [`Observation::NotObserved`].
    pub environment: Option<TreeDigest>,
    /// What kind of environment the lock pins. Not written when there is no fingerprint.
    pub environment_kind: EnvironmentKind,
    /// Digest of the listing of the output tree.
    pub outputs: TreeDigest,
    /// Who built it; counts only together with a key.
    pub builder: String,
    /// What a builder said of a build that the signer did not see; only with [`Observation::NotObserved`].
    pub claimed: Option<Claimed>,
}

/// What a builder observed, in the statement of somebody else who signs it. It stands there as a claim and counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Payload digest of the builder's unsigned statement.
    pub statement: PayloadDigest,
    /// What the builder called itself.
    pub builder: String,
    /// How much of the build it says that it saw; some of it.
    pub observation: Observation,
    /// What its sandbox held, by name.
    pub controls: BTreeMap<String, Control>,
    /// Exactly the variables that the steps got.
    pub variables: BTreeMap<String, String>,
    /// The fingerprint of the environment.
    pub environment: TreeDigest,
}

/// How much of the build was seen by the one who signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observation {
    /// Run in the sandbox of docs/spec.md §4.
    Isolated,
    /// Run, not isolated.
    Observed,
    /// Outputs were given.
    NotObserved,
}

/// Whether one of the sandbox's controls held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// It did.
    Enforced,
    /// This system could not, or it was switched off.
    NotEnforced,
}

/// Names of the controls that a build in the sandbox tells about (docs/spec.md §4).
///
/// `landlock` is the file system rules (ABI 1 and later), `landlock-scopes` those for signals (ABI 6); the others are enforced in every run
/// of the sandbox, or the run is an error.
pub const CONTROLS: [&str; 12] = [
    "address-layout",
    "capabilities",
    "filesystem",
    "host-name",
    "identity",
    "landlock",
    "landlock-scopes",
    "limits",
    "network",
    "no-new-privileges",
    "processes",
    "seccomp",
];

impl Observation {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Observation::Isolated => "isolated",
            Observation::Observed => "observed",
            Observation::NotObserved => "not-observed",
        }
    }
}

impl Provenance {
    /// The payload. Equal values give equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let SourceCommitment::Public { listing, ids } = self.order.source;
        let mut dependencies = Vec::new();
        if ids != SourceIds::default() {
            let annotations = Annotations {
                git_tree_sha256: ids.git_tree_sha256.map(|id| id.to_string()),
                swhid: ids.swhid.map(|id| format!("{SWHID}{id}")),
                ..Annotations::default()
            };
            dependencies.push(Descriptor {
                digest: ids.git_tree.map(|id| [("gitTree".to_owned(), id.to_string())].into()),
                annotations: (ids.git_tree_sha256.is_some() || ids.swhid.is_some()).then_some(annotations),
                ..Descriptor::named("source")
            });
        }
        dependencies.push(Descriptor::listing("source-listing", listing));
        dependencies.push(Descriptor {
            digest: Some(digests(digest::sha256(self.order.lock.as_bytes()), None)),
            content: Some(STANDARD.encode(&self.order.lock)),
            ..Descriptor::named("lock")
        });
        dependencies.extend(self.environment.map(|fingerprint| Descriptor {
            annotations: Some(Annotations {
                kind: Some(self.environment_kind),
                vouched_by: Some(VouchedBy::Builder),
                ..Annotations::default()
            }),
            ..Descriptor::listing("environment", fingerprint)
        }));
        let predicate = Predicate {
            build_definition: BuildDefinition {
                build_type: super::BUILD_TYPE.into(),
                external_parameters: ExternalParameters {
                    recipe: self.order.recipe.clone(),
                    release: WireRelease::of(&self.order.release),
                },
                internal_parameters: InternalParameters {
                    build_order: Only { sha256: self.order.digest() },
                    observation: self.observation,
                    controls: self.controls.clone(),
                    variables: self.variables.clone(),
                    claimed: self.claimed.as_ref().map(WireClaimed::of),
                },
                resolved_dependencies: dependencies,
            },
            run_details: RunDetails {
                builder: Builder { id: self.builder.clone() },
                byproducts: vec![Descriptor::listing("outputs", self.outputs)],
            },
        };
        super::encode(super::PROVENANCE, self.subjects.iter().map(Subject::to_wire).collect(), predicate)
    }

    /// What somebody signs who did not see this build and has its outputs at hand: the same release, order and outputs, and what was observed
    /// as a claim. `None` where nothing was observed.
    pub fn signed_elsewhere(&self, statement: PayloadDigest, signer: String) -> Option<Provenance> {
        let environment = self.environment.filter(|_| self.observation != Observation::NotObserved)?;
        let claimed = Claimed {
            statement,
            builder: self.builder.clone(),
            observation: self.observation,
            controls: self.controls.clone(),
            variables: self.variables.clone(),
            environment,
        };
        Some(Provenance {
            observation: Observation::NotObserved,
            controls: BTreeMap::new(),
            variables: BTreeMap::new(),
            environment: None,
            environment_kind: self.environment_kind,
            builder: signer,
            claimed: Some(claimed),
            order: self.order.clone(),
            subjects: self.subjects.clone(),
            outputs: self.outputs,
        })
    }

    /// The subject of that name.
    pub fn subject(&self, name: &crate::path::TreePath) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.name == *name)
    }
}

/// Reads a payload whose predicate type is provenance. `None`: of another build type.
pub(super) fn decode(payload: json::Document<'_>) -> Result<Option<Provenance>, StatementError> {
    let (wire_subjects, predicate) = match super::decode::<Predicate>(payload) {
        Ok(read) => read,
        // Whether that is another tool's or a broken one of ours is a matter of its build type.
        Err(err) => match payload.read::<Peek>() {
            Ok(peek) if peek.predicate.build_definition.build_type != super::BUILD_TYPE => return Ok(None),
            _ => return Err(err),
        },
    };
    let definition = predicate.build_definition;
    if definition.build_type != super::BUILD_TYPE {
        return Ok(None);
    }
    let subjects = super::subjects(wire_subjects)?;
    outputs_could_be_written(&subjects)?;

    let dependencies = definition.resolved_dependencies;
    let source = at_most_one(&dependencies, "source")?;
    let listing = one(&dependencies, "source-listing")?.read_listing("source-listing")?;
    let lock = read_lock(one(&dependencies, "lock")?)?;
    let environment = at_most_one(&dependencies, "environment")?;
    let fingerprint = environment.map(|entry| entry.read_listing("environment")).transpose()?;
    let order = BuildOrder {
        source: SourceCommitment::Public { listing, ids: source.map(read_ids).transpose()?.unwrap_or_default() },
        recipe: definition.external_parameters.recipe,
        release: definition.external_parameters.release.read()?,
        lock,
    };
    let internal = definition.internal_parameters;
    let (stated, computed) = (internal.build_order.sha256, order.digest());
    if stated != computed {
        return Err(StatementError::Order { stated, computed });
    }
    let pinned = order.follows_its_recipe()?;
    let environment_kind = pinned.kind;
    if let Some(entry) = environment
        && read_environment_kind(entry)? != environment_kind
    {
        let why = format!("its kind is not {}, as the lock's is", environment_kind.word());
        return Err(StatementError::Entry("environment", why));
    }
    if internal.observation == Observation::NotObserved {
        if environment.is_some() {
            return Err(StatementError::Entry("environment", "there is one, but the build was not observed".into()));
        }
        if !internal.variables.is_empty() {
            return Err(StatementError::Entry("variables", "there are some, but the build was not observed".into()));
        }
    }
    let claimed = internal.claimed.map(WireClaimed::read).transpose()?;
    if claimed.is_some() && internal.observation != Observation::NotObserved {
        return Err(StatementError::Entry("claimed", "there is a claim, but the signer saw the build itself".into()));
    }
    // Else dissent could be dodged: it counts in an environment that the vendor names.
    let found = [fingerprint, claimed.as_ref().map(|claimed| claimed.environment)];
    if let Some(locked) = pinned.fingerprint()
        && let Some(other) = found.into_iter().flatten().find(|found| *found != locked)
    {
        let why = format!("it is sha256:{other}, and the lock's tree is sha256:{locked}");
        return Err(StatementError::Entry("environment", why));
    }
    if predicate.run_details.builder.id.is_empty() {
        return Err(StatementError::Value("builder.id", String::new(), "a name"));
    }
    let outputs = one(&predicate.run_details.byproducts, "outputs")?.read_listing("outputs")?;
    Ok(Some(Provenance {
        order,
        subjects,
        observation: internal.observation,
        controls: internal.controls,
        variables: internal.variables,
        environment: fingerprint,
        environment_kind,
        outputs,
        builder: predicate.run_details.builder.id,
        claimed,
    }))
}

/// Subjects are the files of one tree: no name below another, none that some file systems take for another.
fn outputs_could_be_written(subjects: &[Subject]) -> Result<(), StatementError> {
    let file = |subject: &Subject| Entry {
        path: subject.name.clone(),
        node: Node::File {
            perm: 0,
            content: Content { size: 0, sha256: subject.sha256, blake3: None, git_blob: None, git_blob_sha256: None },
        },
    };
    Tree::new(TreeKind::Output, subjects.iter().map(file).collect())
        .map(drop)
        .map_err(|err| StatementError::Names(err.to_string()))
}

fn read_lock(entry: &Descriptor) -> Result<String, StatementError> {
    let bad = |why: &str| StatementError::Entry("lock", why.to_owned());
    let content = entry.content.as_ref().ok_or_else(|| bad("it has no content"))?;
    let bytes = STANDARD.decode(content).map_err(|_| bad("its content is not base64"))?;
    let (sha256, blake3) = entry.read_digests("lock")?;
    let found = digest::content(&bytes, Wanted { blake3: blake3.is_some(), ..Wanted::default() });
    if found.sha256 != sha256 || found.blake3 != blake3 {
        return Err(bad("its content has another digest"));
    }
    String::from_utf8(bytes).map_err(|_| bad("its content is not UTF-8"))
}

fn read_environment_kind(entry: &Descriptor) -> Result<EnvironmentKind, StatementError> {
    match &entry.annotations {
        Some(Annotations { kind: Some(kind), vouched_by: Some(VouchedBy::Builder), .. }) => Ok(*kind),
        _ => Err(StatementError::Entry("environment", "its annotations lack kind or vouchedBy".into())),
    }
}

fn read_ids(entry: &Descriptor) -> Result<SourceIds, StatementError> {
    let id = entry.digest.as_ref().and_then(|set| set.get("gitTree"));
    let git_tree = id.map(|hex| Sha1::from_any_case(hex)).transpose();
    let git_tree = git_tree.map_err(|err| StatementError::Entry("source", err.to_string()))?;
    let annotations = entry.annotations.as_ref();
    let git_tree_sha256 = annotations.and_then(|annotations| annotations.git_tree_sha256.as_ref()).map(|hex| {
        hex.parse().map_err(|_| StatementError::Value("gitTreeSha256", hex.clone(), "64 hex digits in lower case"))
    });
    let swhid = annotations.and_then(|annotations| annotations.swhid.as_ref()).map(|text| {
        let id = text.strip_prefix(SWHID).and_then(|hex| hex.parse().ok());
        id.ok_or_else(|| StatementError::Value("swhid", text.clone(), "swh:1:dir:<40 hex digits>"))
    });
    Ok(SourceIds { git_tree, git_tree_sha256: git_tree_sha256.transpose()?, swhid: swhid.transpose()? })
}

fn at_most_one<'a>(entries: &'a [Descriptor], name: &'static str) -> Result<Option<&'a Descriptor>, StatementError> {
    let mut found = entries.iter().filter(|entry| entry.name.as_deref() == Some(name));
    let first = found.next();
    match found.count() {
        0 => Ok(first),
        more => Err(StatementError::Count(name, more + 1, "at most one is")),
    }
}

fn one<'a>(entries: &'a [Descriptor], name: &'static str) -> Result<&'a Descriptor, StatementError> {
    at_most_one(entries, name)?.ok_or(StatementError::Count(name, 0, "exactly one is"))
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    build_type: String,
    external_parameters: ExternalParameters,
    internal_parameters: InternalParameters,
    resolved_dependencies: Vec<Descriptor>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExternalParameters {
    recipe: String,
    release: WireRelease,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct InternalParameters {
    build_order: Only<OrderDigest>,
    observation: Observation,
    controls: BTreeMap<String, Control>,
    variables: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    claimed: Option<WireClaimed>,
}

/// A field that may be left out and is never null.
fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(d: D) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

#[derive(Serialize, Deserialize)]
struct WireClaimed {
    statement: Only<PayloadDigest>,
    builder: Builder,
    observation: Observation,
    controls: BTreeMap<String, Control>,
    variables: BTreeMap<String, String>,
    environment: Only<TreeDigest>,
}

impl WireClaimed {
    fn of(claimed: &Claimed) -> WireClaimed {
        WireClaimed {
            statement: Only { sha256: claimed.statement },
            builder: Builder { id: claimed.builder.clone() },
            observation: claimed.observation,
            controls: claimed.controls.clone(),
            variables: claimed.variables.clone(),
            environment: Only { sha256: claimed.environment },
        }
    }

    fn read(self) -> Result<Claimed, StatementError> {
        if self.observation == Observation::NotObserved {
            let word = self.observation.word().to_owned();
            return Err(StatementError::Value("claimed.observation", word, "`isolated` or `observed`"));
        }
        if self.builder.id.is_empty() {
            return Err(StatementError::Value("claimed.builder.id", String::new(), "a name"));
        }
        Ok(Claimed {
            statement: self.statement.sha256,
            builder: self.builder.id,
            observation: self.observation,
            controls: self.controls,
            variables: self.variables,
            environment: self.environment.sha256,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct RunDetails {
    builder: Builder,
    byproducts: Vec<Descriptor>,
}

#[derive(Serialize, Deserialize)]
struct Builder {
    id: String,
}

/// in-toto's ResourceDescriptor, as far as it is used here.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Digests>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    annotations: Option<Annotations>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Annotations {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    git_tree_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<EnvironmentKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    swhid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vouched_by: Option<VouchedBy>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum VouchedBy {
    Builder,
}

impl Descriptor {
    fn named(name: &str) -> Descriptor {
        Descriptor { name: Some(name.to_owned()), ..Descriptor::default() }
    }

    fn listing(name: &str, digest: TreeDigest) -> Descriptor {
        Descriptor {
            digest: Some(digests(Sha256::from_bytes(*digest.as_bytes()), None)),
            media_type: Some(LISTING_MEDIA_TYPE.into()),
            ..Descriptor::named(name)
        }
    }

    fn read_digests(&self, name: &str) -> Result<(Sha256, Option<digest::Blake3>), StatementError> {
        read_digests(name, self.digest.as_ref().unwrap_or(&Digests::new()))
    }

    fn read_listing(&self, name: &'static str) -> Result<TreeDigest, StatementError> {
        if self.media_type.as_deref() != Some(LISTING_MEDIA_TYPE) {
            return Err(StatementError::Entry(name, format!("its media type is not {LISTING_MEDIA_TYPE}")));
        }
        Ok(TreeDigest::from_bytes(*self.read_digests(name)?.0.as_bytes()))
    }
}

#[derive(Deserialize)]
struct Peek {
    predicate: PeekPredicate,
}

#[derive(Deserialize)]
struct PeekPredicate {
    #[serde(rename = "buildDefinition")]
    build_definition: PeekDefinition,
}

#[derive(Deserialize)]
struct PeekDefinition {
    #[serde(rename = "buildType")]
    build_type: String,
}

#[cfg(test)]
pub(crate) mod tests;
