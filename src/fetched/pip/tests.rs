use super::*;
use crate::lock::Part;

fn sum(n: u8) -> String {
    format!("{n:02x}").repeat(32)
}

fn requirements() -> String {
    format!(
        "# made by pip-compile\n--require-hashes\n--index-url https://index.example/simple\n\n\
         Idna[x]==3.7 \\\n    --hash=sha256:{} \\\n    --hash=sha256:{}\n    # via requests\n\
         ruamel.yaml == 0.18 ; python_version < \"3.8\" --hash sha256:{}  # odd\n",
        sum(1),
        sum(2),
        sum(3)
    )
}

#[test]
fn requirements_with_hashes() {
    let items = items(&requirements()).unwrap();
    let found: Vec<_> =
        items.iter().map(|item| (item.name.as_str(), item.version.as_str(), item.conditional)).collect();
    assert_eq!(found, [("idna", "3.7", false), ("ruamel-yaml", "0.18", true)]);
    let Named::Sha256(sums) = &items[0].digest else { panic!() };
    assert_eq!(sums.len(), 2);
    let part = |file: &str, n| -> Part { format!("python {file} 3.7 {} 5 source -", sum(n)).parse().unwrap() };
    assert!(items[0].is(&part("idna-3.7-py3-none-any.whl", 1)) && items[0].is(&part("IDNA-3.7.tar.gz", 2)));
    for (file, n) in
        [("idna-3.7-py3-none-any.whl", 3), ("idnb-3.7-py3-none-any.whl", 1), ("idna-3.7.exe", 1), ("idna", 1)]
    {
        assert!(!items[0].is(&part(file, n)), "{file} {n}");
    }
}

#[test]
fn what_is_refused() {
    let hash = format!("--hash=sha256:{}", sum(1));
    for (line, why) in [
        ("idna==3.7".to_owned(), "line 1: it has no --hash"),
        (format!("\n\nidna==3.7 \\\n # no\n{hash}"), "line 3: it has no --hash"),
        (format!("idna>=3.7 {hash}"), "is not NAME==VERSION"),
        (format!("idna==3.* {hash}"), "is not NAME==VERSION"),
        (format!("idna===3.7 {hash}"), "is not NAME==VERSION"),
        (format!("idna {hash}"), "is not NAME==VERSION"),
        (format!("./idna==3.7 {hash}"), "is not NAME==VERSION"),
        (format!("idna @ https://x.example/idna.whl {hash}"), "is not NAME==VERSION"),
        (format!("https://x.example/idna==3.7.whl {hash}"), "is not NAME==VERSION"),
        ("idna==3.7 --hash=sha512:00".to_owned(), "not all of its hashes"),
        (format!("idna==3.7 {hash} --hash=md5:00"), "not all of its hashes"),
        (format!("idna==3.7 {hash} extra"), "not all of its hashes"),
        (format!("idna==3.7 {}", hash.replace("01", "0g")), "not all of its hashes"),
        ("-e .".to_owned(), "-e is not supported"),
        ("-r more.txt".to_owned(), "-r is not supported"),
        ("--no-binary=:all:".to_owned(), "--no-binary is not supported"),
        ("--require-hashes -r other.txt".to_owned(), "line 1: --require-hashes does not stand alone"),
        ("--require-hashes \\\n-r other.txt".to_owned(), "line 1: --require-hashes does not stand alone"),
        ("--require-hashes=x".to_owned(), "does not stand alone"),
        ("--require-hashe".to_owned(), "--require-hashe is not supported"),
        ("-i x -r other.txt".to_owned(), "-i does not stand alone"),
        ("--index-url=x -r other.txt".to_owned(), "--index-url does not stand alone"),
        (format!("-i x\\\nidna==3.7 {hash}"), "-i does not stand alone"),
        ("-i".to_owned(), "-i does not stand alone"),
        ("-i -r".to_owned(), "-i does not stand alone"),
        ("-i=x".to_owned(), "-i does not stand alone"),
        ("-i 'x".to_owned(), "-i does not stand alone"),
        ("-i ${X}".to_owned(), "a variable"),
        ("-i x\\y".to_owned(), "a backslash"),
        (format!("idna==3.7 {hash} -r other.txt"), "not all of its hashes"),
        (format!("idna==3.7 -r other.txt {hash}"), "not all of its hashes"),
        (format!("idna==3.7 ; x -r {hash}"), "not all of its hashes"),
        (format!("idna==3.7 ; {hash}"), "nothing is behind its ;"),
        (format!("idna==3.7 --hash{}", &hash["--hash=".len()..]), "not all of its hashes"),
        ("idna==3.7 --hash".to_owned(), "not all of its hashes"),
        (format!("idna[x] @ https://x.example/a==3.7 {hash}"), "is not NAME==VERSION"),
        (format!("idna[x==3.7 {hash}"), "is not NAME==VERSION"),
        (format!("idna==3.7\\\\\n {hash}"), "a backslash"),
        (format!("idna==3.7\\\n{hash}"), "has no --hash"),
        // What is a comment to us is the end of a line to pip, or goes on.
        (format!("# a\u{2028}-r other.txt\nidna==3.7 {hash}"), "line 1: the character U+2028 is not supported"),
        (format!("idna==3.7 {hash} # a\r-r other.txt"), "the character U+000D"),
        (format!("idna==3.7 {hash} # a\r\r\n"), "the character U+000D"),
        (format!("idna==3.7 {hash} # \\\nb==1 {hash}"), "line 1: a comment that ends in a backslash"),
        (format!("\n# \\\nidna==3.7 {hash}"), "line 2: a comment that ends in a backslash"),
        (format!("# a \\\r\nidna==3.7 {hash}"), "a comment that ends in a backslash"),
        (format!("# coding: utf-7\nidna==3.7 {hash}"), "line 1: a comment that names a coding"),
        (format!("#\n# -*- enCODING=latin-1 -*-\nidna==3.7 {hash}"), "line 2: a comment that names a coding"),
        (format!("# coding: utf-8 coding=utf-16\nidna==3.7 {hash}"), "a comment that names a coding"),
        (format!("\u{feff}# made\nidna==3.7 {hash}"), "it has no --hash"),
    ] {
        let err = items(&line).unwrap_err();
        assert!(err.contains(why), "{line}: {err}");
    }
}

#[test]
fn no_other_line_ends_than_pip_has() {
    let line = format!("idna==3.7 --hash=sha256:{} # a", sum(1));
    for c in ['\u{b}', '\u{c}', '\r', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{a0}', '\u{2028}', '\u{2029}', '\0'] {
        let err = items(&format!("{line}{c}b")).unwrap_err();
        assert!(err.contains(&format!("line 1: the character U+{:04X} is not supported", u32::from(c))), "{err}");
    }
    for good in [
        format!("{line}\r\n"),
        format!("{line}\tb \u{fc}\n"),
        format!("# -*- coding: utf-8 -*-\n# decoding is another matter\n{line}"),
        format!("#\n#\n# coding: latin-1 in the third line\n{line}"),
        format!("{line}\n-i https://x.example/a\n-f x\n--find-links=x\n--trusted-host x.example\n--extra-index-url y"),
    ] {
        assert_eq!(items(&good).unwrap().len(), 1, "{good}");
    }
}

#[test]
fn pages_of_an_index() {
    let page = format!(
        "<!DOCTYPE html><html><body><h1>Links</h1>\n\
         <a href=\"https://files.example/p/idna-3.7-py3-none-any.whl#sha256={}\" data-x=\"&gt;=3\">idna</a><br/>\n\
         <A class='x' href='../../p/idna-3.7.tar.gz#md5=0&amp;sha256={}'>idna</A>\n\
         <a href=\"idna-3.6.tar.gz\">no digest</a><a href=idna>no quotes</a><address href=\"x#sha256={}\">\n\
         <a href=\"t-1%2Bcpu-py3-none-any.whl#sha256={}\">t",
        sum(1),
        sum(2),
        sum(3),
        sum(4)
    );
    let found: Vec<_> = links(&page).into_iter().map(|link| (link.file, link.href, link.sha256.to_string())).collect();
    let wheel = "idna-3.7-py3-none-any.whl".to_owned();
    assert_eq!(found[0], (wheel.clone(), format!("https://files.example/p/{wheel}"), sum(1)));
    assert_eq!(found[1], ("idna-3.7.tar.gz".into(), "../../p/idna-3.7.tar.gz".into(), sum(2)));
    assert_eq!((found[2].0.as_str(), found.len()), ("t-1+cpu-py3-none-any.whl", 3));
}

#[test]
fn where_links_lead() {
    let from = |href| target("simple/idna", href);
    assert_eq!(from("../../p/a.whl"), Some(Target::Path("p/a.whl".into())));
    assert_eq!(from("a.whl"), Some(Target::Path("simple/idna/a.whl".into())));
    assert_eq!(from("/p/./a.whl"), Some(Target::Absolute("p/a.whl".into())));
    assert_eq!(from("https://x.example/a"), Some(Target::Url("https://x.example/a".into())));
    for out in ["../../../a.whl", "/../a.whl", "//x.example/a.whl", "file:///a.whl", "a.whl?x", "../..", ""] {
        assert!(from(out).is_none() || out.is_empty(), "{out}");
    }
}

#[test]
fn the_best_files_for_a_machine() {
    let item = &items(&format!("a-b==1 --hash=sha256:{} --hash=sha256:{}", sum(1), sum(2))).unwrap()[0];
    let chosen = |names: &[(&str, u8)]| {
        let link =
            |&(file, n): &(&str, u8)| Link { file: file.into(), href: file.into(), sha256: sum(n).parse().unwrap() };
        choose(item, names.iter().map(link).collect(), "x86_64").into_iter().map(|link| link.file).collect::<Vec<_>>()
    };
    let sdist = ("a_b-1.tar.gz", 1);
    let pure = ("a_b-1-py2.py3-none-any.whl", 1);
    let linux = ("a_b-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", 1);
    let musl = ("a_b-1-cp311-cp311-musllinux_1_1_x86_64.whl", 2);
    let arm = ("a_b-1-cp311-cp311-manylinux_2_17_aarch64.whl", 1);
    let mac = ("a_b-1-cp311-cp311-macosx_11_0_x86_64.whl", 1);
    let two = ("a_b-1-py2-none-any.whl", 1);
    assert_eq!(chosen(&[sdist, linux, pure, mac]), [pure.0]);
    assert_eq!(chosen(&[sdist, musl, linux, arm, mac]), [linux.0, musl.0]);
    assert_eq!(chosen(&[sdist, arm, mac]), [sdist.0]);
    assert_eq!(chosen(&[sdist, two]), [two.0]);
    assert_eq!(chosen(&[mac, arm]), [""; 0]);
    assert_eq!(
        chosen(&[(pure.0, 3), ("other-1-py3-none-any.whl", 1), sdist, sdist]),
        [sdist.0],
        "neither unlisted nor another's"
    );
}
