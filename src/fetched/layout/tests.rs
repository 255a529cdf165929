use super::*;
use crate::digest;
use crate::path::TreePath;
use crate::rootfs::Limits;

fn tar(entries: &[(&str, Result<&str, &str>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.map_or(0, |text| text.len() as u64));
        // As it stands there: set_path would refuse what is tried here.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if let Err(target) = content {
            header.set_entry_type(tar::EntryType::Symlink);
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        }
        header.set_cksum();
        tar.append(&header, content.unwrap_or_default().as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// What stands there afterwards, as `PATH CONTENT`.
fn made(kind: Ecosystem, parts: &[(&str, &str, &str, &[u8])]) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    let mut builder = Builder::new(&dir.path().join("spool"), Limits::default()).unwrap();
    let path = |text: &str| TreePath::from_bytes(text.as_bytes()).unwrap();
    let fetch = Fetch { kind, from: vec![path("lock")], at: path("v"), mirror: "m".into() };
    for (class, name, version, bytes) in parts {
        let sha256 = digest::sha256(bytes);
        let part: Part = format!("{class} {name} {version} {sha256} {} source -", bytes.len()).parse().unwrap();
        put::<_, RootfsError>(&mut builder, &fetch, &part, &mut || Ok(*bytes)).map_err(|err| err.to_string())?;
    }
    finish(&mut builder, &fetch).map_err(|err| err.to_string())?;
    let dest = dir.path().join("root");
    builder.finish(&dest, 0).map_err(|err| err.to_string())?;
    let found = walkdir::WalkDir::new(&dest).sort_by_file_name().into_iter().flatten();
    let files = found.filter(|entry| !entry.file_type().is_dir());
    Ok(files
        .map(|entry| {
            let name = entry.path().strip_prefix(&dest).unwrap().to_str().unwrap().to_owned();
            let content = match entry.file_type().is_symlink() {
                true => std::fs::read_link(entry.path()).unwrap().to_str().unwrap().to_owned(),
                false => std::fs::read_to_string(entry.path()).unwrap(),
            };
            format!("{name} {content}")
        })
        .collect())
}

#[test]
fn crates_as_a_directory_source() {
    let good = tar(&[
        ("a-1.0.0/Cargo.toml", Ok("x")),
        ("a-1.0.0/.cargo-checksum.json", Ok("lie")),
        ("a-1.0.0/l", Err("../..")),
    ]);
    let config = "[source.crates-io]\nreplace-with = \"countersign\"\n\n[source.countersign]\ndirectory = \"/v\"\n";
    assert_eq!(
        made(Ecosystem::Cargo, &[("crate", "a", "1.0.0", &good)]).unwrap(),
        [
            format!("v/a-1.0.0/.cargo-checksum.json {{\"files\":{{}},\"package\":\"{}\"}}", digest::sha256(&good)),
            "v/a-1.0.0/Cargo.toml x".into(),
            "v/a-1.0.0/l ../..".into(),
            format!("v/config.toml {config}"),
        ]
    );
}

#[test]
fn a_crate_stays_in_its_directory() {
    for (entries, why) in [
        (&[("b-1.0.0/x", Ok(""))][..], "not below"),
        (&[("x", Ok(""))], "not below"),
        (&[("a-1.0.0/../../x", Ok(""))], "not the name"),
        (&[("a-1.0.0/l", Err("/usr")), ("a-1.0.0/l/x", Ok(""))], "not a directory"),
        (&[("a-1.0.0/l", Err("d")), ("a-1.0.0/d/x", Ok("")), ("a-1.0.0/l/y", Ok(""))], "not a directory"),
        (&[("a-1.0.0/.cargo-checksum.json/x", Ok(""))], "a directory with something"),
    ] {
        let err = made(Ecosystem::Cargo, &[("crate", "a", "1.0.0", &tar(entries))]).unwrap_err();
        assert!(err.contains(why), "{entries:?}: {err}");
    }
    for (name, version) in [("../a", "1.0.0"), ("a/b", "1.0.0"), ("a", "1.0.0/../x"), ("a", "1")] {
        let err = made(Ecosystem::Cargo, &[("crate", name, version, b"")]).unwrap_err();
        assert!(err.contains("not the name"), "{name}: {err}");
    }
}

#[test]
fn files_as_the_others_look_for_them() {
    assert_eq!(
        made(Ecosystem::Pip, &[("python", "a-1-py3-none-any.whl", "1", b"w")]).unwrap(),
        ["v/a-1-py3-none-any.whl w"]
    );
    // `printf p | sha512sum`
    let hex = digest_hex(b"p");
    let npm = made(Ecosystem::Npm, &[("npm", "@s/b", "2.0.0", b"p")]).unwrap();
    assert_eq!(npm, [format!("v/_cacache/content-v2/sha512/{}/{}/{} p", &hex[..2], &hex[2..4], &hex[4..])]);
    let go =
        made(Ecosystem::Go, &[("go-mod", "x.example/A", "v1.0.0", b"m"), ("go-zip", "x.example/A", "v1.0.0", b"z")]);
    let stem = "v/x.example/!a/@v/v1.0.0";
    let info = format!("{stem}.info {{\"Version\":\"v1.0.0\"}}");
    assert_eq!(go.unwrap(), [info, format!("{stem}.mod m"), format!("{stem}.zip z")]);
    for (kind, class, name, version) in [
        (Ecosystem::Pip, "python", "../a-1.tar.gz", "1"),
        (Ecosystem::Pip, "python", "config", "1"),
        (Ecosystem::Go, "go-mod", "x/../../y", "v1"),
        (Ecosystem::Go, "go-zip", "x", "v1/../y"),
    ] {
        assert!(made(kind, &[(class, name, version, b"")]).unwrap_err().contains("not the name"), "{name}");
    }
}

fn digest_hex(bytes: &[u8]) -> String {
    let mut hasher = Sha512Hasher::default();
    hasher.update(bytes);
    hasher.finish().to_string()
}
