//! What a tracer saw, gathered: each path once, with how often, and of a step that failed what it seems to have wanted.

use super::observed::{Address, Attempts, Missing, Program, Wanted, WantedKind};
use crate::path::TreePath;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most bytes of text that are kept in all: it goes through a pipe in one line.
const MOST: usize = 24 << 20;
/// Of each process the last so many things that it looked for in vain.
const LOOKS: usize = 2000;
/// Things that a step that failed is said to have wanted.
const WANTED: usize = 20;

/// Gathers.
#[derive(Default)]
pub(super) struct Log {
    opened: BTreeSet<String>,
    programs: BTreeMap<(String, String), u64>,
    missing: BTreeMap<String, (String, u64)>,
    addresses: BTreeSet<Address>,
    resolvers: BTreeSet<String>,
    kept: usize,
    left_out: u64,
    now: u64,
    /// When something of this name was last there.
    found: HashMap<Vec<u8>, u64>,
    /// What each process looked for in vain.
    looks: HashMap<i32, VecDeque<Look>>,
    /// Of each process the child that failed last.
    failed: HashMap<i32, Box<Failed>>,
}

struct Look {
    at: u64,
    kind: WantedKind,
    name: Vec<u8>,
    path: String,
    by: String,
}

/// A process that failed.
struct Failed {
    looks: VecDeque<Look>,
    child: Option<Box<Failed>>,
}

impl Log {
    fn room(&mut self, bytes: usize) -> bool {
        let fits = self.kept + bytes <= MOST;
        if fits {
            self.kept += bytes
        } else {
            self.left_out += 1
        }
        fits
    }

    /// A file of the environment was opened for reading, executed or mapped.
    pub(super) fn opened(&mut self, real: &[u8]) {
        if let Some(path) = of_the_environment(real)
            && !self.opened.contains(&path)
            && self.room(path.len())
        {
            self.opened.insert(path);
        }
    }

    /// Something was there.
    pub(super) fn found(&mut self, path: &[u8]) {
        self.now += 1;
        let name = stem(name(path));
        if let Some(last) = self.found.get_mut(name) {
            *last = self.now;
        } else if self.room(name.len()) {
            self.found.insert(name.to_owned(), self.now);
        }
    }

    /// Something was not; `process` looked, which runs `by`.
    pub(super) fn missing(&mut self, path: &[u8], opened: bool, executed: bool, process: i32, by: &str) {
        self.now += 1;
        let Some(text) = text(path) else { return };
        if let Some(kind) = kind(path, opened, executed) {
            let looks = self.looks.entry(process).or_default();
            if looks.len() == LOOKS {
                looks.pop_front();
            }
            let name = stem(name(path)).to_owned();
            looks.push_back(Look { at: self.now, kind, name, path: text.clone(), by: by.to_owned() });
        }
        if let Some((last, times)) = self.missing.get_mut(&text) {
            *times += 1;
            if last != by {
                *last = by.to_owned();
            }
        } else if self.room(text.len() + by.len()) {
            self.missing.insert(text, (by.to_owned(), 1));
        }
    }

    /// A program runs.
    pub(super) fn ran(&mut self, path: &[u8], argv0: &[u8]) {
        let Some(path) = text(path) else { return };
        let key = (path, String::from_utf8_lossy(argv0).into_owned());
        if let Some(times) = self.programs.get_mut(&key) {
            *times += 1;
        } else if self.room(key.0.len() + key.1.len()) {
            self.programs.insert(key, 1);
        }
    }

    /// An address was reached for.
    pub(super) fn reached(&mut self, address: Address) {
        if !self.addresses.contains(&address) && self.room(address.to.len() + address.by.len()) {
            self.addresses.insert(address);
        }
    }

    /// A program with this command line wanted the address of a name.
    pub(super) fn resolves(&mut self, command: String) {
        if !self.resolvers.contains(&command) && self.room(command.len()) {
            self.resolvers.insert(command);
        }
    }

    /// A process ended.
    pub(super) fn ended(&mut self, process: i32, parent: Option<i32>, well: bool) {
        let looks = self.looks.remove(&process).unwrap_or_default();
        let child = self.failed.remove(&process);
        if let (false, Some(parent)) = (well, parent) {
            self.failed.insert(parent, Box::new(Failed { looks, child }));
        }
    }

    /// All of it; `top` is the process that started the steps.
    pub(super) fn finish(mut self, top: i32) -> Attempts {
        let wanted = self.wanted(top);
        Attempts {
            opened: self.opened.into_iter().collect(),
            programs: self.programs.into_iter().map(|((path, argv0), times)| Program { path, argv0, times }).collect(),
            missing: self.missing.into_iter().map(|(path, (by, times))| Missing { path, by, times }).collect(),
            wanted,
            addresses: self.addresses.into_iter().collect(),
            resolvers: self.resolvers.into_iter().collect(),
            left_out: self.left_out,
        }
    }

    /// Of the processes that failed, from the step down, the one that looked last for something that nobody found later: a step may not have
    /// minded what failed before.
    fn wanted(&mut self, top: i32) -> Vec<Wanted> {
        let (mut last, mut groups) = (0, Vec::new());
        let mut next = self.failed.remove(&top);
        while let Some(mut failed) = next {
            next = failed.child.take();
            failed.looks.retain(|look| self.found.get(&look.name).is_none_or(|found| *found < look.at));
            if let Some(look) = failed.looks.back()
                && look.at > last
            {
                (last, groups) = (look.at, grouped(failed.looks));
            }
        }
        groups
    }
}

/// By kind and name, what was looked for last first.
fn grouped(looks: VecDeque<Look>) -> Vec<Wanted> {
    let mut groups: Vec<Wanted> = Vec::new();
    for look in looks.into_iter().rev() {
        let name = String::from_utf8_lossy(&look.name).into_owned();
        match groups.iter().position(|group| (group.kind, &group.name) == (look.kind, &name)) {
            Some(at) if groups[at].paths.contains(&look.path) => {}
            Some(at) => groups[at].paths.push(look.path),
            None if groups.len() < WANTED => {
                groups.push(Wanted { kind: look.kind, name, paths: vec![look.path], by: look.by });
            }
            None => {}
        }
    }
    // Places in the order in which it looked.
    groups.iter_mut().for_each(|group| group.paths.reverse());
    groups
}

/// Without the leading `/`, escaped.
pub(super) fn text(path: &[u8]) -> Option<String> {
    TreePath::from_bytes(path.strip_prefix(b"/")?).ok().map(|path| path.escaped())
}

fn of_the_environment(path: &[u8]) -> Option<String> {
    let below = |dir: &str| path.strip_prefix(dir.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
    if super::RESERVED.into_iter().any(below) { None } else { text(path) }
}

fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// `libz` of `libz.so.1` and of `libz.a`: who looks for one takes the other.
fn stem(name: &[u8]) -> &[u8] {
    let end = [&b".so"[..], b".a", b".la"].iter().find_map(|end| name.windows(end.len()).position(|part| part == *end));
    end.filter(|_| name.starts_with(b"lib")).map_or(name, |end| &name[..end])
}

/// What somebody may have wanted to be there.
fn kind(path: &[u8], opened: bool, executed: bool) -> Option<WantedKind> {
    let name = name(path);
    let above = &path[..path.len() - name.len()];
    let holds = |text: &[u8]| path.windows(text.len()).any(|window| window == text);
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending.as_bytes()));
    if executed || above.ends_with(b"/bin/") || above.ends_with(b"/sbin/") {
        return Some(WantedKind::Program);
    }
    if ends(&[".h", ".hh", ".hpp", ".hxx", ".H", ".inc", ".ipp", ".tcc"])
        // <vector> has no ending.
        || opened && holds(b"/include/") && !name.contains(&b'.')
    {
        return Some(WantedKind::Header);
    }
    let library =
        name.starts_with(b"lib") && (ends(&[".a", ".so", ".la"]) || name.windows(4).any(|part| part == b".so."));
    (library || ends(&[".pc", ".cmake", ".jar"])).then_some(WantedKind::Library)
}

/// An address as a system call has it.
pub(super) fn address(raw: &[u8]) -> Option<String> {
    let family = u16::from_ne_bytes([*raw.first()?, *raw.get(1)?]);
    let port = || Some(u16::from_be_bytes([*raw.get(2)?, *raw.get(3)?]));
    match i32::from(family) {
        nix::libc::AF_INET => {
            let ip: [u8; 4] = raw.get(4..8)?.try_into().ok()?;
            Some(SocketAddr::from((Ipv4Addr::from(ip), port()?)).to_string())
        }
        nix::libc::AF_INET6 => {
            let ip: [u8; 16] = raw.get(8..24)?.try_into().ok()?;
            Some(SocketAddr::from((Ipv6Addr::from(ip), port()?)).to_string())
        }
        nix::libc::AF_UNIX => {
            let path = raw.get(2..)?;
            let (mark, path) = match path.strip_prefix(b"\0") {
                Some(name) => ("@", name),
                None => ("", path.split(|byte| *byte == 0).next()?),
            };
            Some(format!("unix:{mark}{}", String::from_utf8_lossy(path)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_one_that_looked_last_wanted() {
        // 1 started 10 (make), which started 11 (cc) and 12 (true).
        let mut log = Log::default();
        log.missing(b"/usr/bin/gone", false, true, 10, "make");
        log.missing(b"/usr/include/found.h", true, false, 11, "cc");
        log.found(b"/opt/include/found.h");
        log.missing(b"/usr/local/include/foo.h", true, false, 11, "cc");
        log.missing(b"/usr/include/foo.h", true, false, 11, "cc");
        log.missing(b"/usr/lib/locale", true, false, 11, "cc");
        log.ended(11, Some(10), false);
        log.ended(12, Some(10), true);
        log.ended(10, Some(1), false);
        let attempts = log.finish(1);
        let paths = vec!["usr/local/include/foo.h".to_owned(), "usr/include/foo.h".to_owned()];
        let wanted = Wanted { kind: WantedKind::Header, name: "foo.h".into(), paths, by: "cc".into() };
        assert_eq!(attempts.wanted, [wanted]);
        assert_eq!(attempts.missing.len(), 5);

        let mut log = Log::default();
        for path in
            [&b"/lib/libz.so"[..], b"/lib/libx.so.1", b"/usr/lib/libx.a", b"/etc/ld.so.preload", b"/usr/lib/x.a"]
        {
            log.missing(path, true, false, 11, "ld");
        }
        log.found(b"/usr/lib/libz.a");
        log.ended(11, Some(1), false);
        let wanted = log.finish(1).wanted;
        assert_eq!((wanted.len(), wanted[0].name.as_str(), wanted[0].paths.len()), (1, "libx", 2), "{wanted:?}");

        let mut log = Log::default();
        log.missing(b"/usr/include/foo.h", true, false, 11, "cc");
        log.ended(11, Some(10), false);
        log.ended(10, Some(1), true);
        assert_eq!(log.finish(1).wanted, [], "who does not mind has not failed");
    }

    #[test]
    fn addresses_in_text() {
        let raw = [&2u16.to_ne_bytes()[..], &443u16.to_be_bytes(), &[192, 0, 2, 1], &[0; 8]].concat();
        assert_eq!(address(&raw).unwrap(), "192.0.2.1:443");
        let six = [&10u16.to_ne_bytes()[..], &53u16.to_be_bytes(), &[0; 4], &Ipv6Addr::LOCALHOST.octets(), &[0; 4]];
        assert_eq!(address(&six.concat()).unwrap(), "[::1]:53");
        assert_eq!(address(b"\x01\0/run/x\0rest").unwrap(), "unix:/run/x");
        assert_eq!(address(b"\x01\0\0name").unwrap(), "unix:@name");
        assert_eq!((address(b"\x02\0\x01"), address(b"")), (None, None));
    }

    #[test]
    fn what_is_in_no_environment_is_not_kept() {
        let mut log = Log::default();
        for path in [&b"/usr/bin/cc"[..], b"/build/x", b"/proc/self/maps", b"socket:[7]", b"/tmp", b"/tmpfile"] {
            log.opened(path);
        }
        assert_eq!(log.finish(1).opened, ["tmpfile", "usr/bin/cc"]);
    }
}
