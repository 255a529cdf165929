//! (recipe, environment, source tree) to outputs.
//!
//! The stages are types: [`Plan`] is a source that was read and an order that follows from it; [`Built`] is what one run of the plan was
//! seen to make. There is no other way to either, and neither holds a key, a policy or an expected output.

use crate::digest::{Sha256, Sha256Hasher, TreeDigest};
use crate::environment::{Cache, Counts, Fingerprint};
use crate::lock::Kind;
use crate::path::TreePath;
use crate::sandbox::{self, Ran};
pub use crate::source::Special;
use crate::source::{self, Opaque};
use crate::statement::{Control, Observation};
use crate::stop::Stop;
use crate::tree::Tree;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use trace::SourceWatch;

mod error;
mod outputs;
mod plan;
mod trace;

pub use error::BuildError;
pub use outputs::{CopyOf, OutputCopy, copies, copies_among, outputs};
pub use plan::{Plan, ReleaseFlags};
pub use trace::{By, EnvironmentTrace, FileRead, SourceTrace, SourceUse, Trace, Tracing};

/// Whether the steps run in the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In the sandbox of docs/spec.md §4.
    Sandbox,
    /// As ordinary processes: recorded as `observed`.
    None,
}

/// How much of the environment a run reads.
#[derive(Debug)]
pub enum Reading<'c> {
    /// All of it: for what is signed.
    Whole,
    /// What is not in the cache.
    Changes(&'c mut Cache),
}

/// What one run of a plan was seen to make. The outputs stand in a temporary directory that goes with this value.
pub struct Built {
    /// The outputs.
    pub outputs: Tree,
    /// What the build ran in.
    pub environment: TreeDigest,
    /// The listing that `environment` is the digest of; `None` after [`Reading::Changes`].
    pub environment_listing: Option<String>,
    /// Which contents of outputs are in the environment, each with the first path there.
    pub environment_holds: HashMap<Sha256, TreePath>,
    /// How much of it was read.
    pub environment_read: Counts,
    /// How it was isolated.
    pub observation: Observation,
    /// Control by control, and the times of the steps.
    pub ran: Ran,
    /// How many processors the steps saw; `None` for those of the machine.
    pub processors: Option<u32>,
    /// Length and SHA-256 of the build's log.
    pub log: (u64, Sha256),
    /// Compiled code in the source.
    pub opaque: Vec<Opaque>,
    /// What it was seen to use, if that was wanted.
    pub trace: Option<Box<Trace>>,
    work: WorkDir,
}

impl Built {
    /// The controls, as a statement has them.
    pub fn controls(&self) -> BTreeMap<String, Control> {
        let state = |word: &String| if word == "enforced" { Control::Enforced } else { Control::NotEnforced };
        self.ran.controls.iter().map(|(name, word)| (name.clone(), state(word))).collect()
    }

    /// Where the bytes of the outputs are for now.
    pub fn dir(&self) -> PathBuf {
        self.work.build_dir()
    }

    /// Copies the outputs to a new directory as they were recorded, but for what [`Special`] says of set-user-id bits: a recipe of somebody
    /// else's must not leave a root shell on the reviewer's disk.
    pub fn export(&self, to: &Path, special: Special) -> Result<(), BuildError> {
        Ok(source::export(&self.work.build_dir(), &self.outputs, to, special)?)
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The environment is being read: so many files and bytes of it so far.
    Environment(u64, u64),
    /// The steps run.
    Steps,
    /// They ended well: the outputs are being read.
    Outputs,
}

/// Runs a plan once: a fresh directory below `scratch`, the recorded files, the steps, the outputs. `log` gets what the steps print as
/// it comes, `stage` how far it is; `stop` ends it early.
pub fn run(
    plan: &Plan,
    isolation: Isolation,
    reading: Reading<'_>,
    scratch: &Path,
    log: &mut dyn FnMut(&[u8]),
    stage: &mut dyn FnMut(Stage),
    stop: &Stop,
) -> Result<Built, BuildError> {
    plan.nothing_stale()?;
    plan.follows_source()?;
    if !plan.furnished {
        return Err(BuildError::NoImage);
    }
    if isolation == Isolation::None && plan.pinned.image.is_some() {
        return Err(BuildError::NotInImage);
    }
    if isolation == Isolation::None && plan.tracing.is_some() {
        return Err(BuildError::Untraceable);
    }
    let work = WorkDir::new(scratch)?;
    let dir = work.build_dir();
    let epoch = i64::try_from(plan.epoch).map_err(|_| BuildError::Epoch(plan.epoch))?;
    let opaque = plan.source.materialise(&plan.tree, &dir, epoch)?;
    let spec = sandbox::Spec {
        build_dir: dir.clone(),
        purpose: sandbox::Purpose::Build,
        roots: plan.view.mounts().collect(),
        variables: plan.variables(),
        steps: plan.recipe.steps.clone(),
        limits: plan.recipe.limits,
        stop: stop.clone(),
        watch: plan.tracing.map(|tracing| tracing.watch(plan)),
    };
    let (mut hasher, mut size) = (Sha256Hasher::default(), 0);
    let mut tee = |bytes: &[u8]| {
        hasher.update(bytes);
        size += bytes.len() as u64;
        log(bytes);
    };
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    stop.check()?;
    stage(Stage::Environment(0, 0));
    let cache = match reading {
        Reading::Whole => None,
        Reading::Changes(cache) => Some(cache),
    };
    let mut progress = |files, bytes| {
        stage(Stage::Environment(files, bytes));
        stop.check()
    };
    let mut fingerprint: Fingerprint = plan.view.fingerprint(threads, cache, &mut progress)?;
    if let Some(image) = plan.pinned.image.as_ref().filter(|_| plan.pinned.kind != Kind::Host)
        && image.tree != fingerprint.digest()
    {
        let base = plan.view.sources().first().and_then(|path| path.parent()).map(Path::to_owned).unwrap_or_default();
        return Err(BuildError::Image { base, found: fingerprint.digest(), locked: image.tree });
    }
    if isolation == Isolation::Sandbox
        // On a read-only mount it can still be connected to, from any network namespace.
        && let Some(socket) = fingerprint.socket()
    {
        return Err(BuildError::Socket(socket.clone()));
    }
    stop.check()?;
    stage(Stage::Steps);
    let mut trace = None;
    let (ran, observation) = match isolation {
        Isolation::Sandbox => {
            // The directory above too: nobody else of this host may pass it, whatever modes the steps give to theirs.
            sandbox::own_build_dir(&work.0)?;
            let watched = plan.tracing.map(|_| SourceWatch::begin(&plan.tree, &dir, &work.0)).transpose()?.flatten();
            let (ran, observed) = sandbox::run_watched(&spec, &mut tee);
            if let (Some(tracing), Some(observed)) = (plan.tracing, observed) {
                let used = watched.map(SourceWatch::end);
                trace = Some(Box::new(Trace::new(tracing, plan, &mut fingerprint, *observed, used)?));
            }
            (ran.map_err(|err| traced(err.into(), &trace))?, Observation::Isolated)
        }
        Isolation::None => (sandbox::run_plain(&spec, &mut tee)?, Observation::Observed),
    };
    if let Some(changed) = fingerprint.changed()? {
        return Err(BuildError::EnvironmentChanged(changed));
    }
    stop.check()?;
    stage(Stage::Outputs);
    let outputs = outputs::outputs(plan, &dir, stop).map_err(|err| traced(err, &trace))?;
    let environment_holds = fingerprint.holds(&outputs::contents(&outputs))?;
    let (environment, environment_read) = (fingerprint.digest(), fingerprint.counts());
    let environment_listing = fingerprint.into_listing();
    let log = (size, hasher.finish());
    Ok(Built {
        outputs,
        environment,
        environment_listing,
        environment_holds,
        environment_read,
        observation,
        processors: spec.limits.processors.filter(|_| observation == Observation::Isolated),
        ran,
        log,
        opaque,
        trace,
        work,
    })
}

/// A failure with what was observed on the way to it.
fn traced(why: BuildError, trace: &Option<Box<Trace>>) -> BuildError {
    match trace {
        Some(trace) => BuildError::Traced { why: Box::new(why), trace: trace.clone() },
        None => why,
    }
}

/// A directory for one build, gone with this value.
struct WorkDir(PathBuf);

impl WorkDir {
    fn new(scratch: &Path) -> Result<WorkDir, BuildError> {
        let fail = |path: &Path, err| BuildError::Fs(crate::fs::FsError::io("create", path, err));
        let name = crate::fs::random_name().map_err(|err| fail(scratch, err))?;
        let path = scratch.join(format!("countersign-{name}"));
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(|err| fail(&path, err))?;
        let work = WorkDir(path);
        let build = work.build_dir();
        builder.create(&build).map_err(|err| fail(&build, err))?;
        Ok(work)
    }

    fn build_dir(&self) -> PathBuf {
        self.0.join("build")
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // What cannot be removed stays; there is nobody left to tell.
        let _ = source::remove_tree(&self.0);
    }
}
