use super::*;

/// Packages from lines of `name version field=value; field=value`.
fn index(lines: &str) -> Index {
    let mut index = Index::new("amd64");
    let mut text = String::new();
    for (number, line) in lines.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let mut words = line.splitn(3, ' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap());
        text += &format!("Package: {name}\nVersion: {version}\nFilename: {name}.deb\nSize: 1\nSHA256: {number:064}\n");
        let mut architecture = "amd64";
        for field in words.next().unwrap_or_default().split(';').filter(|field| !field.is_empty()) {
            match field.trim().split_once(": ").unwrap() {
                ("Architecture", value) => architecture = value,
                (name, value) => text += &format!("{name}: {value}\n"),
            }
        }
        text += &format!("Architecture: {architecture}\n\n");
    }
    index.add(0, text.as_bytes()).unwrap();
    index
}

fn answer_with(lines: &str, base: Base, wanted: &str) -> Result<String, String> {
    let wanted: Result<Vec<Wanted>, _> = wanted.split_whitespace().map(Wanted::parse).collect();
    let index = index(lines);
    let set = resolve(&index, base, &wanted.map_err(|err| err.to_string())?).map_err(|err| err.to_string())?;
    Ok(set.iter().map(|package| format!("{} {}", package.name, package.version)).collect::<Vec<_>>().join(", "))
}

fn answer(lines: &str, wanted: &str) -> Result<String, String> {
    let found = answer_with(lines, Base::Essential, wanted);
    let mut turned: Vec<&str> = lines.lines().collect();
    turned.reverse();
    assert_eq!(answer_with(&turned.join("\n"), Base::Essential, wanted), found, "the order of packages says nothing");
    found
}

fn good(lines: &str, wanted: &str, set: &str) {
    assert_eq!(answer(lines, wanted).as_deref(), Ok(set));
}

fn bad(lines: &str, wanted: &str, why: &str) {
    assert_eq!(answer(lines, wanted).unwrap_err(), why);
}

#[test]
fn the_base() {
    let lines = "e 1 Essential: yes; Depends: d
        r 1 Priority: required; Recommends: x
        d 1
        x 1 Suggests: d
        n 1 Essential: no";
    good(lines, "", "d 1, e 1");
    good(lines, "x", "d 1, e 1, x 1");
    assert_eq!(answer_with(lines, Base::Required, "").unwrap(), "d 1, e 1, r 1");
}

#[test]
fn the_closure_with_the_highest_versions() {
    let lines = "a 1 Pre-Depends: b (>= 2); Depends: c
        b 1
        b 2.1 Depends: a
        b 2~rc1
        c 1 Architecture: all; Recommends: z
        z 1";
    good(lines, "a", "a 1, b 2.1, c 1");
    good(lines, "a b=2.1", "a 1, b 2.1, c 1");
    bad(lines, "a b=2~rc1", "no package for b (>= 2) (there is b 2.1, b 2~rc1, b 1); a 1 Pre-Depends: b (>= 2)");
    bad(lines, "b=3", "no package for b (= 3) (there is b 2.1, b 2~rc1, b 1)");
    bad(lines, "b=2.1 b=1", "b is wanted in two versions");
    bad(lines, "q", "no package for q");
    bad(lines, "a/b", "a/b is not a relation to a package");
}

#[test]
fn who_wanted_what_is_missing() {
    let lines = "a 1 Depends: b | x
        b 2 Pre-Depends: c (>> 0)
        c 3 Depends: d (<< 1) | y:any
        d 1";
    bad(
        lines,
        "a",
        "no package for d (<< 1) | y:any (there is d 1); c 3 Depends: d (<< 1) | y:any; b 2 Pre-Depends: c (>> 0); a 1 Depends: b | x",
    );
    good(&lines.replace("d 1", "d 1~"), "a", "a 1, b 2, c 3, d 1~");
}

#[test]
fn alternatives() {
    let lines = "a 1 Depends: x | y
        b 1 Depends: c
        c 1 Depends: y
        x 1
        y 1";
    good(lines, "a", "a 1, x 1");
    good(lines, "a y", "a 1, y 1");
    good(lines, "a b", "a 1, b 1, c 1, y 1");
    good("a 1 Depends: x (>= 2) | y | z\n x 1\n y 1\n z 1", "a", "a 1, y 1");
    good("a 1 Depends: v | y\n p 1 Provides: v\n y 1", "a", "a 1, p 1");
    // Another version of the first alternative would do, but so does the second one as it is.
    good("a 1 Depends: x (<< 2) | y\n x 1\n x 2\n y 1", "a", "a 1, y 1");
}

#[test]
fn provided_names() {
    let lines = "a 1 Depends: v
        z 1 Provides: v; Priority: required
        o 1 Provides: v
        p 1 Provides: v (= 3)
        w 1 Depends: v (>= 3)
        u 1 Depends: v (>= 4)";
    good(lines, "a", "a 1, z 1");
    good(lines, "a o", "a 1, o 1");
    good(lines, "w", "p 1, w 1");
    good(lines, "v", "z 1");
    bad(lines, "u", "no package for v (>= 4); u 1 Depends: v (>= 4)");
    good("a 1 Depends: v\n v 1\n b 1 Provides: v", "a", "a 1, v 1");
    // Of a package only the version that is taken provides anything.
    bad("a 1 Depends: v\n p 1 Provides: v\n p 2", "a", "no package for v; a 1 Depends: v");
    good("a 1 Depends: v\n p 1 Provides: v\n p 2", "a p=1", "a 1, p 1");
}

#[test]
fn architectures() {
    let lines = "a 1 Depends: p:any
        b 1 Depends: q:any
        c 1 Depends: q:native, q:amd64, r:amd64
        d 1 Depends: q:i386
        p 1 Multi-Arch: allowed
        q 1 Multi-Arch: foreign
        r 1 Architecture: all";
    good(lines, "a", "a 1, p 1");
    good(lines, "c", "c 1, q 1, r 1");
    bad(lines, "b", "no package for q:any (there is q 1); b 1 Depends: q:any");
    bad(lines, "d", "no package for q:i386 (there is q 1); d 1 Depends: q:i386");
}

#[test]
fn a_version_that_only_one_pin_admits() {
    let lines = "gcc 1 Depends: base (= 1), lib (>= 1)
        gcc 2 Depends: base (= 2), lib (>= 2)
        base 1
        base 2
        lib 1 Depends: base (= 1)
        lib 2 Depends: base (= 2)";
    good(lines, "gcc", "base 2, gcc 2, lib 2");
    bad(
        lines,
        "gcc=1",
        "no package for base (= 2) (there is base 2, base 1); lib 2 Depends: base (= 2); gcc 1 Depends: lib (>= 1)",
    );
    good(lines, "gcc=1 lib=1", "base 1, gcc 1, lib 1");
    // What was chosen before the pin was known does not stay.
    good("a 1 Depends: b\n b 2 Depends: only\n b 1\n only 1\n z 1 Depends: b (<< 2)", "a z", "a 1, b 1, z 1");
}

#[test]
fn packages_that_may_not_be_together() {
    let lines = "a 1 Depends: b
        b 1 Conflicts: c (<< 2), self, v; Provides: v, self
        c 1
        c2 1 Depends: c
        d 1 Provides: v
        e 1 Provides: c (= 1)
        f 1 Breaks: b:any (<= 1), b:i386
        g 1 Breaks: b:i386, b (>> 1)";
    good(lines, "a", "a 1, b 1");
    bad(lines, "a c2", "b 1 conflicts with c (<< 2), which is c 1; a 1 Depends: b; c2 1 Depends: c");
    good(&lines.replace("c 1\n", "c 2\n"), "a c2", "a 1, b 1, c 2, c2 1");
    bad(lines, "b d", "b 1 conflicts with v, which is d 1");
    bad(lines, "b e", "b 1 conflicts with c (<< 2), which is e 1");
    bad(lines, "b f", "f 1 breaks b:any (<= 1), which is b 1");
    good(lines, "b g", "b 1, g 1");
}

#[test]
fn one_version_and_two_files() {
    let lines = "a 1 Depends: b\n b 1.0\n b 1.0-0";
    let why = answer_with(lines, Base::Essential, "a").unwrap_err();
    assert_eq!(why, "there are two different packages b 1.0");
    good(&format!("{lines}\n b 2"), "a", "a 1, b 2");
}

#[test]
fn relations_that_cannot_be_read() {
    bad("a 1 Depends: b [amd64]\n b 1", "a", "a 1: Depends: b [amd64] is not a relation to a package");
    bad("a 1 Breaks: (1)", "a", "a 1: Breaks: (1) is not a relation to a package");
    good("a 1 Depends: b [amd64]\n b 1", "b", "b 1");
}
