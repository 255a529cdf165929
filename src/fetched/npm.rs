//! `package-lock.json`, from lockfileVersion 2 on: tarballs by SHA-512.

use super::{Item, MAX_FILE, Named, word};
use crate::digest::Sha512;
use crate::json;
use crate::lock::Class;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lock {
    lockfile_version: Option<u32>,
    packages: Option<BTreeMap<String, Package>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    name: Option<String>,
    version: Option<String>,
    resolved: Option<String>,
    integrity: Option<String>,
    #[serde(default)]
    link: bool,
    #[serde(default)]
    in_bundle: bool,
    #[serde(default)]
    optional: bool,
    os: Option<Names>,
    cpu: Option<Names>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    All(Vec<String>),
}

impl Names {
    /// As npm reads it: none of those with `!`, and one of the others where there are any.
    fn has(&self, own: &str) -> bool {
        let all = match self {
            Names::One(one) => std::slice::from_ref(one),
            Names::All(all) => all,
        };
        let wanted = |word: &&String| !word.starts_with('!');
        let not = all.iter().any(|word| word.strip_prefix('!') == Some(own));
        let mut wanted = all.iter().filter(wanted).peekable();
        !not && (wanted.peek().is_none() || wanted.any(|word| word == own || word == "any"))
    }
}

/// What it names. Links, directories of the source itself, and what is in another package's tarball are not fetched, nor are optional
/// packages for other machines: npm does not ask for them either.
pub fn items(text: &str, architecture: &str) -> Result<Vec<Item>, String> {
    let lock: Lock =
        json::parse(text.as_bytes(), MAX_FILE as usize).map_err(|err| format!("it is not a lock of npm's: {err}"))?;
    let packages = match (lock.lockfile_version, lock.packages) {
        (Some(2 | 3), Some(packages)) => packages,
        _ => return Err("it is not of lockfileVersion 2 or 3".to_owned()),
    };
    let mut items = Vec::new();
    for (key, package) in packages {
        let Some((_, last)) = key.rsplit_once("node_modules/") else { continue };
        if package.link || package.in_bundle || (package.optional && !package.is_for(architecture)) {
            continue;
        }
        let refused = |why: &str| format!("{key}: {why}");
        let resolved = package.resolved.as_deref().ok_or_else(|| {
            refused("it has no `resolved`, without which npm asks the network; omit-lockfile-registry-resolved leaves it out")
        })?;
        if resolved.starts_with("file:") {
            continue;
        }
        let path = path(resolved).ok_or_else(|| refused("it comes from no registry, which is not supported"))?;
        let integrity = package.integrity.as_deref().and_then(sha512);
        items.push(Item {
            class: Class::Npm,
            path: Some(path.to_owned()),
            name: word("the name", package.name.as_deref().unwrap_or(last))?,
            version: word("the version", package.version.as_deref().ok_or_else(|| refused("it has no version"))?)?,
            digest: Named::Sha512(integrity.ok_or_else(|| refused("it has no integrity of one sha512"))?),
            conditional: false,
        });
    }
    Ok(items)
}

impl Package {
    fn is_for(&self, architecture: &str) -> bool {
        let cpu = match architecture {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            "x86" => "ia32",
            other => other,
        };
        self.os.as_ref().is_none_or(|os| os.has("linux")) && self.cpu.as_ref().is_none_or(|some| some.has(cpu))
    }
}

/// What of a URL is behind its host: where a mirror has it too.
fn path(url: &str) -> Option<&str> {
    let rest = ["https://", "http://"].iter().find_map(|scheme| url.strip_prefix(scheme))?;
    let (host, path) = rest.split_once('/')?;
    let parts = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    (!host.is_empty() && parts && !path.contains(['?', '#'])).then_some(path)
}

/// The one SHA-512 of an integrity, which may have weaker digests beside it.
fn sha512(integrity: &str) -> Option<Sha512> {
    let mut all = integrity.split_ascii_whitespace().filter_map(|one| one.strip_prefix("sha512-"));
    let (one, none) = (all.next()?, all.next());
    let bytes: [u8; 64] = STANDARD.decode(one).ok()?.try_into().ok()?;
    none.is_none().then(|| Sha512::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integrity(n: u8) -> String {
        format!("sha512-{}", STANDARD.encode([n; 64]))
    }

    fn lock() -> String {
        format!(
            r#"{{"name": "own", "lockfileVersion": 3, "requires": true, "packages": {{
"": {{"name": "own", "version": "1.0.0", "dependencies": {{"a": "1"}}}},
"node_modules/a": {{"version": "1.0.0", "resolved": "https://registry.example/a/-/a-1.0.0.tgz", "integrity": "sha1-x {}"}},
"node_modules/a/node_modules/@s/b": {{"version": "2.0.0", "resolved": "https://registry.example/@s/b/-/b-2.0.0.tgz", "integrity": "{}"}},
"node_modules/alias": {{"name": "c", "version": "3.0.0", "resolved": "https://other.example/c/-/c-3.0.0.tgz", "integrity": "{}"}},
"node_modules/mac": {{"version": "1.0.0", "optional": true, "os": ["darwin"], "resolved": "https://registry.example/m.tgz", "integrity": "{}"}},
"node_modules/arm": {{"version": "1.0.0", "optional": true, "os": "!win32", "cpu": ["arm64"], "resolved": "https://registry.example/n.tgz", "integrity": "{}"}},
"node_modules/own": {{"resolved": "packages/own", "link": true}},
"node_modules/in": {{"version": "1.0.0", "inBundle": true}},
"node_modules/tar": {{"version": "1.0.0", "resolved": "file:tar.tgz", "integrity": "{}"}},
"packages/own": {{"version": "1.0.0"}}
}}}}"#,
            integrity(1),
            integrity(2),
            integrity(3),
            integrity(4),
            integrity(5),
            integrity(6)
        )
    }

    #[test]
    fn packages_of_this_machine() {
        let found = |architecture| {
            let items = items(&lock(), architecture).unwrap();
            items
                .iter()
                .map(|item| format!("{} {} {}", item.name, item.version, item.path.as_deref().unwrap()))
                .collect::<Vec<_>>()
        };
        let all = ["a 1.0.0 a/-/a-1.0.0.tgz", "@s/b 2.0.0 @s/b/-/b-2.0.0.tgz", "c 3.0.0 c/-/c-3.0.0.tgz"];
        assert_eq!(found("x86_64"), all);
        assert_eq!(found("aarch64"), [&all[..], &["arm 1.0.0 n.tgz"]].concat());
    }

    #[test]
    fn what_is_refused() {
        let long = integrity(1);
        for (from, to, why) in [
            ("\"lockfileVersion\": 3", "\"lockfileVersion\": 1", "not of lockfileVersion"),
            ("\"packages\"", "\"dependencies\"", "not of lockfileVersion"),
            (
                "https://registry.example/a/",
                "git+ssh://git@git.example/a/",
                "node_modules/a: it comes from no registry",
            ),
            ("https://registry.example/a/-", "https://registry.example/a/..", "no registry"),
            ("a-1.0.0.tgz", "a-1.0.0.tgz?x", "no registry"),
            ("\"resolved\": \"https://registry.example/a/-/a-1.0.0.tgz\", ", "", "no `resolved`"),
            (long.as_str(), "", "no integrity"),
            (long.as_str(), "sha512-AAAA", "no integrity"),
            (long.as_str(), "sha512-A sha512-B", "no integrity"),
            ("\"version\": \"1.0.0\", \"resolved\"", "\"resolved\"", "no version"),
            ("\"version\": \"1.0.0\", \"resolved\"", "\"version\": \"1 0\", \"resolved\"", "printable"),
            ("\"requires\": true", "\"packages\": {}", "not a lock of npm's"),
        ] {
            assert!(lock().contains(from), "{from}");
            let err = items(&lock().replacen(from, to, 1), "x86_64").unwrap_err();
            assert!(err.contains(why), "{to}: {err}");
        }
    }
}
