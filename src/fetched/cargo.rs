//! `Cargo.lock`: crates of one registry.

use super::{Item, Named, word};
use crate::lock::Class;
use serde::Deserialize;

#[derive(Deserialize)]
struct Lock {
    version: Option<u32>,
    #[serde(default)]
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

/// What it names. Packages without a source are in the tree of the source itself.
pub fn items(text: &str) -> Result<Vec<Item>, String> {
    let lock: Lock = toml::from_str(text).map_err(|err| format!("it is not a Cargo.lock: {}", err.message()))?;
    if lock.version.is_some_and(|version| version > 4) {
        return Err("it is of a version that is not known yet".to_owned());
    }
    let mut registry: Option<String> = None;
    let mut items = Vec::new();
    for Package { name, version, source, checksum } in lock.package {
        let Some(source) = source else { continue };
        let shown = format!("{name} {version}");
        if !source.starts_with("registry+") && !source.starts_with("sparse+") {
            let what = if source.starts_with("git+") { "a git repository" } else { "no registry" };
            return Err(format!("{shown} comes from {what}, which is not supported: vendor it, or publish it"));
        }
        if registry.get_or_insert_with(|| source.clone()) != &source {
            return Err(format!("{shown} comes from another registry than the packages before it; one is supported"));
        }
        let checksum = checksum.ok_or_else(|| format!("{shown} has no checksum"))?;
        let checksum = checksum.parse().map_err(|_| format!("{shown}: its checksum is no SHA-256"))?;
        let dir = dir(&name, &version).ok_or_else(|| format!("{shown} is no name and version of a crate"))?;
        items.push(Item {
            class: Class::Crate,
            path: Some(format!("{name}/{dir}.crate")),
            name: word("the name", &name)?,
            version: word("the version", &version)?,
            digest: Named::Sha256([checksum].into()),
            conditional: false,
        });
    }
    Ok(items)
}

/// The directory that is all there is in a crate. No two crates have one: names are without dots.
pub fn dir(name: &str, version: &str) -> Option<String> {
    let of_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let of_version = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'+');
    let numbers = version.split(['-', '+']).next().unwrap_or_default().split('.');
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let good = !name.is_empty()
        && name.bytes().all(of_name)
        && version.bytes().all(of_version)
        && numbers.clone().count() == 3
        && numbers.into_iter().all(number);
    good.then(|| format!("{name}-{version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"# made by cargo
version = 3

[[package]]
name = "own"
version = "0.1.0"
dependencies = ["cc", "wasi"]

[[package]]
name = "cc"
version = "1.2.3"
source = "registry+https://registry.example/index"
checksum = "abababababababababababababababababababababababababababababababab"

[[package]]
name = "wasi"
version = "0.11.0+wasi-snapshot-preview1"
source = "registry+https://registry.example/index"
checksum = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
"#;

    #[test]
    fn crates_and_what_is_the_sources_own() {
        let items = items(LOCK).unwrap();
        let names: Vec<_> = items.iter().map(|item| (item.name.as_str(), item.path.as_deref().unwrap())).collect();
        let wasi = "wasi/wasi-0.11.0+wasi-snapshot-preview1.crate";
        assert_eq!(names, [("cc", "cc/cc-1.2.3.crate"), ("wasi", wasi)]);
        assert_eq!(super::items("").unwrap(), []);
    }

    #[test]
    fn what_is_refused() {
        for (from, to, why) in [
            (
                "registry+https://registry.example/index",
                "git+https://git.example/cc?rev=1#1",
                "cc 1.2.3 comes from a git",
            ),
            ("registry+https://registry.example/index", "registry+https://other.example/index", "wasi 0.11.0"),
            ("registry+https", "directory+file", "no registry"),
            ("checksum = \"ab", "#", "cc 1.2.3 has no checksum"),
            ("checksum = \"ab", "checksum = \"AB", "is no SHA-256"),
            ("checksum = \"ab", "checksum = \"b", "is no SHA-256"),
            ("\"cc\"\nversion", "\"../cc\"\nversion", "no name and version"),
            ("1.2.3", "1.2", "no name and version"),
            ("1.2.3", "1.2.3/../..", "no name and version"),
            ("version = 3", "version = 5", "not known yet"),
            ("version = 3", "version = ", "not a Cargo.lock"),
            ("[[package]]", "[package]", "not a Cargo.lock"),
        ] {
            assert!(LOCK.contains(from), "{from}");
            let err = items(&LOCK.replacen(from, to, 1)).unwrap_err();
            assert!(err.contains(why), "{to}: {err}");
        }
    }
}
