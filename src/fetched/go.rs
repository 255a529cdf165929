//! `go.sum`: files of modules by `h1:`, which is SHA-256 in base64 of a list with a line `SHA256  NAME` for each file.

use super::{Item, Named, word};
use crate::digest::{self, Sha256, Sha256Hasher};
use crate::lock::Class;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;

/// What it names.
pub fn items(text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.is_empty() {
            continue;
        }
        let refused = |why: &str| format!("line {number}: {why}");
        let fields: Vec<&str> = line.split(' ').collect();
        let [module, version, hash] = fields[..] else {
            return Err(refused("it is not a module, a version and a hash"));
        };
        let hash = hash.strip_prefix("h1:").and_then(|text| STANDARD.decode(text).ok());
        let hash: Option<[u8; 32]> = hash.and_then(|bytes| bytes.try_into().ok());
        let hash = hash.map(Sha256::from_bytes).ok_or_else(|| refused("its hash is not of the kind h1"))?;
        let (version, class, digest) = match version.strip_suffix("/go.mod") {
            Some(version) => (version, Class::GoMod, Named::File(hash)),
            None => (version, Class::GoZip, Named::Files(hash)),
        };
        let path = path(module, version).ok_or_else(|| refused("it names no module and version"))?;
        let ending = if class == Class::GoMod { "mod" } else { "zip" };
        items.push(Item {
            class,
            path: Some(format!("{path}.{ending}")),
            name: word("the module", module)?,
            version: word("the version", version)?,
            digest,
            conditional: false,
        });
    }
    Ok(items)
}

/// Where the files of a module's version are in a proxy, without their ending: capital letters are `!` and the small one.
pub fn path(module: &str, version: &str) -> Option<String> {
    let parts = module.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.'));
    let of_module = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'/');
    let of_version = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'+' | b'_');
    let good = parts
        && module.bytes().all(of_module)
        && version.bytes().all(of_version)
        && version.starts_with('v')
        && !version.contains("..");
    good.then(|| format!("{}/@v/{}", escaped(module), escaped(version)))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if c.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(c.to_ascii_lowercase());
    }
    escaped
}

/// What a proxy says of a version, as far as it follows from the name.
pub fn info(version: &str) -> String {
    format!("{{\"Version\":\"{version}\"}}")
}

/// The digest in `h1:` of some files.
pub fn h1(files: &BTreeMap<String, Sha256>) -> Sha256 {
    let mut hasher = Sha256Hasher::default();
    for (name, sha256) in files {
        hasher.update(format!("{sha256}  {name}\n").as_bytes());
    }
    hasher.finish()
}

/// That of a `go.mod` alone.
pub fn h1_of_mod(bytes: &[u8]) -> Sha256 {
    h1(&[("go.mod".to_owned(), digest::sha256(bytes))].into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "rsc.example/Quote v1.5.2 h1:w5fcysjrx7yqtD/aO+QwRjYZOKnaM9Uh2b40tElTs3Y=\n\
                       rsc.example/Quote v1.5.2/go.mod h1:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0=\n";

    #[test]
    fn modules_and_their_go_mod() {
        let items = items(SUM).unwrap();
        let found: Vec<_> = items.iter().map(|item| (item.class, item.path.as_deref().unwrap())).collect();
        assert_eq!(
            found,
            [(Class::GoZip, "rsc.example/!quote/@v/v1.5.2.zip"), (Class::GoMod, "rsc.example/!quote/@v/v1.5.2.mod")]
        );
        // `go mod download` of a module whose go.mod is this line: "module example.com/empty\n".
        let h1 = STANDARD.encode(h1_of_mod(b"module example.com/empty\n").as_bytes());
        let line = format!("{}  go.mod\n", digest::sha256(b"module example.com/empty\n"));
        assert_eq!(h1, STANDARD.encode(digest::sha256(line.as_bytes()).as_bytes()));
    }

    #[test]
    fn what_is_refused() {
        for (from, to, why) in [
            (" h1:w5", " h2:w5", "line 1: its hash"),
            ("Ts3Y=", "Ts3Y", "line 1: its hash"),
            ("Ts3Y=", "", "line 1: its hash"),
            (" v1.5.2 ", " v1.5.2  ", "line 1: it is not a module"),
            (" v1.5.2/go.mod", "", "line 2: it is not a module"),
            (" v1.5.2 ", " v1.5.2/x ", "line 1: it names no module"),
            (" v1.5.2 ", " 1.5.2 ", "names no module"),
            ("rsc.example/Q", "../Q", "names no module"),
            ("rsc.example/Q", "/Q", "names no module"),
            ("rsc.example/Q", "rsc.example/!q", "names no module"),
        ] {
            assert!(SUM.contains(from), "{from}");
            let err = items(&SUM.replacen(from, to, 1)).unwrap_err();
            assert!(err.contains(why), "{to}: {err}");
        }
    }
}
