//! dpkg's database in the state in which everything is unpacked and nothing configured (dpkg 1.21; format 1 of `info`).

use super::super::control;
use super::super::deb::Control;
use super::super::relation::Relation;
use super::{AssembleError, Unpacked, flat, of};
use crate::rootfs::Builder;
use std::collections::{BTreeMap, BTreeSet};

const ADMIN: &str = "var/lib/dpkg";
/// Fields that only dpkg writes.
const STATE: [&str; 5] = ["Status", "Config-Version", "Conffiles", "Triggers-Pending", "Triggers-Awaited"];

fn refuse(package: &str, what: &str, why: &'static str) -> AssembleError {
    AssembleError::Database { package: package.to_owned(), what: what.escape_default().to_string(), why }
}

/// What a package replaces, and its configuration files, which begin with a slash.
pub(super) fn about(control: &Control) -> Result<(Vec<Relation>, BTreeSet<Vec<u8>>), AssembleError> {
    let name = &control.name;
    let outcome = control::one(control.text.as_bytes(), |stanza| {
        if let Some(field) = STATE.iter().find(|field| stanza.get(field).is_some()) {
            return Err(refuse(name, field, "only dpkg may write this field"));
        }
        flat(name, stanza.get("Replaces").unwrap_or_default())
    });
    let replaces = outcome.map_err(|_| refuse(name, "control", "it is not one stanza"))??;
    let mut conffiles = BTreeSet::new();
    for line in lines(control, "conffiles")? {
        // dpkg 1.20 knows one flag. What is to be removed is not there to be unpacked.
        if line.starts_with("remove-on-upgrade ") {
            continue;
        }
        if !line.starts_with('/') || line.contains(' ') || line.ends_with('/') {
            return Err(refuse(name, line, "it is not the path of a configuration file"));
        }
        conffiles.insert(line.as_bytes().to_vec());
    }
    Ok((replaces, conffiles))
}

/// Lines of a control file, without blanks at the end and empty ones.
fn lines<'a>(control: &'a Control, file: &str) -> Result<impl Iterator<Item = &'a str>, AssembleError> {
    let text = std::str::from_utf8(control.file(file).unwrap_or_default())
        .map_err(|_| refuse(&control.name, file, "it is not UTF-8"))?;
    Ok(text.lines().map(str::trim_ascii_end).filter(|line| !line.is_empty()))
}

/// The name under which dpkg keeps what it knows of a package, of which another architecture may be there too.
fn key(control: &Control) -> String {
    let same = control::one(control.text.as_bytes(), |stanza| stanza.get("Multi-Arch") == Some("same"));
    match same {
        Ok(true) => format!("{}:{}", control.name, control.architecture),
        _ => control.name.clone(),
    }
}

pub(super) fn write(builder: &mut Builder, packages: &mut [Unpacked]) -> Result<(), AssembleError> {
    packages.sort_by(|a, b| a.control.name.cmp(&b.control.name));
    let mut status = String::new();
    let mut triggers: BTreeMap<String, String> = BTreeMap::from([("File".into(), String::new())]);
    for package in &*packages {
        let name = &package.control.name;
        let key = key(&package.control);
        stanza(&mut status, package);
        interests(&package.control, &key, &mut triggers)?;
        let mut list: Vec<u8> = Vec::new();
        for path in package.list.iter().flatten() {
            list.extend_from_slice(path);
            list.push(b'\n');
        }
        put(builder, name, &format!("info/{key}.list"), false, &list)?;
        for file in &package.control.files {
            if file.name == "list" {
                return Err(refuse(name, "list", "a package cannot bring this control file"));
            }
            put(builder, name, &format!("info/{key}.{}", file.name), file.exec, &file.bytes)?;
        }
    }
    let whole = "the database";
    for (file, text) in &triggers {
        put(builder, whole, &format!("triggers/{file}"), false, text.as_bytes())?;
    }
    put(builder, whole, "info/format", false, b"1\n")?;
    put(builder, whole, "status", false, status.as_bytes())?;
    for file in ["available", "diversions", "statoverride"] {
        put(builder, whole, file, false, b"")?;
    }
    for dir in ["alternatives", "parts", "updates"] {
        builder.dir(format!("{ADMIN}/{dir}").as_bytes()).map_err(of(whole))?;
    }
    Ok(())
}

fn put(builder: &mut Builder, package: &str, file: &str, exec: bool, mut bytes: &[u8]) -> Result<(), AssembleError> {
    builder.file(format!("{ADMIN}/{file}").as_bytes(), exec, &mut bytes).map_err(of(package))
}

fn stanza(status: &mut String, package: &Unpacked) {
    status.push_str(package.control.text.trim_matches('\n'));
    status.push_str("\nStatus: install ok unpacked\n");
    if !package.conffiles.is_empty() {
        status.push_str("Conffiles:\n");
        for path in &package.conffiles {
            // Read as UTF-8.
            status.push_str(&format!(" {} newconffile\n", String::from_utf8_lossy(path)));
        }
    }
    status.push('\n');
}

/// What the package wants to be told of (deb-triggers(5)): dpkg looks it up here, and not in the package's own file.
fn interests(control: &Control, key: &str, triggers: &mut BTreeMap<String, String>) -> Result<(), AssembleError> {
    for line in lines(control, "triggers")? {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let (directive, trigger, rest) = (words.next(), words.next(), words.next());
        let await_it = match directive {
            None | Some("activate" | "activate-await" | "activate-noawait") => continue,
            Some("interest" | "interest-await") => "",
            Some("interest-noawait") => "/noawait",
            Some(_) => return Err(refuse(&control.name, line, "it is not a trigger")),
        };
        let (Some(trigger), None) = (trigger, rest) else {
            return Err(refuse(&control.name, line, "it is not a trigger"));
        };
        let (file, line) = match trigger.starts_with('/') {
            true => ("File", format!("{trigger} {key}{await_it}\n")),
            // It becomes the name of a file, beside `File` and others.
            false
                if trigger
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'+')) =>
            {
                (trigger, format!("{key}{await_it}\n"))
            }
            false => return Err(refuse(&control.name, line, "it is not the name of a trigger")),
        };
        triggers.entry(file.to_owned()).or_default().push_str(&line);
    }
    Ok(())
}
