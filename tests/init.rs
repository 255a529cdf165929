//! `countersign init`: what it writes can be built, and nothing is overwritten.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn countersign(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_countersign")).args(args).current_dir(dir).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_make_project_builds_with_the_recipe_made_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/projects/hello-c");
    for entry in fs::read_dir(sample).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() != "countersign.toml" {
            fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let output = countersign(dir.path(), &["init"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    let recipe = fs::read_to_string(dir.path().join("countersign.toml")).unwrap();
    assert!(recipe.contains(r#"outputs = ["out/**"]"#), "{recipe}");
    let out = dir.path().with_extension("built");
    let output = countersign(dir.path(), &["build", "--quiet", "--out", out.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(out.join("out/hello").exists());
    fs::remove_dir_all(&out).unwrap();
    let _ = fs::remove_file(out.with_extension("built.log"));

    let output = countersign(dir.path(), &["init"]);
    assert_eq!(code(&output), 2);
    assert!(said(&output).contains("--force"), "{}", said(&output));
    assert_eq!(fs::read_to_string(dir.path().join("countersign.toml")).unwrap(), recipe);
}

#[test]
fn a_cargo_project_is_described_and_a_workspace_is_not_guessed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("src")).unwrap();
    fs::write(dir.path().join("src/main.rs"), "fn main() {}\n").unwrap();
    fs::write(dir.path().join("Cargo.toml"), "[package]\nname = \"app\"\nversion = \"2.1.0\"\nedition = \"2024\"\n")
        .unwrap();
    let output = countersign(dir.path(), &["init", "--stdout"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    let recipe = String::from_utf8(output.stdout).unwrap();
    for text in [
        "name = \"app\"",
        "version = \"2.1.0\"",
        "target/release/app",
        "\"--offline\"",
        "exclude = [\".git\", \"target\"]",
    ] {
        assert!(recipe.contains(text), "{text} in {recipe}");
    }
    assert!(said(&countersign(dir.path(), &["init", "--stdout"])).contains("cargo generate-lockfile"));
    assert!(!dir.path().join("countersign.toml").exists(), "--stdout writes nothing");
    // What the manifest does not say is not made up in silence.
    let manifest = |text: &str| fs::write(dir.path().join("Cargo.toml"), text).unwrap();
    manifest("[package]\nname = \"app\"\nversion.workspace = true\n");
    let output = countersign(dir.path(), &["init", "--stdout"]);
    assert!(String::from_utf8(output.stdout.clone()).unwrap().contains("version = \"0.0.0\""));
    assert!(said(&output).contains("note: version is not known here"), "{}", said(&output));
    // Cargo takes it with a warning; as the name of a product it is none.
    manifest("[package]\nname = \"äpp\"\nversion = \"1.0.0\"\n");
    let output = countersign(dir.path(), &["init", "--stdout"]);
    assert_eq!((code(&output), output.stdout.len()), (2, 0));
    assert!(said(&output).contains("Cargo.toml: package.name = \"äpp\": "), "{}", said(&output));
    fs::write(dir.path().join("Cargo.toml"), "[workspace]\nmembers = [\"a\"]\n").unwrap();
    let output = countersign(dir.path(), &["init"]);
    assert_eq!(code(&output), 2);
    assert!(said(&output).contains("workspace"), "{}", said(&output));
}

/// A directory with these files, and what `init --json` says of it.
fn described(files: &[(&str, &str)], args: &[&str]) -> (serde_json::Value, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
        fs::write(dir.path().join(name), text).unwrap();
    }
    let output = countersign(dir.path(), &[&["init", "--json"], args].concat());
    assert_eq!(code(&output), 0, "{}", said(&output));
    (serde_json::from_slice(&output.stdout).unwrap(), dir)
}

fn recipe(document: &serde_json::Value) -> toml::Table {
    toml::from_str(document["recipe"].as_str().unwrap()).unwrap()
}

#[test]
fn the_files_that_decide_win_in_the_order_that_help_gives() {
    let all = [
        ("debian/control", "Debian", "Source: a\n"),
        ("Cargo.toml", "Cargo", "[package]\nname = \"a\"\nversion = \"1.0.0\"\n"),
        ("go.mod", "Go", "module example.org/a\n"),
        ("pom.xml", "Maven", "<project><artifactId>a</artifactId></project>"),
        ("pyproject.toml", "Python", "[project]\nname = \"a\"\nversion = \"1.0\"\n"),
        ("setup.py", "Python", ""),
        ("meson.build", "Meson", "project('a', 'c')\n"),
        ("CMakeLists.txt", "CMake", "project(a C)\n"),
        ("configure", "autotools", "PACKAGE_TARNAME='a'\n"),
        ("configure.ac", "autotools", "AC_INIT([a],[1])\n"),
        ("package.json", "npm", "{\"name\": \"a\"}\n"),
        ("GNUmakefile", "make", "out/a:\n"),
        ("makefile", "make", "out/a:\n"),
        ("Makefile", "make", "out/a:\n"),
    ];
    let help = String::from_utf8(countersign(Path::new("."), &["init", "--help"]).stdout).unwrap();
    let mut from = 0;
    for (at, (file, kind, _)) in all.iter().enumerate() {
        from += help[from..].find(file).unwrap_or_else(|| panic!("{file} is not in the help, or not in its place"));
        let files: Vec<(&str, &str)> = all[at..].iter().map(|(name, _, text)| (*name, *text)).collect();
        let (document, _dir) = described(&files, &[]);
        assert_eq!((&document["kind"], &document["decidedBy"]), (&(*kind).into(), &(*file).into()));
        let others: Vec<&str> =
            all[at..].iter().filter(|(_, other, _)| other != kind).map(|(name, ..)| *name).collect();
        assert_eq!(document["alsoFound"], serde_json::json!(others));
        let note = document["notes"][0].as_str().unwrap_or_default();
        assert_eq!(note.starts_with("also there, and not used: "), !others.is_empty(), "{note}");
    }
    let files: Vec<(&str, &str)> = all.iter().map(|(name, _, text)| (*name, *text)).collect();
    let (document, dir) = described(&files, &["--kind", "cmake"]);
    assert_eq!(document["decidedBy"], "CMakeLists.txt");
    // The kind that was asked for is taken or nothing is.
    fs::remove_file(dir.path().join("CMakeLists.txt")).unwrap();
    let output = countersign(dir.path(), &["init", "--force", "--kind", "cmake"]);
    assert_eq!(code(&output), 7);
    assert!(said(&output).contains("there is none of CMakeLists.txt"), "{}", said(&output));
    // Configuration of a formatter makes no Python project.
    let files = [("pyproject.toml", "[tool.black]\nline-length = 80\n"), ("Makefile", "out/a:\n")];
    assert_eq!(described(&files, &[]).0["kind"], "make");
}

#[test]
fn name_and_version_are_the_projects_own_where_they_are_plainly_stated() {
    for (file, text, name, version) in [
        ("CMakeLists.txt", "# project(no VERSION 0)\nproject(hi VERSION 1.2.3 LANGUAGES C)", "hi", "1.2.3"),
        ("CMakeLists.txt", "project(hi VERSION ${V})", "hi", "0.0.0"),
        ("meson.build", "project('hi', 'c', version : '2.0', license : 'MIT')", "hi", "2.0"),
        ("meson.build", "project('hi', 'c', version : files('VERSION'))", "hi", "0.0.0"),
        ("configure", "PACKAGE_NAME='GNU hi'\nPACKAGE_TARNAME='hi'\nPACKAGE_VERSION='3.1'\n", "hi", "3.1"),
        ("configure.ac", "AC_INIT([GNU Big Hi], [3.2], [bug@example.org])", "big-hi", "3.2"),
        ("configure.ac", "AC_INIT([Hi],[3.3],[],[tar-hi])", "tar-hi", "3.3"),
        ("configure.ac", "AC_INIT([hi], m4_esyscmd([git describe]))", "hi", "0.0.0"),
        ("pyproject.toml", "[project]\nname = \"hi\"\nversion = \"4.0\"", "hi", "4.0"),
        ("pyproject.toml", "[project]\nname = \"hi\"\ndynamic = [\"version\"]", "hi", "0.0.0"),
        ("package.json", r#"{"name": "@a/hi", "version": "5.0.0"}"#, "a-hi", "5.0.0"),
        ("go.mod", "// c\nmodule example.org/hi/v2 // c\n", "hi", "0.0.0"),
        ("pom.xml", "<project><artifactId>hi</artifactId><version>7.0</version></project>", "hi", "7.0"),
        (
            "pom.xml",
            "<project><parent><version>7.1</version></parent><artifactId>hi</artifactId></project>",
            "hi",
            "7.1",
        ),
        ("pom.xml", "<project><artifactId>hi</artifactId><version>${revision}</version></project>", "hi", "0.0.0"),
        ("debian/control", "Source: hi\n\nPackage: lib\n", "hi", "0.0.0"),
        ("Makefile", "VERSION = 6.0\nout/hi:\n", "", "6.0"),
        ("Makefile", "VERSION = $(shell git describe)\nout/hi:\n", "", "0.0.0"),
    ] {
        let (document, _dir) = described(&[(file, text)], &[]);
        let recipe = recipe(&document);
        assert!(name.is_empty() || recipe["name"].as_str() == Some(name), "{text}: {recipe}");
        assert_eq!(recipe["version"].as_str(), Some(version), "{text}");
        let noted =
            document["notes"].as_array().unwrap().iter().any(|note| note.as_str().unwrap().contains("version is not"));
        assert_eq!(noted, version == "0.0.0", "{text}: what is made up is said");
    }
    // An unpacked sdist states what its pyproject.toml leaves open.
    let files = [
        ("pyproject.toml", "[project]\nname = \"hi\"\ndynamic = [\"version\"]"),
        ("PKG-INFO", "Metadata-Version: 2.1\nName: hi\nVersion: 4.1\n"),
    ];
    assert_eq!(recipe(&described(&files, &[]).0)["version"].as_str(), Some("4.1"));
    // An epoch is no part of the version that files have.
    let files = [
        ("debian/control", "Source: hi\n"),
        ("debian/changelog", "hi (1:2.0-3) unstable; urgency=low\n\nhi (1.0) a;\n"),
    ];
    assert_eq!(recipe(&described(&files, &[]).0)["version"].as_str(), Some("2.0-3"));
}

#[test]
fn what_a_kind_needs_is_in_its_recipe_with_a_reason() {
    let variables = |files: &[(&str, &str)]| {
        let (document, _dir) = described(files, &[]);
        let text = document["recipe"].as_str().unwrap().to_owned();
        let env = recipe(&document)["build"]["env"].as_table().unwrap().clone();
        for key in env.keys() {
            let at = text.find(&format!("\n{key} = ")).unwrap();
            assert!(text[..at].rsplit('\n').next().unwrap().starts_with("# "), "{key} has no reason in {text}");
        }
        (env, text)
    };
    for (file, text) in [("CMakeLists.txt", "project(a)"), ("meson.build", "project('a', 'c')"), ("configure", "")] {
        let (env, _) = variables(&[(file, text)]);
        assert!(env["CFLAGS"].as_str().unwrap().contains("-ffile-prefix-map=/build=."));
        assert_eq!(env["LDFLAGS"].as_str(), Some("-Wl,--build-id=sha1"));
    }
    let (env, _) = variables(&[(
        "pyproject.toml",
        "[build-system]\nrequires = [\"setuptools_scm>=8\"]\n[project]\nname = \"a\"\nversion = \"1.0\"\n",
    )]);
    assert_eq!((env["PYTHONHASHSEED"].as_str(), env["PYTHONDONTWRITEBYTECODE"].as_str()), (Some("0"), Some("1")));
    assert_eq!(env["SETUPTOOLS_SCM_PRETEND_VERSION"].as_str(), Some("1.0"));
    let (env, _) = variables(&[("go.mod", "module a\n"), ("main.go", "package main\n")]);
    assert_eq!(env["GOFLAGS"].as_str(), Some("-trimpath -buildvcs=false"));
    let (env, _) = variables(&[("go.mod", "module a\nrequire b v1.0.0\n"), ("main.go", "package main\n")]);
    assert_eq!(env["GOFLAGS"].as_str(), Some("-mod=vendor -trimpath -buildvcs=false"));
    let (_, text) = variables(&[("package.json", r#"{"name": "a", "version": "1.0.0"}"#)]);
    assert!(!text.contains("\"ci\""), "nothing to install");
    let (env, text) =
        variables(&[("package.json", r#"{"name": "a", "version": "1.0.0", "dependencies": {"b": "1"}}"#)]);
    assert!(text.contains(r#"["npm", "ci", "--offline", "--ignore-scripts"]"#), "{text}");
    assert_eq!(env["npm_config_cache"].as_str(), Some("/build/npm-cache"));
    let (env, text) = variables(&[("debian/control", "Source: a\n")]);
    assert_eq!(env["DEB_BUILD_OPTIONS"].as_str(), Some("parallel=1"));
    assert_eq!(env["FAKEROOTDONTTRYCHOWN"].as_str(), Some("1"));
    assert!(text.contains(r#"["env", "-u", "SOURCE_DATE_EPOCH", "-C", "_out/source", "dpkg-buildpackage","#), "{text}");
    let (env, _) = variables(&[("debian/control", "Source: a\nRules-Requires-Root: no\n")]);
    assert!(!env.contains_key("FAKEROOTDONTTRYCHOWN"), "nobody plays root");
    // The time that a project states counts; one that states none gets one.
    let pom = |inside: &str| {
        let text = format!("<project><artifactId>a</artifactId><version>1</version>{inside}</project>");
        described(&[("pom.xml", &text)], &[]).0["recipe"].as_str().unwrap().to_owned()
    };
    let timestamp = "\"-Dproject.build.outputTimestamp=1980-02-01T00:00:00Z\"";
    assert!(pom("").contains(timestamp) && pom("").contains("\"--offline\""));
    let stated = "<properties><project.build.outputTimestamp>10</project.build.outputTimestamp></properties>";
    assert!(!pom(stated).contains(timestamp));
    assert!(pom("<packaging>war</packaging>").contains("outputs = [\"target/*.war\"]"));
    assert!(pom("<modules><module>b</module></modules>").contains("outputs = [\"**/target/*.jar\"]"));
}

#[test]
fn a_project_file_that_cannot_be_read_is_an_error_with_its_name() {
    for (file, text) in [("pyproject.toml", "[project\n"), ("package.json", "{"), ("package.json", "[]")] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(file), text).unwrap();
        let output = countersign(dir.path(), &["init"]);
        assert_eq!(code(&output), 2, "{}", said(&output));
        assert!(said(&output).contains(file), "{}", said(&output));
        assert!(!dir.path().join("countersign.toml").exists());
    }
}

#[test]
fn an_unknown_project_is_said_to_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let output = countersign(dir.path(), &["init"]);
    assert_eq!(code(&output), 7);
    assert!(said(&output).contains("the kind of project is not known"), "{}", said(&output));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
