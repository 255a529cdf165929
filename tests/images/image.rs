//! A small root file system: a shell and its like from this machine.

use super::common::{Project, Said, roots};
use sha2::Digest as _;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Entries of a root file system: path, and content or target.
pub enum Entry {
    File(Vec<u8>, bool),
    Link(String),
}

/// What a build by a shell needs, and a file that says which image it is.
pub fn entries() -> Vec<(String, Entry)> {
    let mut entries: Vec<(String, Entry)> = Vec::new();
    for root in roots() {
        let name = root.strip_prefix("/").unwrap().to_str().unwrap().to_owned();
        let meta = root.symlink_metadata().unwrap();
        let entry = if meta.is_symlink() {
            Entry::Link(std::fs::read_link(root).unwrap().to_str().unwrap().to_owned())
        } else {
            Entry::File(std::fs::read(root).unwrap(), meta.permissions().mode() & 0o111 != 0)
        };
        entries.push((name, entry));
    }
    entries.push(("etc/image".into(), Entry::File(b"one\n".to_vec(), false)));
    entries.push(("home/build/x".into(), Entry::File(b"covered\n".to_vec(), false)));
    entries.push(("etc/passwd".into(), Entry::File(b"root:x:0:0::/:/bin/sh\n".to_vec(), false)));
    entries
}

/// A tar of them.
pub fn tar(entries: &[(String, Entry)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, entry) in entries {
        let mut header = tar::Header::new_gnu();
        match entry {
            Entry::File(content, exec) => {
                // What the archive says of owners, times and set-id bits does not matter.
                header.set_mode(if *exec { 0o4755 } else { 0o600 });
                header.set_uid(7);
                header.set_mtime(1_234_567);
                header.set_size(content.len() as u64);
                tar.append_data(&mut header, name, &content[..]).unwrap();
            }
            Entry::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                tar.append_link(&mut header, name, target).unwrap();
            }
        }
    }
    tar.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

pub fn hex(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the build of [`project`] does: it says what it sees.
const SCRIPT: &str = "{ cat /etc/image; ls /; ls /usr; ls /etc; ls -a /home/build; } > out.txt";

/// A project that is built in an image of its own, which is `images/root.tar`.
pub fn project() -> Project {
    let project = Project::new(SCRIPT, &["out.txt"]);
    std::fs::create_dir(project.path("images")).unwrap();
    project.put("images/root.tar", tar(&entries()));
    project.environment("kind = \"rootfs\"\nimage = \"images:root.tar\"\n");
    project
}

pub trait Images {
    /// The program with its store below the project, and the mirror `images`.
    fn with(&self, store: &str, args: &[&str]) -> Said;
    /// The same, without the mirror.
    fn without(&self, store: &str, args: &[&str]) -> Said;
}

impl Images for Project {
    #[track_caller]
    fn with(&self, store: &str, args: &[&str]) -> Said {
        let mirror = format!("images={}", self.path("images").display());
        self.without(store, &[args, &["--mirror", &mirror]].concat())
    }

    #[track_caller]
    fn without(&self, store: &str, args: &[&str]) -> Said {
        self.run(&[args, &["--store", store]].concat())
    }
}

pub trait Mentions {
    /// Whichever of the two streams it is on.
    fn mentions(&self, text: &str) -> &Self;
}

impl Mentions for Said {
    #[track_caller]
    fn mentions(&self, text: &str) -> &Said {
        assert!(
            self.out.contains(text) || self.err.contains(text),
            "{text:?} is neither in {} nor in {}",
            self.out,
            self.err
        );
        self
    }
}

/// All files below a directory.
pub fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let found = walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().flatten();
    found.filter(|entry| entry.file_type().is_file()).map(|entry| entry.path().to_owned()).collect()
}
