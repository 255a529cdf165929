//! What was fetched, where the tools of its ecosystem take it from without a network (docs/spec.md §4.2). It follows from the parts alone, so
//! that everybody makes the same tree of them.
//!
//! ```text
//! cargo  AT/NAME-VERSION/…, with .cargo-checksum.json     cargo build --offline --config AT/config.toml
//!        AT/config.toml
//! pip    AT/FILE                                          PIP_NO_INDEX=1 PIP_FIND_LINKS=AT
//! npm    AT/_cacache/content-v2/sha512/aa/bb/…            cp -r AT "$HOME/.npm", then npm ci --offline
//! go     AT/MODULE/@v/VERSION.{info,mod,zip}              GOPROXY=file://AT GOSUMDB=off
//! ```

use super::{Ecosystem, cargo, go, pip};
use crate::digest::Sha512Hasher;
use crate::json;
use crate::lock::{Class, Part};
use crate::recipe::Fetch;
use crate::rootfs::{Builder, RootfsError, Why, below};
use std::io::{self, Read};
use std::path::Path;

/// Puts one part there. `open` gives its bytes, each time from the beginning, and fails at their end when they are not those of the lock.
pub fn put<R: Read, E: From<RootfsError>>(
    builder: &mut Builder,
    fetch: &Fetch,
    part: &Part,
    open: &mut dyn FnMut() -> Result<R, E>,
) -> Result<(), E> {
    let (name, version) = (part.name.as_str(), part.version.as_str());
    let refused = || RootfsError::Entry { entry: format!("{name} {version}"), why: Why::Name };
    let at = |path: &str| [fetch.at.as_bytes(), b"/", path.as_bytes()].concat();
    match part.class {
        Class::Crate => {
            let dir = cargo::dir(name, version).ok_or_else(refused)?;
            below::apply_alone(builder, Path::new("the crate"), open()?, &at(&dir), dir.as_bytes())?;
            let sums = format!("{{\"files\":{{}},\"package\":\"{}\"}}", part.sha256);
            builder.file(&at(&format!("{dir}/.cargo-checksum.json")), false, &mut sums.as_bytes())?;
        }
        Class::Python => {
            pip::project(name).ok_or_else(refused)?;
            builder.file(&at(name), false, &mut open()?)?;
        }
        Class::Npm => {
            let mut hasher = Sha512Hasher::default();
            let read = each(&mut open()?, &mut |bytes| hasher.update(bytes));
            let unread = |err| RootfsError::Entry { entry: format!("{name} {version}"), why: Why::Content(err) };
            read.map_err(unread)?;
            let hex = hasher.finish().to_string();
            let path = format!("_cacache/content-v2/sha512/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..]);
            builder.file(&at(&path), false, &mut open()?)?;
        }
        Class::GoMod | Class::GoZip => {
            let path = go::path(name, version).ok_or_else(refused)?;
            let ending = if part.class == Class::GoMod { "mod" } else { "zip" };
            builder.file(&at(&format!("{path}.{ending}")), false, &mut open()?)?;
            builder.file(&at(&format!("{path}.info")), false, &mut go::info(version).as_bytes())?;
        }
        _ => {}
    }
    Ok(())
}

/// What is there once, beside the parts.
pub fn finish(builder: &mut Builder, fetch: &Fetch) -> Result<(), RootfsError> {
    if fetch.kind != Ecosystem::Cargo {
        return Ok(());
    }
    // A string of JSON is one of TOML.
    let at = json::print(&format!("/{}", String::from_utf8_lossy(fetch.at.as_bytes())));
    let config = format!(
        "[source.crates-io]\nreplace-with = \"countersign\"\n\n[source.countersign]\ndirectory = {}\n",
        String::from_utf8_lossy(&at)
    );
    builder.file(&[fetch.at.as_bytes(), b"/config.toml"].concat(), false, &mut config.as_bytes())
}

/// All bytes of a reader.
pub(crate) fn each(from: &mut dyn Read, act: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => act(&buffer[..count]),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
}

#[cfg(test)]
mod tests;
