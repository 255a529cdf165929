//! Commits from servers: real ones (`git upload-pack` behind a few lines of HTTP, TLS and `git://`), and ones that lie.
#![cfg(all(unix, feature = "fetch"))]

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// What a server does with a request line and a body; `None`: as git does.
type Answer = dyn Fn(&str, &[u8], &dyn Fn() -> Vec<u8>) -> Option<Vec<u8>> + Send + Sync;

struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

fn upload_pack(repository: &Path, options: &[&str], version: u8, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("git")
        .arg("upload-pack")
        .args(options)
        .arg(repository)
        .env("GIT_PROTOCOL", format!("version={version}"))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    std::thread::spawn(move || stdin.write_all(&input));
    child.wait_with_output().unwrap().stdout
}

fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

const ADVERTISEMENT: &str = "Content-Type: application/x-git-upload-pack-advertisement\r\n";
const RESULT: &str = "Content-Type: application/x-git-upload-pack-result\r\n";

fn real(repository: &Path, line: &str, body: &[u8]) -> Vec<u8> {
    if line.starts_with("GET ") {
        let lines = upload_pack(repository, &["--http-backend-info-refs"], 2, b"");
        return http("200 OK", ADVERTISEMENT, &[b"001e# service=git-upload-pack\n0000", &lines[..]].concat());
    }
    http("200 OK", RESULT, &upload_pack(repository, &["--stateless-rpc"], 2, body))
}

fn one(repository: &Path, stream: impl Read + Write, answer: &Answer, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        assert!(!line.starts_with("authorization") && !line.starts_with("cookie"), "{line}");
        length = line.strip_prefix("content-length: ").map_or(length, |n| n.parse().unwrap());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    asked.lock().unwrap().push(format!("{}{}", first, String::from_utf8_lossy(&body)));
    let as_git = || real(repository, &first, &body);
    let bytes = answer(&first, &body, &as_git).unwrap_or_else(as_git);
    let stream = stream.get_mut();
    stream.write_all(&bytes).and_then(|()| stream.flush()).ok()
}

impl Server {
    fn new(each: impl Fn(TcpStream, &Mutex<Vec<String>>) + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| each(stream, &log)));
        Server { port, asked }
    }

    fn http(
        repository: &Path,
        answer: impl Fn(&str, &[u8], &dyn Fn() -> Vec<u8>) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Server {
        let repository = repository.to_owned();
        Server::new(move |stream, asked| {
            one(&repository, stream, &answer, asked);
        })
    }

    fn git(repository: &Path) -> Server {
        let repository = repository.to_owned();
        Server::new(move |mut stream, asked| {
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let length = usize::from_str_radix(std::str::from_utf8(&length).unwrap(), 16).unwrap();
            let mut hello = vec![0; length - 4];
            stream.read_exact(&mut hello).unwrap();
            asked.lock().unwrap().push(String::from_utf8(hello).unwrap());
            let out = std::os::fd::OwnedFd::from(stream.try_clone().unwrap());
            let mut git = Command::new("git");
            git.arg("upload-pack").arg(&repository).env("GIT_PROTOCOL", "version=2").stderr(Stdio::null());
            git.stdin(std::os::fd::OwnedFd::from(stream)).stdout(out).status().unwrap();
        })
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}/some/where.git", self.port)
    }
}

fn git(dir: &Path, args: &[&str]) -> String {
    let out = Command::new("git")
        .args(["-c", "user.name=n", "-c", "user.email=e@example.org"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(out.status.success(), "{args:?}: {out:?}");
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// A repository with three commits, a tag of the second, and what a tree of many files needs.
fn repository(format: &str) -> (tempfile::TempDir, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    git(root, &["init", "-q", "-b", "main", &format!("--object-format={format}")]);
    let mut ids = Vec::new();
    for n in 0..3 {
        std::fs::create_dir_all(root.join("d/e")).unwrap();
        for file in 0..40 {
            std::fs::write(root.join(format!("d/e/{file}")), format!("file {file}\n").repeat(50 + n)).unwrap();
        }
        git(root, &["add", "-A"]);
        git(root, &["commit", "-q", "-m", &n.to_string()]);
        ids.push(git(root, &["rev-parse", "HEAD"]));
        if n == 1 {
            git(root, &["tag", "-a", "-m", "t", "v1"]);
        }
    }
    (dir, ids)
}

struct Said {
    code: i32,
    out: String,
    err: String,
    /// What is left in the temporary directory.
    left: usize,
}

fn run(args: &[&str], env: &[(&str, &str)]) -> Said {
    let temporary = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    // Nothing of this may be heeded.
    let config = "[http]\n\tproxy = http://127.0.0.1:1\n[url \"ssh://nowhere/\"]\n\tinsteadOf = http://127.0.0.1\n";
    std::fs::write(home.path().join(".gitconfig"), config).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(args)
        .env_clear()
        .envs([("PATH", "/nonexistent"), ("http_proxy", "http://127.0.0.1:1"), ("ALL_PROXY", "http://127.0.0.1:1")])
        .env("HOME", home.path())
        .env("TMPDIR", temporary.path())
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let left = std::fs::read_dir(temporary.path()).unwrap().count();
    Said { code: out.status.code().unwrap(), out: text(out.stdout), err: text(out.stderr), left }
}

fn digest(source: &str, revision: &str) -> Said {
    run(&["digest", source, "--revision", revision, "--git"], &[])
}

#[track_caller]
fn refused(server: &Server, revision: &str, why: &str) {
    let said = digest(&server.url("http"), revision);
    assert_eq!((said.code, said.out.as_str(), said.left), (7, "", 0), "{}", said.err);
    assert!(said.err.contains(why) && !said.err.contains('\x1b'), "{why}: {}", said.err);
}

#[test]
fn a_commit_is_the_same_from_wherever_it_comes() {
    for format in ["sha1", "sha256"] {
        let (dir, ids) = repository(format);
        let here = dir.path().to_str().unwrap();
        let servers = [(Server::http(dir.path(), |_, _, _| None), "http"), (Server::git(dir.path()), "git")];
        for (server, scheme) in &servers {
            for revision in ["main", "v1", "HEAD", "refs/tags/v1", &ids[0], &ids[2]] {
                let want = digest(here, revision);
                assert_eq!(want.code, 0, "{}", want.err);
                let said = digest(&server.url(scheme), revision);
                assert_eq!((said.code, said.out, said.left), (0, want.out, 0), "{scheme} {revision}: {}", said.err);
                let commit = want.err.lines().find(|line| line.contains("is commit")).unwrap().to_owned();
                assert!(said.err.contains(&commit), "{}", said.err);
            }
            for none in ["v2", "main~1", &ids[0][..12], "", "main\n0000"] {
                let said = digest(&server.url(scheme), none);
                assert_eq!((said.code, said.left), (7, 0), "{none}: {}", said.err);
                let named = said.err.contains("no such branch or tag") || said.err.contains("is called so");
                assert!(named, "{}", said.err);
            }
        }
        let asked = servers[0].0.asked.lock().unwrap().join("\n");
        assert!(asked.contains("command=fetch") && asked.contains("deepen 1"), "only what is wanted: {asked}");
        let file = digest(&format!("file://{here}"), "v1");
        assert_eq!((file.code, file.out), (0, digest(here, "v1").out), "{}", file.err);
    }
}

/// The answer of a server that gives only what has a name, and one that knows nothing of depth.
#[test]
fn servers_that_can_less() {
    let (dir, ids) = repository("sha1");
    let first = ids[0].clone();
    let server = Server::http(dir.path(), move |_, body, _| {
        let text = String::from_utf8_lossy(body);
        let alone = text.contains(&format!("want {first}"));
        alone.then(|| http("200 OK", RESULT, b"0016ERR not our ref !\n0000"))
    });
    let said = digest(&server.url("http"), &ids[0]);
    assert_eq!((said.code, said.out), (0, digest(dir.path().to_str().unwrap(), &ids[0]).out), "{}", said.err);
    let unknown = "1".repeat(40);
    refused(&server, &unknown, "revision 1111");
    let server = Server::http(dir.path(), |line, body, as_git| {
        assert!(!String::from_utf8_lossy(body).contains("deepen"));
        let text = String::from_utf8_lossy(&as_git()).replace("fetch=shallow", "fetch=nothing");
        line.starts_with("GET ").then(|| text.into_bytes())
    });
    assert_eq!(digest(&server.url("http"), "v1").out, digest(dir.path().to_str().unwrap(), "v1").out);
}

#[test]
fn servers_that_lie() {
    let (dir, ids) = repository("sha1");
    let (other, _) = repository("sha1");
    std::fs::write(other.path().join("d/e/1"), "other").unwrap();
    git(other.path(), &["commit", "-q", "-a", "-m", "other"]);
    // The references of one repository, the objects of another.
    let objects = other.path().to_owned();
    let server = Server::http(dir.path(), move |_, body, _| {
        let text = String::from_utf8_lossy(body).into_owned();
        let asked = text.split_once("want ")?.1[..40].to_owned();
        let instead = text.replace(&asked, &git(&objects, &["rev-parse", "HEAD"]));
        Some(http("200 OK", RESULT, &upload_pack(&objects, &["--stateless-rpc"], 2, instead.as_bytes())))
    });
    refused(&server, "main", "is missing");
    refused(&server, &ids[1], "is missing");
    // Bytes of the pack that are others.
    for at in [30, 200, 1000, 2000] {
        let server = Server::http(dir.path(), move |_, body, as_git| {
            let mut bytes = as_git();
            let place = bytes.windows(4).position(|part| part == b"PACK")? + at;
            *bytes.get_mut(place)? ^= 0x10;
            body.starts_with(b"0012command=fetch").then_some(bytes)
        });
        refused(&server, "main", "cannot read the git repository");
    }
    // An id that is none of the server's; a reference twice; another kind of object; what is no id.
    let (id, tree) = (ids[2].clone(), git(dir.path(), &["rev-parse", "HEAD^{tree}"]));
    let listing = |lines: String| {
        Server::http(dir.path(), move |_, body, _| {
            body.starts_with(b"0014command=ls-refs").then(|| http("200 OK", RESULT, lines.as_bytes()))
        })
    };
    let line = |text: String| format!("{:04x}{text}\n", text.len() + 5);
    let main = |id: &str| line(format!("{id} refs/heads/main"));
    refused(&listing(main(&"2".repeat(40)) + "0000"), "main", "the server says: ");
    refused(&listing(main(&id) + &main(&id) + "0000"), "main", "one reference twice");
    refused(&listing(main(&tree) + "0000"), "main", "it is a tree, not a commit");
    refused(&listing(main("x y") + "0000"), "main", "no such branch or tag");
    refused(&listing(main("abc\n0000") + "0000"), "main", "the server");
    refused(&listing(main(&id)), "main", "cut off");
    refused(&listing("zzzz".to_owned()), "main", "does not speak git's protocol");
    refused(&listing(line("ERR go \x1b[31maway".to_owned())), "main", "the server says: go");
    refused(&listing(main(&id).repeat(100) + "0000"), "other", "twice");
    let endless = (0..70 << 10).map(|n| line(format!("{id} refs/heads/{n:01000}"))).collect::<String>();
    refused(&listing(endless), "main", "the server sends too much");
}

#[test]
fn answers_that_are_none() {
    let (dir, _) = repository("sha1");
    let first =
        |bytes: Vec<u8>| Server::http(dir.path(), move |line, _, _| line.starts_with("GET ").then(|| bytes.clone()));
    let body = |text: &str| first(http("200 OK", ADVERTISEMENT, text.as_bytes()));
    let root = dir.path().to_owned();
    let old = Server::http(dir.path(), move |line, _, _| {
        let lines = upload_pack(&root, &["--http-backend-info-refs"], 0, b"");
        let body = [b"001e# service=git-upload-pack\n0000", &lines[..]].concat();
        line.starts_with("GET ").then(|| http("200 OK", ADVERTISEMENT, &body))
    });
    refused(&old, "main", "an older protocol than version 2");
    refused(&first(http("200 OK", "Content-Type: text/html\r\n", b"hello")), "main", "does not speak git's protocol");
    refused(&first(http("200 OK", "", b"hello")), "main", "does not speak git's protocol");
    refused(&first(http("401 No", "WWW-Authenticate: Basic\r\n", b"")), "main", "no login is ever sent");
    refused(&first(http("404 No", "", b"")), "main", "no such repository");
    refused(&first(http("500 No", "", b"")), "main", "status 500");
    refused(&first(b"no http".to_vec()), "main", "cannot read the git repository");
    refused(&first(Vec::new()), "main", "cannot read the git repository");
    refused(&body(""), "main", "cut off");
    refused(&body("000eversion 2\n0000"), "main", "lets nothing be fetched");
    refused(&body("000eversion 2\n000cls-refs\n0000"), "main", "lets nothing be fetched");
    refused(&body("000eversion 2\n000bls-refs000afetch"), "main", "cut off");
    refused(
        &body("000eversion 2\n000bls-refs0009fetch0016object-format=md5\n0000"),
        "main",
        "in a way that is not known",
    );
    refused(&body(&"000eversion 2\n".repeat(6 << 20)), "main", "sends too much");
}

#[test]
fn redirections() {
    const SUFFIX: &str = "/info/refs?service=git-upload-pack";
    let (dir, _) = repository("sha1");
    let to = |place: String| {
        Server::http(dir.path(), move |line, _, _| {
            let headers = format!("Location: {place}\r\n");
            line.contains("/some/where.git/info/").then(|| http("301 Moved", &headers, b""))
        })
    };
    let server = to(format!("/else/where.git{SUFFIX}"));
    let said = digest(&server.url("http"), "v1");
    assert_eq!((said.code, said.out), (0, digest(dir.path().to_str().unwrap(), "v1").out), "{}", said.err);
    assert!(server.asked.lock().unwrap().iter().any(|line| line.starts_with("POST /else/where.git/git-upload-pack ")));
    let other = Server::http(dir.path(), |_, _, _| None);
    for place in [
        format!("{}{SUFFIX}", other.url("http")),
        format!("//127.0.0.1:{}/x{SUFFIX}", other.port),
        format!("https://127.0.0.1/x{SUFFIX}"),
        format!("git://127.0.0.1/x{SUFFIX}"),
        format!("file://{}{SUFFIX}", dir.path().display()),
        "/login".to_owned(),
        String::new(),
    ] {
        refused(&to(place), "main", "it is somewhere else");
    }
    assert!(other.asked.lock().unwrap().is_empty(), "nobody else was asked");
    refused(&to(format!("/some/where.git{SUFFIX}")), "main", "from place to place");
    let post = Server::http(dir.path(), |line, _, _| {
        line.starts_with("POST ").then(|| http("307 Moved", "Location: /x/git-upload-pack\r\n", b""))
    });
    refused(&post, "main", "status 307");
}

#[test]
fn what_is_not_asked_for() {
    for (source, code, why) in [
        ("ssh://git@127.0.0.1/x", 2, "another program would have to be run"),
        ("git@127.0.0.1:x/y.git", 2, "another program would have to be run"),
        ("https://me:secret@127.0.0.1/x", 2, "would be printed and recorded"),
        ("ftp://127.0.0.1/x", 2, "only https://"),
        ("https://127.0.0.1", 2, "no plain URL"),
        ("http://127.0.0.1:1/x", 7, "cannot read the git repository http://127.0.0.1:1/x: "),
        ("git://127.0.0.1:1/x", 7, "cannot read the git repository git://127.0.0.1:1/x: "),
        ("file:///nonexistent/x", 7, "/nonexistent/x"),
    ] {
        let said = digest(source, "main");
        assert_eq!((said.code, said.out.as_str(), said.left), (code, "", 0), "{source}: {}", said.err);
        assert!(said.err.contains(why), "{source}: {}", said.err);
        assert!(!said.err.contains("panicked"));
    }
    let said = run(&["digest", "https://127.0.0.1/x"], &[]);
    assert_eq!((said.code, said.err.contains("--revision REV")), (2, true), "{}", said.err);
}

/// A server's certificate, made by an authority of its own.
fn certificates(dir: &Path, name: &str) -> [PathBuf; 3] {
    let script = format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}-ca.key -out {name}-ca.pem \
         -subj /CN={name}-authority -days 2 -addext basicConstraints=critical,CA:TRUE \
         && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name} \
         && printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >{name}.ext \
         && openssl x509 -req -in {name}.csr -CA {name}-ca.pem -CAkey {name}-ca.key -CAcreateserial -days 2 \
            -extfile {name}.ext -out {name}.pem && openssl pkcs8 -topk8 -nocrypt -in {name}.key -out {name}.pk8"
    );
    let out = Command::new("sh").args(["-c", &script]).current_dir(dir).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    ["-ca.pem", ".pem", ".pk8"].map(|ending| dir.join(format!("{name}{ending}")))
}

#[test]
fn tls_is_checked_against_the_authorities_of_the_machine() {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let keys = tempfile::tempdir().unwrap();
    let [authority, certificate, key] = certificates(keys.path(), "good");
    let [stranger, _, _] = certificates(keys.path(), "other");
    let (dir, _) = repository("sha1");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificate).unwrap()],
            PrivateKeyDer::from_pem_file(key).unwrap(),
        );
    let config = Arc::new(config.unwrap());
    let root = dir.path().to_owned();
    let server = Server::new(move |stream, asked| {
        let connection = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        one(&root, &mut stream, &|_, _, _| None, asked);
        stream.conn.send_close_notify();
        let _ = stream.flush();
    });
    let url = server.url("https");
    let args = ["digest", &url, "--revision", "v1", "--git"];
    let said = run(&args, &[("SSL_CERT_FILE", authority.to_str().unwrap())]);
    assert_eq!((said.code, said.out), (0, digest(dir.path().to_str().unwrap(), "v1").out), "{}", said.err);
    let before = server.asked.lock().unwrap().len();
    for (file, why) in [(stranger.to_str().unwrap(), "certificate"), ("/nonexistent", "no certificate of an authority")]
    {
        let said = run(&args, &[("SSL_CERT_FILE", file)]);
        assert_eq!((said.code, said.out.as_str()), (7, ""), "{}", said.err);
        assert!(said.err.contains(why), "{}", said.err);
    }
    assert_eq!(server.asked.lock().unwrap().len(), before, "nothing was asked of a stranger");
}

/// The source is checked before anything runs, and what was fetched is gone afterwards.
#[test]
fn a_manifest_and_a_url() {
    let (dir, _) = repository("sha1");
    let root = dir.path();
    let recipe = "name = \"x\"\nversion = \"1\"\n[build]\nsteps = [[\"false\"]]\noutputs = [\"out\"]\n";
    std::fs::write(root.join("countersign.toml"), recipe).unwrap();
    git(root, &["add", "-A"]);
    git(root, &["commit", "-q", "-m", "recipe"]);
    git(root, &["tag", "v2"]);
    std::fs::write(root.join("d/e/7"), "another").unwrap();
    git(root, &["commit", "-q", "-a", "-m", "later"]);
    let server = Server::http(root, |_, _, _| None);
    let here = tempfile::tempdir().unwrap();
    let at = |name: &str| here.path().join(name).to_str().unwrap().to_owned();
    let (key, bundle, outputs, url) = (at("key"), at("b.intoto.jsonl"), at("outputs"), server.url("http"));
    std::fs::create_dir(&outputs).unwrap();
    std::fs::write(here.path().join("outputs/out"), "x").unwrap();
    let ends = |args: &[&str], code: i32, why: &str| {
        let said = run(args, &[]);
        assert_eq!((said.code, said.left), (code, 0), "{args:?}: {}", said.err);
        assert!(said.err.contains(why), "{why}: {}", said.err);
    };
    ends(&["key", "generate", "--out", &key, "--no-passphrase"], 0, "");
    let attest = ["attest", "--source", &url, "--key", &key, "--bundle", &bundle, "--outputs", &outputs];
    ends(&attest, 2, "which commit is meant?");
    ends(&[&attest[..], &["--revision", "v1"]].concat(), 2, "there is no recipe countersign.toml");
    ends(&[&attest[..], &["--revision", "v2"]].concat(), 0, "note: the source is commit ");
    let rebuild = ["rebuild", &bundle, "--source", &url];
    ends(&[&rebuild[..], &["--revision", "main"]].concat(), 9, "d/e/7: ");
    // Its step fails: it was begun.
    #[cfg(target_os = "linux")]
    ends(&[&rebuild[..], &["--revision", "v2", "--sandbox", "none", "--out", &at("kept")]].concat(), 6, "false");
}
