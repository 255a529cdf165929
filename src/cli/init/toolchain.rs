//! Where the tools are that are not below the default roots.

use super::write::{Project, Variable};
use crate::fs;
use crate::recipe;
use std::path::{Path, PathBuf};

/// The directory of the Rust toolchain that rustup would use, without running it.
pub(super) fn rust() -> Option<PathBuf> {
    let home = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".rustup")))?;
    let mut found: Vec<PathBuf> = std::fs::read_dir(home.join("toolchains"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("bin/cargo").exists())
        .collect();
    found.sort();
    let chosen = fs::read(&home.join("settings.toml"), 1 << 20)
        .ok()
        .and_then(|bytes| toml::from_str::<toml::Table>(std::str::from_utf8(&bytes).ok()?).ok())
        .and_then(|settings| Some(home.join("toolchains").join(settings.get("default_toolchain")?.as_str()?)));
    chosen.filter(|path| found.contains(path)).or_else(|| found.into_iter().next())
}

/// The directory above the `bin` in which `PATH` has the program, links followed.
pub(super) fn of(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())?;
    let bin = found.canonicalize().ok()?.parent()?.to_owned();
    (bin.file_name()? == "bin").then(|| bin.parent().map(Path::to_owned))?
}

/// The directory below /etc to which a file of the program's own directory is a link: configuration without which it does not start.
pub(super) fn configuration(program: &str, file: &str) -> Option<String> {
    let real = of(program)?.join(file).canonicalize().ok()?;
    let dir = real.parent().filter(|dir| dir.starts_with("/etc") && *dir != Path::new("/etc"))?;
    dir.to_str().map(str::to_owned)
}

/// Whether the build finds the program by the `PATH` that it has anyhow.
pub(super) fn is_standard(program: &str) -> bool {
    ["/usr/local/bin", "/usr/bin", "/bin"].iter().any(|dir| Path::new(dir).join(program).is_file())
}

/// Lets the build find the program, if it is not where every build looks.
pub(super) fn add(project: &mut Project, program: &str, root: Option<PathBuf>, called: &str) {
    if is_standard(program) {
        return;
    }
    let Some(root) = root.as_deref().and_then(Path::to_str) else {
        project.notes.push(format!("no {called} was found: name its directory in environment.roots and in PATH"));
        return;
    };
    let usual = recipe::FIXED.iter().find(|(name, _)| *name == "PATH").map_or("", |(_, value)| value);
    let why = "the toolchain below environment.roots comes first";
    project.env.push(Variable("PATH", format!("{root}/bin:{usual}"), why));
    // /usr/local and the like are there anyhow.
    if !root.starts_with("/usr/") {
        project.roots.push(root.to_owned());
    }
}
