//! How far a build is, on a terminal.

use super::progress::{line, show};
use super::ui;
use crate::build::Stage;
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};

/// Shows stages; with `shown` off, nothing at all.
pub struct Progress {
    shown: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// For one run. Words go to standard error wherever it leads, the moving line only to a terminal.
    pub fn new(shown: bool) -> Progress {
        Progress { shown, bar: None }
    }

    /// Takes the next stage of a build that sees `roots`.
    pub fn stage(&mut self, stage: Stage, roots: &[PathBuf]) {
        match stage {
            Stage::Environment(0, 0) if self.shown && !roots.is_empty() => {
                ui::say(&reading(roots));
                self.bar = line();
            }
            Stage::Environment(files, bytes) => {
                if let Some(bar) = &self.bar {
                    show(bar, files, bytes);
                }
            }
            // What the steps print comes next.
            Stage::Steps | Stage::Outputs => self.clear(),
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// `/usr` is what takes the time, and what people know.
fn reading(roots: &[PathBuf]) -> String {
    if let Some(tree) = roots.iter().find_map(|root| image(root)) {
        return format!("reading the environment: the image {}…", &tree[..12]);
    }
    let usr = roots.iter().find(|root| *root == Path::new("/usr"));
    let named = usr.or(roots.first()).map(|root| ui::escape(&root.display().to_string())).unwrap_or_default();
    match roots.len() {
        0 | 1 => format!("reading the environment: {named}"),
        n => format!("reading the environment: {named} and {}", ui::count(n - 1, "more root")),
    }
}

/// The digest in a path below an unpacked tree of a store.
fn image(root: &Path) -> Option<&str> {
    let mut parts = root.iter().skip_while(|part| *part != "trees").skip(1);
    let tree = parts.next()?.to_str()?;
    (tree.len() == 64 && tree.bytes().all(|b| b.is_ascii_hexdigit())).then_some(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_called_by_its_digest() {
        let tree = "ab".repeat(32);
        let roots = [PathBuf::from(format!("/c/store/trees/{tree}/usr")), "/bin".into()];
        assert_eq!(reading(&roots), "reading the environment: the image abababababab…");
        let other = [PathBuf::from("/c/trees/short/usr")];
        assert_eq!(reading(&other), "reading the environment: /c/trees/short/usr");
    }

    #[test]
    fn the_root_that_counts_is_named() {
        let roots = |names: &[&str]| reading(&names.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(roots(&["/bin", "/usr", "/x"]), "reading the environment: /usr and 2 more roots");
        assert_eq!(roots(&["/opt\u{1b}", "/x"]), "reading the environment: /opt\\u{1b} and 1 more root");
        assert_eq!(roots(&["/opt"]), "reading the environment: /opt");
    }
}
