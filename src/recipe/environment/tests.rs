use super::*;
use crate::recipe::Recipe;

const HEAD: &str = "name = \"a\"\nversion = \"1\"\n[build]\nsteps = [[\"x\"]]\noutputs = [\"o\"]\n[environment]\n";

fn read(text: &str) -> Result<Environment, String> {
    Recipe::parse(format!("{HEAD}{text}").as_bytes()).map(|recipe| recipe.environment).map_err(|err| err.to_string())
}

const GO: &str =
    "[[environment.tools]]\nname = \"go\"\nversion = \"1.22\"\nfrom = \"go:go.tar.gz\"\nat = \"/opt/go\"\nstrip = 1\n";

const CARGO: &str = "[[environment.fetch]]\nkind = \"cargo\"\nfrom = [\"Cargo.lock\"]\n";

#[test]
fn what_is_fetched_and_where_it_goes() {
    let host = read(CARGO).unwrap();
    let Fetch { kind, from, at, mirror } = &host.fetch[0];
    assert_eq!((kind, from[0].as_bytes()), (&Ecosystem::Cargo, &b"Cargo.lock"[..]));
    assert_eq!((at.as_bytes(), mirror.as_str()), (&b"vendor/cargo"[..], "crates"));
    assert!(host.needs_lock());
    let said = read(&format!("{CARGO}at = \"/vendor/cargo\"\nmirror = \"crates\"\n")).unwrap();
    assert_eq!(host.digest, said.digest, "one spelling");
    assert_ne!(host.digest, read(&format!("{CARGO}at = \"/x\"\n")).unwrap().digest);
    // The text whose digest it is.
    let json =
        r#"{"kind":"host","fetch":[{"kind":"cargo","from":["Cargo.lock"],"at":"/vendor/cargo","mirror":"crates"}]}"#;
    assert_eq!(host.digest, digest::sha256(json.as_bytes()));
    let hex = "ab".repeat(32);
    let part = format!("part crate serde 1.0.0 {hex} 1 source -\n");
    let tool = format!("part tool go 1.22 {hex} 1 vendor -\n");
    let roots: String =
        Roots::new(true, []).unwrap().below().map(|root| format!("root /{}\n", root.escaped())).collect();
    let fits = |environment: &Environment, parts: &str| {
        let text = format!(
            "countersign-lock v1\nkind host\nsource-date-epoch 5\narchitecture x86_64\ntree {hex}\n{roots}{parts}"
        );
        environment.fits(&crate::lock::Lock::parse(&text).unwrap().pinned)
    };
    assert_eq!(fits(&host, &part), Ok(()));
    let both = read(&format!("{GO}{CARGO}")).unwrap();
    assert_eq!(fits(&both, &format!("{tool}{part}")), Ok(()));
    assert_eq!(fits(&both, &tool).unwrap_err(), "nothing that cargo depends on");
    assert_eq!(fits(&read(GO).unwrap(), &format!("{tool}{part}")).unwrap_err(), "a part of the class crate");
    assert_eq!(fits(&host, &part.replace("crate serde", "npm serde")).unwrap_err(), "nothing that cargo depends on");
}

#[test]
fn every_kind() {
    let debian =
        read("kind = \"debian\"\nsuites = [\"bookworm\", \"security:bookworm-security\"]\npackages = [\"gcc\"]\n");
    let Wants::Debian { suites, components, packages } = debian.unwrap().wants else { panic!() };
    assert_eq!((suites[0].mirror.as_str(), suites[1].mirror.as_str()), ("debian", "security"));
    assert_eq!(
        (suites[1].name.as_str(), components[0].as_str(), packages[0].as_str()),
        ("bookworm-security", "main", "gcc")
    );
    assert_eq!(read("kind = \"rootfs\"\nimage = \"local:a.tar\"\n").unwrap().kind(), Kind::Rootfs);
    assert_eq!(read("kind = \"oci\"\nimage = \"local:a\"\nreference = \"v1\"\n").unwrap().kind(), Kind::Oci);
    let host = read(GO).unwrap();
    assert!(host.needs_lock() && !read("").unwrap().needs_lock());
    assert_eq!((host.tools[0].at.as_bytes(), host.tools[0].strip), (&b"opt/go"[..], 1));
    assert_ne!(host.digest, read("").unwrap().digest);
    assert_eq!(read("kind = \"host\"").unwrap().digest, read("").unwrap().digest, "one spelling");
}

#[test]
fn what_is_refused() {
    let debian = "kind = \"debian\"\nsuites = [\"bookworm\"]\npackages = [\"gcc\"]\n";
    for (text, why) in [
        ("kind = \"rootfs\"\n".to_owned(), "image is needed"),
        ("kind = \"rootfs\"\nimage = \"a.tar\"\n".to_owned(), "not a place"),
        ("kind = \"rootfs\"\nimage = \"-\"\n".to_owned(), "not a place"),
        ("kind = \"rootfs\"\nimage = \"local:../a.tar\"\n".to_owned(), "not a place"),
        ("image = \"local:a.tar\"\n".to_owned(), "says nothing with kind = \"host\""),
        (format!("{debian}roots = []\n"), "says nothing with kind = \"debian\""),
        (debian.replace("packages", "#"), "packages is needed"),
        (debian.replace("\"gcc\"", ""), "is empty"),
        (debian.replace("\"gcc\"", "\"g cc\""), "without blanks"),
        (debian.replace("\"bookworm\"", "\"../bookworm\""), "not a suite"),
        (debian.replace("\"bookworm\"", "\"a/b\""), "not a suite"),
        (GO.replace("/opt/go", "opt/go"), "not an absolute path"),
        (GO.replace("/opt/go", "/proc/go"), "the sandbox has its own"),
        (GO.replace("go:go", "go"), "not a place"),
        (GO.replace("strip = 1", "strip = 9"), "more than 8"),
        (GO.repeat(2), "a name twice"),
        (format!("{GO}{}", GO.replace("\"go\"", "\"go2\"")), "into another's directory"),
        (
            format!("{GO}{}", GO.replace("\"go\"", "\"go2\"").replace("/opt/go", "/opt/go/2")),
            "into another's directory",
        ),
        (CARGO.repeat(2), "a kind twice"),
        (CARGO.replace("cargo", "gradle"), "unknown variant"),
        (CARGO.replace("[\"Cargo.lock\"]", "[]"), "from is empty"),
        (CARGO.replace("[\"Cargo.lock\"]", "[\"a\", \"a\"]"), "a path twice"),
        (CARGO.replace("Cargo.lock", "../Cargo.lock"), "environment.fetch.from"),
        (format!("{CARGO}at = \"vendor\"\n"), "not an absolute path"),
        (format!("{CARGO}at = \"/proc/x\"\n"), "the sandbox has its own"),
        (format!("{CARGO}mirror = \"a b\"\n"), "not the name of a mirror"),
        (format!("{CARGO}strip = 1\n"), "unknown field"),
        (format!("{CARGO}at = \"/opt/go/vendor\"\n{GO}"), "fetch: cargo is unpacked into another's"),
        (format!("{CARGO}at = \"/opt\"\n{GO}"), "tools: go is unpacked into another's"),
        (format!("{CARGO}at = \"/vendor/go\"\n{}", CARGO.replace("cargo", "go")), "into another's"),
        ("fetch = [[\"cargo\", [\"Cargo.lock\"], \"/x\", \"crates\"]]\n".to_owned(), "an array stands"),
        (GO.replace("from = \"go:go.tar.gz\"", "from = {}"), "no architecture"),
        ("tools = [[\"go\", \"1\", \"go:go.tar\", \"/opt/go\", 1]]\n".to_owned(), "an array stands"),
    ] {
        let err = read(&text).unwrap_err();
        assert!(err.contains(why), "{text}: {err}");
    }
}

#[test]
fn a_lock_fits_its_recipe_or_not() {
    let hex = "ab".repeat(32);
    let debian = read("kind = \"debian\"\nsuites = [\"bookworm\"]\npackages = [\"gcc\", \"make=4.3\"]\n").unwrap();
    let text = format!(
        "countersign-lock v1\nkind debian\nsource-date-epoch 5\narchitecture x86_64\ntree {hex}\n\
         part deb gcc:amd64 12 {hex} 1 vendor -\npart deb libc6:amd64 2 {hex} 1 vendor -\npart deb make:amd64 4.3 {hex} 1 vendor -\n"
    );
    let fits = |environment: &Environment, text: &str| {
        environment.fits(&crate::lock::Lock::parse(text).unwrap().pinned).map_err(|err| err.to_string())
    };
    assert_eq!(fits(&debian, &text), Ok(()));
    let tool = format!("part tool go 1.22 {hex} 1 vendor -\n");
    for (bad, why) in [
        (text.replace("make:amd64 4.3", "make:amd64 4.4"), "no package make=4.3"),
        (text.replace("deb gcc:", "deb gcc-12:"), "no package gcc"),
        (text.replace("kind debian", "kind oci"), "kind oci and debian"),
        (format!("{text}{tool}"), "other tools"),
        (
            text.replace("part deb gcc:amd64", &format!("part archive x - {hex} 1 vendor -\npart deb gcc:amd64")),
            "class archive",
        ),
        (
            text.replace(
                "part deb libc6:amd64",
                &format!("part deb gcc:amd64 13 {hex} 1 vendor -\npart deb libc6:amd64"),
            ),
            "twice",
        ),
    ] {
        assert!(fits(&debian, &bad).unwrap_err().contains(why), "{bad}");
    }
    let go = read(&format!("default-roots = false\nroots = [\"/usr\"]\n{GO}")).unwrap();
    let host = format!(
        "countersign-lock v1\nkind host\nsource-date-epoch 5\narchitecture x86_64\ntree {hex}\nroot /usr\n{tool}"
    );
    assert_eq!(fits(&go, &host), Ok(()));
    assert!(fits(&go, &host.replace("1.22", "1.23")).is_err());
    assert!(fits(&go, &host.replace("/usr", "/opt")).is_err());
}
