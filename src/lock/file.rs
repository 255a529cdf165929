//! `countersign.lock`: what `countersign lock` writes beside the recipe (docs/spec.md §3.2). A block for each architecture; what is signed is
//! the block of the one that is built on, with the epoch.
//!
//! ```text
//! countersign-lock-file v1
//! environment <SHA-256 of what the recipe asks for>
//! kind debian
//! architecture x86_64
//! tree …
//! part …
//! ```

use super::{LockError, Pinned};
use crate::digest::Sha256;
use std::collections::BTreeMap;
use std::fmt;

/// The file's name, in the directory of the recipe.
pub const FILE_NAME: &str = "countersign.lock";
/// Longest file that is read: eight architectures of the longest lock.
pub const MAX_LOCK_FILE: u64 = 8 << 20;

/// What a lock file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFile {
    /// Of the recipe's `[environment]` that it was made from.
    pub environment: Sha256,
    /// By architecture; never empty.
    pub pinned: BTreeMap<String, Pinned>,
}

/// A lock file that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockFileError {
    /// Not its first line, or not its second.
    #[error("it does not begin as `countersign lock` writes it")]
    Head,
    /// A block that is none.
    #[error(transparent)]
    Block(#[from] LockError),
    /// Two blocks for one architecture, none at all, or not sorted.
    #[error("its architectures are not sorted, or there is none")]
    Architectures,
    /// Not UTF-8, or not as it would be written.
    #[error("it is not as `countersign lock` writes it")]
    Spelling,
}

impl LockFile {
    /// Reads a file's bytes.
    pub fn parse(bytes: &[u8]) -> Result<LockFile, LockFileError> {
        let text = std::str::from_utf8(bytes).map_err(|_| LockFileError::Spelling)?;
        let mut lines = (1..).zip(text.strip_suffix('\n').ok_or(LockFileError::Spelling)?.split('\n')).peekable();
        if lines.next().map(|(_, line)| line) != Some("countersign-lock-file v1") {
            return Err(LockFileError::Head);
        }
        let environment = lines.next().and_then(|(_, line)| line.strip_prefix("environment ")?.parse().ok());
        let environment = environment.ok_or(LockFileError::Head)?;
        let mut pinned = BTreeMap::new();
        while let Some((number, line)) = lines.next() {
            let kind = line.strip_prefix("kind ").and_then(super::Kind::of);
            let kind = kind.ok_or(LockError::Line(number))?;
            let mut block = Vec::new();
            while let Some(line) = lines.next_if(|(_, line)| !line.starts_with("kind ")) {
                block.push(line);
            }
            let one = Pinned::parse(kind, block.into_iter())?;
            let architecture = one.image.as_ref().map(|image| image.architecture.to_string());
            let architecture = architecture.ok_or(LockFileError::Architectures)?;
            if pinned.insert(architecture, one).is_some() {
                return Err(LockFileError::Architectures);
            }
        }
        let file = LockFile { environment, pinned };
        match file.pinned.is_empty() {
            true => Err(LockFileError::Architectures),
            false if file.to_string() != text => Err(LockFileError::Spelling),
            false => Ok(file),
        }
    }
}

impl fmt::Display for LockFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "countersign-lock-file v1\nenvironment {}\n", self.environment)?;
        self.pinned.values().try_for_each(|pinned| {
            writeln!(f, "kind {}", pinned.kind.word())?;
            pinned.lines(f)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_two_architectures() {
        let hex = "ab".repeat(32);
        let block = |architecture: &str| {
            format!(
                "kind rootfs\narchitecture {architecture}\ntree {hex}\npart archive base - {hex} 7 vendor local:base.tar\n"
            )
        };
        let head = format!("countersign-lock-file v1\nenvironment {hex}\n");
        let text = format!("{head}{}{}", block("aarch64"), block("x86_64"));
        let file = LockFile::parse(text.as_bytes()).unwrap();
        assert_eq!(file.to_string(), text);
        assert_eq!(file.pinned.keys().collect::<Vec<_>>(), ["aarch64", "x86_64"]);
        for bad in [
            head.clone(),
            format!("{head}{}{}", block("x86_64"), block("aarch64")),
            format!("{head}{}{}", block("x86_64"), block("x86_64")),
            format!("{head}kind host\nroot /usr\n"),
            text.replace("v1\n", "v2\n"),
            text.replace("environment ab", "environment AB"),
            text.replace("kind rootfs", "kind moon"),
            text.trim_end().to_owned(),
            format!("{text}\n"),
        ] {
            assert!(LockFile::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
