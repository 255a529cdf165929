//! What a traced run tells of what the steps did.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is to be observed.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Roots, by their places inside, that the steps get as a copy in memory, whose times of access tell what was read.
    pub copies: Vec<PathBuf>,
    /// A tracer follows every process: what was looked for, what ran, which addresses were reached for.
    pub attempts: bool,
}

/// What was observed. Paths are those inside, without the leading `/`, escaped as in a listing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Of the copies; `None` where there was none.
    pub copies: Option<Seen>,
    /// What the tracer saw.
    pub attempts: Option<Attempts>,
}

/// What of the copies was read, by times of access. A name looked up or a `stat` is no reading.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Files that were read, mapped or executed.
    pub files: Vec<String>,
    /// Directories that were listed.
    pub dirs: Vec<String>,
    /// Links that were followed or read.
    pub links: Vec<String>,
    /// Those whose times, mode or attributes were set meanwhile. They may have been read: each is among the others too.
    pub touched: Vec<String>,
}

/// What a tracer saw: a log and no proof, since a program with several threads can change a path between our look and the kernel's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attempts {
    /// Files that were opened for reading, executed, or mapped when a program was loaded, by their real paths.
    pub opened: Vec<String>,
    /// Programs that ran.
    pub programs: Vec<Program>,
    /// What was looked for and was not there.
    pub missing: Vec<Missing>,
    /// Of those, what the step that failed seems to have wanted, the likeliest first.
    pub wanted: Vec<Wanted>,
    /// Addresses that were reached for.
    pub addresses: Vec<Address>,
    /// Command lines of programs that read `/etc/hosts`: they wanted the address of a name.
    pub resolvers: Vec<String>,
    /// What was left out because there was too much of it.
    pub left_out: u64,
}

/// A program that ran.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Program {
    /// Its file.
    pub path: String,
    /// As what it was started.
    pub argv0: String,
    /// How often.
    pub times: u64,
}

/// A path that was not there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Missing {
    /// Which; `..` is taken away as text.
    pub path: String,
    /// The program that looked last.
    pub by: String,
    /// How often.
    pub times: u64,
}

/// Something that was not found in any place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// What it is.
    pub kind: WantedKind,
    /// Its name.
    pub name: String,
    /// Where it was looked for.
    pub paths: Vec<String>,
    /// By which program.
    pub by: String,
}

/// What a name looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WantedKind {
    /// A program.
    Program,
    /// A header file.
    Header,
    /// A library, or what describes one.
    Library,
}

impl std::fmt::Display for WantedKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            WantedKind::Program => "program",
            WantedKind::Header => "header",
            WantedKind::Library => "library",
        })
    }
}

/// An address that was reached for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// `192.0.2.1:443`, `[2001:db8::1]:443` or `unix:/path`.
    pub to: String,
    /// By which program.
    pub by: String,
    /// What the kernel answered: `connected`, or its reason.
    pub result: String,
}

impl Address {
    /// Not a socket file, and not of the sandbox's own loopback.
    pub fn is_foreign(&self) -> bool {
        !["unix:", "127.", "[::1]"].iter().any(|own| self.to.starts_with(own))
    }
}
