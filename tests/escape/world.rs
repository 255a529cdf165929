//! What the ways are after: services, processes, files and shared memory of one user of the host, and the builds of that user.

use super::super::common::{PROGRAM, Said, finish, roots};
use super::table::Way;
use std::cell::Cell;
use std::io::ErrorKind::WouldBlock;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The one thing that no build may read.
const SECRET: &str = "nobody inside may read this\n";
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 77, 77);

pub struct World {
    /// Who builds.
    pub uid: u32,
    dir: tempfile::TempDir,
    user: Option<u32>,
    tcp: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
    unix: Vec<UnixListener>,
    victim: Child,
    key: u32,
    next: Cell<u32>,
}

impl World {
    /// For this user, or for ourselves.
    pub fn new(user: Option<u32>) -> World {
        let dir = tempfile::Builder::new().prefix("countersign-escape-").tempdir_in("/tmp").unwrap();
        let uid = user.unwrap_or(rustix::process::getuid().as_raw());
        let at = |name: &str| dir.path().join(name);
        for name in ["tmp", "builds"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::fs::copy(PROGRAM, at("countersign")).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape/ways.c");
        let mut cc = Command::new("cc");
        assert!(cc.args(["-O1", "-Wall", "-Werror", "-o"]).arg(at("ways")).arg(source).status().unwrap().success());
        std::fs::write(at("secret"), SECRET).unwrap();
        for (name, mode) in [("", 0o755), ("tmp", 0o755), ("builds", 0o755), ("secret", 0o644), ("ways", 0o755)] {
            std::fs::set_permissions(at(name), PermissionsExt::from_mode(mode)).unwrap();
            if user.is_some() {
                chown(at(name), user, user).unwrap();
            }
        }
        let port = |at: &UdpSocket| at.local_addr().unwrap().port();
        let udp = vec![UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind((GROUP, 0)).unwrap()];
        udp[1].join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST).unwrap();
        assert_ne!(port(&udp[0]), 0);
        udp.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
        // Not every host has IPv6.
        let tcp: Vec<TcpListener> =
            ["127.0.0.1:0", "[::1]:0"].iter().filter_map(|at| TcpListener::bind(at).ok()).collect();
        tcp.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
        let id = std::process::id();
        let key = 0x0051_0000 + id % 50_000 * 2 + u32::from(user.is_some());
        let named = |name: String| UnixListener::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
        let agent = UnixListener::bind(at("agent")).unwrap();
        std::fs::set_permissions(at("agent"), PermissionsExt::from_mode(0o666)).unwrap();
        let unix = vec![named(format!("escape-{key}")), named(format!("/tmp/.X11-unix/X{key}")), agent];
        unix.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
        // With the host id that builds have: nothing but the sandbox is between the two.
        let mut sleeper = Command::new("sleep");
        sleeper.arg("100000").env("SECRET", SECRET).stdin(Stdio::null());
        let build = if uid == 0 { countersign::sandbox::build_id().uid } else { uid };
        if rustix::process::getuid().is_root() {
            sleeper.uid(build).gid(build);
        }
        let victim = sleeper.spawn().unwrap();
        let world = World { uid, dir, user, tcp, udp, unix, victim, key, next: Cell::new(0) };
        assert!(world.ways(&format!("host-make:{key}")));
        world
    }

    /// A command of the one who builds.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").stdin(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    fn ways(&self, way: &str) -> bool {
        self.command(self.path("ways")).arg(way).stdout(Stdio::null()).status().unwrap().success()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts in what the ways are after.
    pub fn fill(&self, text: &str) -> String {
        let port = |at: usize| self.tcp.get(at).map_or(9, |listener| listener.local_addr().unwrap().port());
        let mut text = text.to_owned();
        for (name, value) in [
            ("{tcp}", format!("127.0.0.1/{}", port(0))),
            ("{tcp6}", format!("::1/{}", port(1))),
            ("{tcp-hex}", format!(":{:04X} ", port(0))),
            ("{udp}", format!("127.0.0.1/{}", self.udp[0].local_addr().unwrap().port())),
            ("{multicast}", format!("{GROUP}/{}", self.udp[1].local_addr().unwrap().port())),
            ("{abstract}", format!("@escape-{}", self.key)),
            ("{x11}", format!("@/tmp/.X11-unix/X{}", self.key)),
            ("{agent}", self.path("agent").display().to_string()),
            ("{secret}", self.path("secret").display().to_string()),
            ("{tmp}", self.path("tmp").display().to_string()),
            ("{builds}", self.path("builds").display().to_string()),
            ("{key}", self.key.to_string()),
            ("{pid}", self.victim.id().to_string()),
        ] {
            text = text.replace(name, &value);
        }
        text
    }

    /// Whether anybody outside was called, since this was asked last.
    pub fn heard(&self) -> bool {
        let refused = |err: std::io::Error| assert_eq!(err.kind(), WouldBlock);
        let mut heard = 0;
        // More than one may have come.
        for _ in 0..100 {
            heard += self.tcp.iter().filter(|listener| listener.accept().map_err(refused).is_ok()).count();
            heard += self.udp.iter().filter(|socket| socket.recv(&mut [0; 9]).map_err(refused).is_ok()).count();
            heard += self.unix.iter().filter(|listener| listener.accept().map_err(refused).is_ok()).count();
        }
        heard > 0
    }

    /// Everything is as it was.
    #[track_caller]
    pub fn is_untouched(&self, told: &str) {
        assert!(!self.heard(), "somebody outside was called by {told}");
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.victim.id())).unwrap();
        assert!(status.contains("State:\tS") && status.contains("TracerPid:\t0"), "{status}\n{told}");
        let meta = self.path("secret").metadata().unwrap();
        let text = std::fs::read_to_string(self.path("secret")).unwrap();
        assert_eq!(text, SECRET, "{told}");
        assert!(
            meta.modified().unwrap().elapsed().unwrap().as_secs() < 100_000 && meta.permissions().mode() == 0o100_644
        );
        assert!(["shm", "sem", "msg"].iter().all(|kind| self.ways(&format!("{kind}:{}", self.key))), "{told}");
        assert!(self.ways(&format!("queue:/escape-{}", self.key)), "{told}");
        assert!(Path::new(&format!("/dev/shm/escape-{}", self.key)).exists(), "{told}");
    }

    /// A source whose build goes this way.
    pub fn project<'w>(&'w self, way: &'w Way, script: &str) -> Project<'w> {
        let number = self.next.get();
        self.next.set(number + 1);
        let (dir, mark) = (self.path("builds").join(number.to_string()), format!("{}-{number}", self.key));
        std::fs::create_dir_all(dir.join("src")).unwrap();
        let project = Project { world: self, dir, mark, disk: way.disk };
        let mut steps = String::new();
        for (at, script) in std::iter::once(script).chain(way.then.iter().map(String::as_str)).enumerate() {
            let begin = if at == 0 { "echo made > out.txt\n" } else { "" };
            let end = if way.exit == 0 { "exit 0\n" } else { "" };
            project.put(&format!("step-{at}.sh"), format!("{begin}{}\n{end}", self.fill(script)).as_bytes(), 0o644);
            steps += &format!("[\"sh\", \"step-{at}.sh\"],");
        }
        let outputs = if way.outputs.is_empty() { vec!["out.txt".to_owned()] } else { way.outputs.clone() };
        let recipe = format!(
            "name = \"x\"\nversion = \"1\"\n[build]\nsteps = [{steps}]\noutputs = {outputs:?}\nenv = {{ MARK = \"{}\" }}\n\
             [environment]\ndefault-roots = false\nroots = {:?}\n[limits]\n{}\n",
            project.mark,
            roots(),
            way.limits
        );
        project.put("countersign.toml", recipe.as_bytes(), 0o644);
        project.put("input", b"as it was\n", 0o644);
        project.put("ways", &std::fs::read(self.path("ways")).unwrap(), 0o755);
        for path in [&project.dir, &project.dir.join("src")] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
            if self.user.is_some() {
                chown(path, self.user, self.user).unwrap();
            }
        }
        project
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.ways(&format!("host-remove:{}", self.key));
        let _ = self.victim.kill().and_then(|()| self.victim.wait());
    }
}

pub struct Project<'w> {
    world: &'w World,
    dir: PathBuf,
    /// In the environment of each of its steps.
    mark: String,
    disk: Option<u32>,
}

impl Project<'_> {
    fn put(&self, name: &str, bytes: &[u8], mode: u32) {
        let path = self.dir.join("src").join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        if self.world.user.is_some() {
            chown(&path, self.world.user, self.world.user).unwrap();
        }
    }

    /// Builds it: what the program says, and the log. Descriptor 9 is open on the secret.
    pub fn build(&self, more: &[&str]) -> (Said, String) {
        let mut command = self.world.command("unshare");
        // Whoever may not mount gets a user namespace in which he may; in it the build's id is his own.
        match self.disk {
            Some(_) if self.world.uid == 0 => command.args(["--mount", "--propagation", "private", "/bin/sh"]),
            Some(_) => command.args(["--user", "--map-root-user", "--mount", "/bin/sh"]),
            None => {
                command = self.world.command("/bin/sh");
                &mut command
            }
        };
        let open = match self.disk {
            Some(size) => format!(
                "exec 9<\"$0\"; mount -t tmpfs -o size={size}m,nr_inodes=300,mode=755 disk \"$TMPDIR\" && exec \"$@\""
            ),
            None => "exec 9<\"$0\"; exec \"$@\"".to_owned(),
        };
        command.args(["-c", &open]).arg(self.world.path("secret")).arg(self.world.path("countersign"));
        command.args(["build", "--source", "src", "--out", "out", "--log", "log", "--quiet"]).args(more);
        command
            .current_dir(&self.dir)
            .env("TMPDIR", self.world.path("tmp"))
            .env("XDG_CACHE_HOME", self.dir.join("cache"));
        command.env("SSH_AUTH_SOCK", self.world.path("agent")).env("SECRET", SECRET);
        let said = finish(&mut command);
        let log = std::fs::read(self.dir.join("log")).unwrap_or_default();
        (said, String::from_utf8_lossy(&log).into_owned())
    }

    /// An output's content, or what a link names.
    #[track_caller]
    pub fn output(&self, name: &str) -> String {
        let path = self.dir.join("out").join(name);
        match std::fs::read_link(&path) {
            Ok(target) => format!("-> {}", target.display()),
            Err(_) => std::fs::read_to_string(&path).unwrap_or_else(|err| panic!("{name}: {err}")),
        }
    }

    pub fn has_outputs(&self) -> bool {
        self.dir.join("out").symlink_metadata().is_ok()
    }

    /// No process of it, nothing of its work; and its source is what it was.
    #[track_caller]
    pub fn is_gone(&self, told: &str) {
        assert_eq!(self.processes(), [0; 0], "left by {told}");
        let left: Vec<_> =
            std::fs::read_dir(self.world.path("tmp")).unwrap().flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "{left:?} is left by {told}");
        assert_eq!(std::fs::read_to_string(self.dir.join("src/input")).unwrap(), "as it was\n", "{told}");
    }

    /// Ends what went on after a build without a sandbox.
    pub fn put_right(&self) {
        for process in self.processes() {
            let process = rustix::process::Pid::from_raw(process as i32).unwrap();
            let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        }
    }

    fn processes(&self) -> Vec<u32> {
        let mark = format!("MARK={}\0", self.mark);
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let ours = |number: &u32| {
            let environment = std::fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
            environment.windows(mark.len()).any(|window| window == mark.as_bytes())
        };
        numbers.filter(ours).collect()
    }
}
