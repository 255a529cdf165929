use super::super::testing::{Member, ar, deb, gzip, tar};
use super::*;
use std::path::Path;

const CONTROL: &[u8] = b"Package: a\nVersion: 1:2-3\nArchitecture: amd64\n";

/// Names of what is in it, and its control files.
fn read(mut bytes: &[u8]) -> Result<String, String> {
    let deb = Deb::open(Path::new("a.deb"), &mut bytes).map_err(|err| err.to_string())?;
    let mut names = Vec::new();
    let control = deb.contents::<DebError>(1 << 20, &mut |control, member| {
        assert_eq!(control.name, "a");
        names.push(String::from_utf8_lossy(member.name).into_owned());
        Ok(())
    });
    let control = control.map_err(|err| err.to_string())?;
    let files = control.files.iter().map(|file| format!(" {}{}", file.name, if file.exec { "*" } else { "" }));
    Ok(format!(
        "{} {} {}{}: {}",
        control.name,
        control.version,
        control.architecture,
        files.collect::<String>(),
        names.join(" ")
    ))
}

fn with(members: &[(&str, &[u8])]) -> Result<String, String> {
    read(&ar(members))
}

fn with_control(members: &[Member<'_>]) -> Result<String, String> {
    with(&[("debian-binary", b"2.0\n"), ("control.tar", &tar(members)), ("data.tar", &tar(&[]))])
}

#[test]
fn control_and_contents() {
    let files = [Member::File("postinst", 0o755, b"#!"), Member::File("./conffiles", 0o644, b"/etc/a\n")];
    let data = [Member::Dir("./"), Member::File("./a", 0o644, b"1"), Member::Link("./b", "a")];
    assert_eq!(read(&deb("a", "", &files, &data)).unwrap(), "a 1.0 all conffiles postinst*: ./ ./a ./b");
    let (control, data) = (tar(&[Member::File("control", 0o644, CONTROL)]), tar(&data));
    let plain = with(&[("debian-binary", b"2.1\n"), ("control.tar", &control), ("data.tar", &data)]);
    assert_eq!(plain.unwrap(), "a 1:2-3 amd64: ./ ./a ./b");
    let mixed = with(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &gzip(&control)), ("data.tar", &data)]);
    assert_eq!(mixed.unwrap(), "a 1:2-3 amd64: ./ ./a ./b");
}

#[test]
fn other_frames() {
    let (control, data) = (tar(&[Member::File("control", 0o644, CONTROL)]), tar(&[]));
    let packed = gzip(&data);
    let binary: (&str, &[u8]) = ("debian-binary", b"2.0\n");
    let c: (&str, &[u8]) = ("control.tar", &control);
    let d: (&str, &[u8]) = ("data.tar", &data);
    assert!(with(&[binary, c, d]).is_ok());
    for (members, why) in [
        (vec![c, binary, d], "its first member is not debian-binary"),
        (vec![("debian-binary", b"3.0\n"), c, d], "its format is not 2.0"),
        (vec![("debian-binary", b"2.x\n"), c, d], "its format is not 2.0"),
        (vec![("debian-binary", b"2.0 "), c, d], "its format is not 2.0"),
        (vec![("debian-binary/", b"2.0\n"), c, d], "its first member is not debian-binary"),
        (vec![binary, d, c], "its second member is not control.tar"),
        (vec![binary, ("_gpgorigin", b"x"), c, d], "its second member is not control.tar"),
        (vec![binary, c, c, d], "its third member is not data.tar"),
        (vec![binary, c, ("_x", b""), d], "its third member is not data.tar"),
        (vec![binary, c, d, d], "something follows data.tar"),
        (vec![binary, c, d, ("_gpgorigin", b"x")], "something follows data.tar"),
        (vec![binary, c, ("data.tar.bz2", &data)], "data.tar.bz2 is packed in a way that is not supported"),
        (vec![binary, c, ("data.tar.lzma", &data)], "data.tar.lzma is packed in a way that is not supported"),
        (vec![binary, ("control.tar.bz2", &control), d], "control.tar.bz2 is packed in a way"),
        (vec![binary, c, ("data.tar.xz", &packed)], "should be packed by xz, but is packed by gzip"),
        (vec![binary, c, ("data.tar", &packed)], "should be not packed, but is packed by gzip"),
        (vec![binary, c, ("data.tar.zst", &data)], "should be packed by zstd, but is not packed"),
        (vec![binary, c, ("data.tar", b"x")], "neither tar nor zip"),
        (vec![binary, c], "it is cut off"),
    ] {
        let outcome = with(&members).unwrap_err();
        assert!(outcome.contains(why), "{outcome}");
    }
    let good = ar(&[binary, c, ("data.tar.gz", &packed)]);
    let behind = [&packed[..], b"x"].concat();
    assert!(read(&good).is_ok() && with(&[binary, c, ("data.tar.gz", &behind)]).is_err());
    for cut in (0..good.len() - 1).step_by(7) {
        assert!(read(&good[..cut]).is_err(), "{cut}");
    }
    assert!(read(&[&good[..], b"\n"].concat()).unwrap_err().contains("something follows"));
    for (at, byte) in [(0, b'?'), (8 + 58, b'?'), (8 + 48, b'-'), (8 + 48, b'9'), (8 + 49, b'x')] {
        let mut other = good.clone();
        other[at] = byte;
        assert!(read(&other).is_err(), "{at}");
    }
    // The byte behind a member of odd length.
    let format = b"2.10\n";
    let longer = ar(&[("debian-binary", format), c, d]);
    let mut other = longer.clone();
    other[8 + 60 + format.len()] = b'x';
    assert!(read(&longer).is_ok() && read(&other).unwrap_err().contains("a member is longer than its header says"));
}

#[test]
fn other_control_files() {
    let control = Member::File("control", 0o644, CONTROL);
    let file = |name| Member::File(name, 0o644, b"");
    for (members, why) in [
        (vec![], "there is no control file"),
        (vec![file("./postinst")], "there is no control file"),
        (vec![control, Member::File("./control", 0o644, b"")], "control file ./control: it is there twice"),
        (vec![file("../control")], "its name is not one"),
        (vec![file("./a/b")], "its name is not one"),
        (vec![file(".list")], "its name is not one"),
        (vec![file("./b.list")], "its name is not one"),
        (vec![Member::Dir("./a/")], "it is not a file"),
        (vec![Member::Link("./postinst", "/bin/sh")], "it is not a file"),
        (vec![Member::Hard("./postinst", "./control")], "it is not a file"),
        (vec![Member::Other("./postinst", b'3')], "it is not a file"),
        (vec![Member::File("control", 0o644, b"Package: a\n")], "has no field Version"),
        (vec![Member::File("control", 0o644, b"Package: a/b\nVersion: 1\nArchitecture: all\n")], "is not one"),
        (vec![Member::File("control", 0o644, b"Package: a\nVersion: 1/2\nArchitecture: all\n")], "is not a version"),
        (vec![Member::File("control", 0o644, b"Package: a\nVersion: 1\nArchitecture: ../x\n")], "is not one"),
        (
            vec![Member::File("control", 0o644, b"Package: a\nPackage: b\nVersion: 1\nArchitecture: all\n")],
            "there twice",
        ),
        (
            vec![Member::File("control", 0o644, b"Package: a\nVersion: 1\nArchitecture: all\n\nX: y\n")],
            "more than one stanza",
        ),
    ] {
        let outcome = with_control(&members).unwrap_err();
        assert!(outcome.contains(why), "{outcome}");
    }
}

#[test]
fn contents_have_a_limit() {
    let bytes = deb("a", "", &[], &[Member::File("./a", 0o644, &[0; 2 << 20])]);
    assert_eq!(read(&bytes).unwrap_err(), "a.deb unpacks to more than 1048576 bytes");
}
