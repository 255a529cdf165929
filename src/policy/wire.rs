//! A policy as it is written.

use super::{Attribute, BuildRule, Require, Role, Signer};
use crate::lock::Kind;
use crate::signature::PublicKey;
use crate::statement::Observation;
use serde::Deserialize;
use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroU32;
use toml::Spanned;

pub(super) fn signer(wire: WireSigner) -> Result<Signer, String> {
    if wire.name.trim().is_empty() {
        return Err("a signer's name is empty".into());
    }
    let name = wire.name;
    let key: PublicKey = wire.key.parse().map_err(|err| format!("the key of {name}: {err}"))?;
    let [role] = wire.roles[..] else {
        return Err(format!("{name} must have one role, \"vendor\", \"rebuilder\" or \"approver\", and not two"));
    };
    if role == Role::Approver {
        if wire.builders.is_some() {
            return Err(format!("{name} is an approver, who builds nothing: leave `builders` out"));
        }
        let WireSigner { organisation, jurisdiction, platform, .. } = wire;
        return Ok(Signer { name, key, role, builders: Vec::new(), organisation, jurisdiction, platform });
    }
    let builders = wire.builders.unwrap_or_else(|| vec![key.default_builder()]);
    if builders.is_empty() || builders.iter().any(String::is_empty) {
        return Err(format!("{name} has no builder, or an empty one: nothing that it signs would count"));
    }
    if builders.iter().collect::<HashSet<_>>().len() != builders.len() {
        return Err(format!("{name} has a builder twice"));
    }
    let WireSigner { organisation, jurisdiction, platform, .. } = wire;
    Ok(Signer { name, key, role, builders, organisation, jurisdiction, platform })
}

pub(super) fn require(wire: WireRequire) -> Result<Require, String> {
    let Rebuilders(rebuilders) = wire.rebuilders;
    let one = NonZeroU32::MIN;
    Ok(Require {
        vendor: wire.vendor.unwrap_or(one),
        rebuilders,
        organisations: wire.organisations,
        jurisdictions: wire.jurisdictions,
        platforms: wire.platforms,
        approvals: wire.approvals,
        environments: wire.environments,
        builds: BuildRule::new(wire.observation, wire.controls, wire.environment, wire.vouchers)?,
        vetoes: wire.vetoes.unwrap_or(one),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wire {
    #[serde(default)]
    pub signer: Vec<Spanned<WireSigner>>,
    pub require: Spanned<WireRequire>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireSigner {
    name: String,
    key: String,
    roles: Vec<Role>,
    builders: Option<Vec<String>>,
    organisation: Option<Attribute>,
    jurisdiction: Option<Attribute>,
    platform: Option<Attribute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireRequire {
    vendor: Option<NonZeroU32>,
    rebuilders: Rebuilders,
    organisations: Option<NonZeroU32>,
    jurisdictions: Option<NonZeroU32>,
    platforms: Option<NonZeroU32>,
    approvals: Option<NonZeroU32>,
    environments: Option<NonZeroU32>,
    observation: Option<Vec<Observation>>,
    controls: Option<Vec<String>>,
    environment: Option<Vec<Kind>>,
    vouchers: Option<Vec<String>>,
    vetoes: Option<NonZeroU32>,
}

/// An integer from 1 or the word `none`, which must be said: leaving it out is not how a policy gives up rebuilders.
struct Rebuilders(Option<NonZeroU32>);

impl<'de> Deserialize<'de> for Rebuilders {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Rebuilders, D::Error> {
        struct Visit;
        impl serde::de::Visitor<'_> for Visit {
            type Value = Rebuilders;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an integer from 1, or \"none\"")
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Rebuilders, E> {
                let count = u32::try_from(value).ok().and_then(NonZeroU32::new);
                let refuse = || E::invalid_value(serde::de::Unexpected::Signed(value), &self);
                Ok(Rebuilders(Some(count.ok_or_else(refuse)?)))
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Rebuilders, E> {
                match value {
                    "none" => Ok(Rebuilders(None)),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
        }
        d.deserialize_any(Visit)
    }
}
