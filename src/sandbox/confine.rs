//! Landlock: a second, independent statement of what the mounts say.

use super::Purpose;
use super::outer::Report;
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

/// The newest version whose rights are asked for; an older kernel gives those that it has.
const NEWEST: ABI = ABI::V6;

/// What the kernel took on.
pub(super) struct Landlock {
    /// Reading and executing everywhere, writing only where the mounts are writable.
    pub files: bool,
    /// No signals out of the sandbox.
    pub scopes: bool,
}

pub(super) fn restrict(purpose: Purpose) -> Result<Landlock, Report> {
    let status = ruleset(purpose).map_err(|why| Report::Unavailable { what: "set up landlock".into(), why })?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi,
        _ => ABI::Unsupported,
    };
    let files = status.ruleset != RulesetStatus::NotEnforced;
    Ok(Landlock { files, scopes: files && abi >= NEWEST })
}

fn ruleset(purpose: Purpose) -> Result<landlock::RestrictionStatus, String> {
    let text = |err: landlock::RulesetError| err.to_string();
    let all = AccessFs::from_all(NEWEST);
    let read = AccessFs::from_read(NEWEST);
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev | AccessFs::Truncate;
    let mut rules: Vec<(&str, BitFlags<AccessFs>)> = Vec::new();
    match purpose {
        Purpose::Build => {
            rules.push(("/", read));
            rules.extend(["/build", "/tmp", "/home/build", "/dev/shm"].map(|path| (path, all)));
        }
        Purpose::Install => rules.push(("/", all)),
    }
    rules.extend(["null", "zero", "full", "random", "urandom"].map(|name| (name, device)));
    let mut created = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .and_then(|ruleset| ruleset.scope(Scope::AbstractUnixSocket | Scope::Signal))
        .and_then(|ruleset| ruleset.create())
        .map_err(text)?;
    for (path, access) in rules {
        // The names are those of devices; joining an absolute path gives that path.
        let fd = PathFd::new(std::path::Path::new("/dev").join(path)).map_err(|err| err.to_string())?;
        created = created.add_rule(PathBeneath::new(fd, access)).map_err(text)?;
    }
    created.restrict_self().map_err(text)
}
