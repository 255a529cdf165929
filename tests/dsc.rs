//! Debian source packages, beside what `dpkg-source` makes of them.
#![cfg(unix)]

use std::fs::{Permissions, create_dir_all, set_permissions, write};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

struct Package {
    dir: tempfile::TempDir,
    format: &'static str,
    version: &'static str,
}

fn run(program: &str, dir: &Path, args: &[&str]) -> String {
    let out = Command::new(program).args(args).current_dir(dir).env("LC_ALL", "C").output().unwrap();
    assert!(out.status.success(), "{program} {args:?}: {out:?}");
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn digest(path: &Path, args: &[&str]) -> (i32, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_countersign")).arg("digest").arg(path).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
}

impl Package {
    fn new(format: &'static str, version: &'static str) -> Package {
        Package { dir: tempfile::tempdir().unwrap(), format, version }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file with these permission bits in a directory that is packed later.
    fn put(&self, name: &str, text: &str, mode: u32) -> &Package {
        let at = self.path("in").join(name);
        create_dir_all(at.parent().unwrap()).unwrap();
        write(&at, text).unwrap();
        set_permissions(at, Permissions::from_mode(mode)).unwrap();
        self
    }

    fn link(&self, target: &str, name: &str) -> &Package {
        let at = self.path("in").join(name);
        create_dir_all(at.parent().unwrap()).unwrap();
        symlink(target, at).unwrap();
        self
    }

    /// Packs what was put, the members `names` of it, and begins anew.
    fn pack(&self, archive: &str, names: &[&str]) -> &Package {
        let archive = format!("../{archive}");
        run("tar", &self.path("in"), &[&["-c", "-a", "-f", archive.as_str()], names].concat());
        std::fs::remove_dir_all(self.path("in")).unwrap();
        self
    }

    fn debian(&self, archive: &str) -> &Package {
        self.put("debian/rules", "#!/usr/bin/make -f\n", 0o644).put("debian/control", "Source: x\n", 0o644);
        self.put("debian/source/format", &format!("{}\n", self.format), 0o644).put(
            "debian/patches/series",
            "one\n",
            0o600,
        );
        self.put("debian/patches/one", "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-f\n+g\n", 0o644);
        self.put("debian/run", "#!", 0o654).link("control", "debian/link").pack(archive, &["debian"])
    }

    fn text(&self) -> String {
        let mut names: Vec<String> = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|item| item.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("x_") && !name.ends_with(".dsc"))
            .collect();
        names.sort_unstable();
        let list = |tool: &str| {
            let line = |name: &String| {
                let sum = run(tool, self.dir.path(), &[name]);
                let size = self.path(name).metadata().unwrap().len();
                format!(" {} {size} {name}\n", sum.split(' ').next().unwrap())
            };
            names.iter().map(line).collect::<String>()
        };
        format!(
            "Format: {}\nSource: x\nBinary: x,\n y\nArchitecture: any\nVersion: {}\nMaintainer: N <n@example.org>\n\
             Checksums-Sha1:\n{}Checksums-Sha256:\n{}Files:\n{}",
            self.format,
            self.version,
            list("sha1sum"),
            list("sha256sum"),
            list("md5sum")
        )
    }

    fn dsc(&self) -> PathBuf {
        let at = self.path("x.dsc");
        write(&at, self.text()).unwrap();
        at
    }

    /// The same tree as from `dpkg-source`, when read and when written out.
    #[track_caller]
    fn as_dpkg(&self) -> String {
        let dsc = self.dsc();
        let to = self.path("unpacked");
        let args = ["--no-check", "--skip-patches", "-x", dsc.to_str().unwrap(), to.to_str().unwrap()];
        run("dpkg-source", self.dir.path(), &args);
        let (code, listing, err) = digest(&dsc, &["--tree", "--listing"]);
        assert_eq!(code, 0, "{err}");
        let (_, want, _) = digest(&to, &["--listing", "--exclude", "none"]);
        // Without an exclude, nothing but a top-level .git is left out.
        assert_eq!(listing, want);
        listing
    }

    #[track_caller]
    fn refused(&self, why: &str) {
        self.refused_text(&self.text(), why);
    }

    #[track_caller]
    fn refused_text(&self, text: &str, why: &str) {
        let at = self.path("x.dsc");
        write(&at, text).unwrap();
        let (code, out, err) = digest(&at, &["--tree"]);
        assert_eq!((code, out.as_str()), (7, ""), "{err}");
        assert!(err.contains(why), "{why}: {err}");
    }
}

fn quilt() -> Package {
    let package = Package::new("3.0 (quilt)", "1:1.0-2");
    package.put("x-1.0/f", "f\n", 0o644).put("x-1.0/run", "#!", 0o711).put("x-1.0/group", "#!", 0o654);
    package.put("x-1.0/.pc/secret", "x", 0o644).put("x-1.0/d/.pc/kept", "x", 0o644).link("f", "x-1.0/link");
    package.put("x-1.0/debian/theirs", "gone", 0o644).put("x-1.0/extra/theirs", "gone", 0o644);
    create_dir_all(package.path("in/x-1.0/empty")).unwrap();
    package.pack("x_1.0.orig.tar.gz", &["x-1.0"]);
    package
        .put("whatever/a", "a", 0o600)
        .put("whatever/b/c", "c", 0o644)
        .pack("x_1.0.orig-extra.tar.xz", &["whatever"]);
    package.put("a", "a", 0o600).put("b", "b", 0o644).pack("x_1.0.orig-more-2.tar.gz", &["a", "b"]);
    package.debian("x_1.0-2.debian.tar.xz");
    write(package.path("x_1.0.orig.tar.gz.asc"), "whatever").unwrap();
    package
}

#[test]
fn quilt_with_components() {
    let package = quilt();
    let listing = package.as_dpkg();
    for (has, line) in [
        (true, " d/.pc/kept"),
        (false, " .pc/secret"),
        (false, "theirs"),
        (true, " extra/b/c"),
        (true, " more-2/b"),
        (true, " debian/patches/one"),
        (true, " empty"),
    ] {
        assert_eq!(listing.contains(line), has, "{line}: {listing}");
    }
    assert!(listing.lines().any(|line| line.starts_with("100755") && line.ends_with(" debian/rules")));
    let (code, _, err) = digest(&package.path("x.dsc"), &["--tree"]);
    assert!(code == 0 && !err.contains("signature"), "{err}");
    // Of the file, where the tree was not asked for.
    let (code, out, _) = digest(&package.path("x.dsc"), &[]);
    assert!(code == 0 && out.contains("blake3:"), "{out}");
}

#[test]
fn one_archive_without_a_directory_of_its_own() {
    let package = Package::new("3.0 (quilt)", "1.0-2");
    package
        .put("f", "f\n", 0o644)
        .put("d/g", "g\n", 0o755)
        .put("d/.pc/x", "x", 0o644)
        .pack("x_1.0.orig.tar.gz", &["f", "d"]);
    package.debian("x_1.0-2.debian.tar.gz").as_dpkg();
    for (version, format) in [("1.0", "3.0 (native)"), ("2:1.0-a", "3.0 (native)"), ("1.0", "1.0")] {
        let package = Package::new(format, version);
        package.put("x/f", "f\n", 0o644).put("x/.pc/f", "f\n", 0o604).put("x/debian/rules", "#!", 0o600);
        package.put("x/debian/source/format", "3.0 (native)\n", 0o644);
        package.pack(&format!("x_{}.tar.gz", version.trim_start_matches("2:")), &["x"]);
        package.as_dpkg();
    }
    let package = Package::new("1.0", "1.0-1");
    package.put("x/f", "f\n", 0o644).put("x/debian/rules", "#!", 0o600).pack("x_1.0.orig.tar.gz", &["x"]).as_dpkg();
    let package = Package::new("3.0 (quilt)", "1.0-2");
    package.link("d", "x").pack("x_1.0.orig.tar.gz", &["x"]).debian("x_1.0-2.debian.tar.gz").as_dpkg();
}

#[test]
fn what_is_signed() {
    let package = quilt();
    let want = package.as_dpkg();
    let signature = "-----BEGIN PGP SIGNATURE-----\n\niQ==\n=abcd\n-----END PGP SIGNATURE-----\n";
    let head = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n";
    let text = package.text();
    let dsc = package.path("x.dsc");
    for signed in [format!("{head}{text}\n{signature}"), format!("{head}- {text}\n{signature}\n\n")] {
        write(&dsc, signed).unwrap();
        let (code, out, err) = digest(&dsc, &["--tree", "--listing"]);
        assert_eq!((code, out.as_str()), (0, want.as_str()), "{err}");
        assert!(err.contains("note: the signature in ") && err.contains(" is not checked"), "{err}");
    }
    for wrong in [
        format!("{head}{text}"),
        format!("{head}{text}{signature}Source: y\n"),
        format!("{head}{text}-----BEGIN PGP SIGNATURE-----\n"),
        format!("{head}{text}{signature}{head}{text}{signature}"),
        format!("-----BEGIN PGP SIGNED MESSAGE-----\nSource: y\n\n{text}{signature}"),
        format!("{head}{text}-----BEGIN SOMETHING\n{signature}"),
    ] {
        package.refused_text(&wrong, "not in the form");
    }
}

#[test]
fn files_that_are_not_those_that_are_named() {
    let package = quilt();
    let text = package.text();
    let file = package.path("x_1.0.orig-extra.tar.xz");
    let whole = std::fs::read(&file).unwrap();
    let mut other = whole.clone();
    *other.last_mut().unwrap() ^= 1;
    for bytes in [&other[..], &whole[1..], &[&whole[..], b"x"].concat()] {
        write(&file, bytes).unwrap();
        package.refused_text(&text, "x_1.0.orig-extra.tar.xz beside it is not the file that it names");
    }
    std::fs::remove_file(&file).unwrap();
    package.refused_text(&text, "x_1.0.orig-extra.tar.xz: No such file");
    write(package.path("elsewhere"), &whole).unwrap();
    symlink("elsewhere", &file).unwrap();
    package.refused_text(&text, "but a link or something else");
    std::fs::remove_file(&file).unwrap();
    write(&file, &whole).unwrap();
    // Also of a file that is not unpacked.
    write(package.path("x_1.0.orig.tar.gz.asc"), "whatevex").unwrap();
    package.refused_text(&text, "x_1.0.orig.tar.gz.asc beside it is not the file");
}

#[test]
fn control_files_that_say_something_else() {
    let package = quilt();
    let text = package.text();
    let swap = |from: &str, to: &str, why: &str| package.refused_text(&text.replacen(from, to, 1), why);
    swap("Format: 3.0 (quilt)", "Format: 2.0", "the format 2.0, which is not known");
    swap("Format: 3.0 (quilt)", "Format: 3.0 (native)", "which is not known for the format");
    swap("Source: x\n", "", "no field source");
    swap("Source: x\n", "Source: x\nsource: x\n", "the field source twice");
    swap("Source: x\n", "Source: ../x\n", "its name or version is none");
    swap("Version: 1:1.0-2", "Version: 1:1.0/2", "its name or version is none");
    swap("Version: 1:1.0-2", "Version: 1:1.1-2", "which is not known for the format");
    swap("Binary: x,\n y\n", "Binary: x\n\nBinary: y\n", "more than one paragraph");
    swap("Binary: x,\n y\n", "no field\n", "a line that is no field");
    swap("Binary: x,", "Binary: \x1b[31m", "control characters");
    swap("Checksums-Sha256:", "Checksums-Sha512:", "no field checksums-sha256");
    swap("Files:", "Other:", "no field files");
    let (before, files) = text.split_once("Files:\n").unwrap();
    let fewer = files.lines().skip(1).fold(String::new(), |text, line| text + line + "\n");
    package.refused_text(&format!("{before}Files:\n{fewer}"), "do not agree");
    let longer = files.replacen(" x_1.0-2.debian", "1 x_1.0-2.debian", 1);
    package.refused_text(&format!("{before}Files:\n{longer}"), "do not agree on x_1.0-2.debian.tar.xz");
    for name in ["../x_1.0.orig.tar.gz", "/etc/passwd", ".x", "x y", "x\u{e4}"] {
        let other = text.replace("x_1.0.orig.tar.gz\n", &format!("{name}\n"));
        let (code, _, err) = {
            write(package.path("x.dsc"), other).unwrap();
            digest(&package.path("x.dsc"), &["--tree"])
        };
        assert!(code == 7 && (err.contains("no name of a file") || err.contains("another form")), "{name}: {err}");
    }
    for (more, why) in [
        ("x_1.0-2.diff.gz", "not known for the format"),
        ("x_1.0.orig.tar.xz", "another one that is the same part"),
        ("x_1.0.orig-extra.tar.gz", "another one that is the same part"),
        ("x_1.0-2.debian.tar.gz", "another one that is the same part"),
        ("x_1.0.orig-debian.tar.gz", "not known for the format"),
        ("x_1.0.orig-.tar.gz", "not known for the format"),
        ("x_1.0.orig-a.b.tar.gz", "not known for the format"),
        ("x_1.0-2.debian.tar.xz.asc", "not known for the format"),
    ] {
        write(package.path(more), "x").unwrap();
        package.refused(why);
        std::fs::remove_file(package.path(more)).unwrap();
    }
    for gone in ["x_1.0-2.debian.tar.xz", "x_1.0.orig.tar.gz"] {
        let bytes = std::fs::read(package.path(gone)).unwrap();
        std::fs::remove_file(package.path(gone)).unwrap();
        package.refused(if gone.contains("debian") {
            "no archive of the directory debian"
        } else {
            "which is not known"
        });
        write(package.path(gone), bytes).unwrap();
    }
    package.as_dpkg();
}

#[test]
fn packages_that_are_no_tree() {
    let package = Package::new("3.0 (quilt)", "1.0-2");
    package.put("x/f", "f\n", 0o644).pack("x_1.0.orig.tar.gz", &["x"]);
    package.put("debian/source/format", "3.0 (quilt)\n", 0o644).put("f", "g\n", 0o644);
    package.pack("x_1.0-2.debian.tar.gz", &["debian", "f"]).refused("something outside of the directory debian");
    package.link("/etc", "debian").pack("x_1.0-2.debian.tar.gz", &["debian"]).refused("something outside");
    package.put("debian/rules", "#!", 0o755).pack("x_1.0-2.debian.tar.gz", &["debian"]).refused("debian/source/format");
    package.debian("x_1.0-2.debian.tar.gz").as_dpkg();
    // A way out of it.
    package.put("x/f", "f\n", 0o644);
    run("tar", &package.path("in"), &["-c", "-z", "-f", "../x_1.0.orig.tar.gz", "--transform", "s,x/,../,", "x/f"]);
    package.refused("x_1.0.orig.tar.gz: member");
    let diff = Package::new("1.0", "1.0-1");
    diff.put("x/f", "f\n", 0o644).pack("x_1.0.orig.tar.gz", &["x"]);
    write(diff.path("x_1.0-1.diff.gz"), "x").unwrap();
    diff.refused("the format 1.0 with a diff");
}
