//! (recipe, environment, source tree) to outputs.
//!
//! The stages are types: [`Plan`] is a source that was read and an order that follows from it; [`Built`] is what one run of the plan was
//! seen to make. There is no other way to either, and neither holds a key, a policy or an expected output.

use crate::digest::{Sha256, Sha256Hasher, TreeDigest, Wanted};
use crate::environment::{Cache, Counts, Fingerprint, FingerprintError, View};
use crate::fetched;
use crate::lock::{Kind, Lock, LockError, Pinned, RootRefused, Roots};
use crate::path::TreePath;
use crate::recipe::{self, Epoch, Recipe, Wants};
use crate::sandbox::{self, Ran, SandboxError};
use crate::scan::ScanError;
pub use crate::source::Special;
use crate::source::{self, Opaque, Source, SourceError};
use crate::statement::{BuildOrder, Control, Observation, Release, SourceCommitment, SourceIds};
use crate::stop::{Interrupted, Stop};
use crate::tree::{Tree, TreeError};
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use trace::SourceWatch;

mod outputs;
mod trace;

pub use outputs::{CopyOf, OutputCopy, copies, copies_among, outputs};
pub use trace::{By, EnvironmentTrace, FileRead, SourceTrace, SourceUse, Trace, Tracing};

/// A build that did not come to outputs.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file or directory could not be read.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// A host root that no build may have.
    #[error(transparent)]
    Root(#[from] RootRefused),
    /// A lock that is none.
    #[error("lock: {0}")]
    Lock(#[from] LockError),
    /// A lock of another environment than the recipe's.
    #[error("the lock is not of what the recipe asks for: {0}")]
    Unfit(String),
    /// A lock file of the source's dependencies that is not to be had, or refused.
    #[error(transparent)]
    Dependencies(#[from] fetched::Refused),
    /// What the source depends on is not what is locked.
    #[error("the lock is not of what the source depends on: {0}")]
    NotOfSource(String),
    /// The environment could not be read.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// The source could not be given its git id.
    #[error(transparent)]
    Git(#[from] crate::git::GitError),
    /// The sandbox was not to be had, or a step failed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// `source-date-epoch = "git"` and no commit.
    #[error("cannot read the commit time: {0}")]
    CommitTime(crate::repository::RepositoryError),
    /// A file could not be written.
    #[error(transparent)]
    Fs(#[from] crate::fs::FsError),
    /// Outputs that are not a tree.
    #[error("outputs: {0}")]
    Outputs(TreeError),
    /// Outputs that cannot be read as a tree: a FIFO, more than there may be.
    #[error("outputs: {0}")]
    OutputScan(ScanError),
    /// An output is in the source already: the build could leave it as it is.
    #[error("{0} is an output and is in the source already")]
    Stale(TreePath),
    /// A pattern of `outputs` matches nothing.
    #[error("the build made nothing that matches {pattern:?}")]
    NoOutput {
        /// The pattern.
        pattern: String,
        /// Files that the build did make, some of them.
        made: Vec<TreePath>,
    },
    /// Outputs without a file: links name bytes, and what they name is not looked at.
    #[error("no output is a file: {0} is a symbolic link, which is not followed")]
    OnlyLinks(TreePath),
    /// A socket below a root: whoever listens there could be talked to from inside.
    #[error("there is a socket below the roots: /{0}")]
    Socket(TreePath),
    /// The image was not unpacked before the run: a defect of the caller.
    #[error("the environment's image is not there")]
    NoImage,
    /// Without the sandbox the steps would run in this machine's own file system.
    #[error("the environment is an image, which a build without the sandbox is not in")]
    NotInImage,
    /// What is unpacked is not what the lock says.
    #[error("the image that is unpacked in {} is not the locked one: sha256:{found}, locked is sha256:{locked}", base.display())]
    Image {
        /// Where.
        base: PathBuf,
        /// Digest of what is there.
        found: TreeDigest,
        /// Digest in the lock.
        locked: TreeDigest,
    },
    /// It was asked to end; nothing of it is left.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The environment changed while the build ran.
    #[error("the environment changed during the build: {}", .0.display())]
    EnvironmentChanged(PathBuf),
    /// The steps ran, were observed, and came to nothing.
    #[error("{why}")]
    Traced {
        /// Why.
        why: Box<BuildError>,
        /// What was observed.
        trace: Box<Trace>,
    },
    /// Without the sandbox nothing is observed.
    #[error("a build without the sandbox cannot be traced")]
    Untraceable,
    /// A signed order with a source epoch that no clock has.
    #[error("SOURCE_DATE_EPOCH {0} is out of range")]
    Epoch(u64),
}

/// A source that was read, and what follows from it and the recipe.
pub struct Plan {
    recipe: Recipe,
    source: Source,
    tree: Tree,
    pinned: Pinned,
    view: View,
    furnished: bool,
    order: BuildOrder,
    epoch: u64,
    excluded: Vec<TreePath>,
    tracing: Option<Tracing>,
}

/// Parts of the release identity that are not in the recipe, or shall differ from it.
#[derive(Clone, Debug, Default)]
pub struct ReleaseFlags {
    /// Channel.
    pub channel: Option<crate::statement::Word>,
    /// Target.
    pub target: Option<crate::statement::Word>,
    /// Sequence number.
    pub sequence: Option<u64>,
    /// Payload digest of the release before.
    pub previous: Option<crate::digest::PayloadDigest>,
}

impl Plan {
    /// Reads the source for a first build. `target` is what the machine is, where neither flag nor recipe says it; `locked` what a lock file
    /// pins the environment to, for a recipe that [needs one](recipe::Environment::needs_lock).
    pub fn new(
        recipe: Recipe,
        source: Source,
        flags: ReleaseFlags,
        target: crate::statement::Word,
        locked: Option<Pinned>,
    ) -> Result<Plan, BuildError> {
        let epoch = match recipe.epoch {
            Epoch::Fixed(epoch) => epoch,
            Epoch::Git => source.commit_time().map_err(BuildError::CommitTime)?,
        };
        let pinned = match (locked, &recipe.environment.wants) {
            (Some(pinned), _) => pinned,
            (None, Wants::Host { default_roots, roots }) => {
                Pinned::host(Roots::new(*default_roots, roots.iter().map(PathBuf::as_path))?)
            }
            (None, _) => return Err(BuildError::NoImage),
        };
        recipe.environment.fits(&pinned).map_err(BuildError::Unfit)?;
        let lock = Lock { epoch, pinned };
        let release = Release {
            product: recipe.name.clone(),
            version: recipe.version.clone(),
            channel: flags.channel.unwrap_or_else(|| recipe.channel.clone()),
            target: flags.target.or_else(|| recipe.target.clone()).unwrap_or(target),
            sequence: flags.sequence.or(recipe.sequence),
            previous: flags.previous.or(recipe.previous),
        };
        let text = lock.to_string();
        Plan::read(recipe, source, lock, text, release)
    }

    /// Reads the source for a signed order: recipe, lock and release identity are the signed ones. The caller compares
    /// [`Plan::order`] with the signed order before anything runs.
    pub fn for_order(recipe: Recipe, source: Source, order: &BuildOrder) -> Result<Plan, BuildError> {
        let lock = Lock::parse(&order.lock)?;
        Plan::read(recipe, source, lock, order.lock.clone(), order.release.clone())
    }

    fn read(
        recipe: Recipe,
        source: Source,
        Lock { epoch, pinned }: Lock,
        lock: String,
        release: Release,
    ) -> Result<Plan, BuildError> {
        i64::try_from(epoch).map_err(|_| BuildError::Epoch(epoch))?;
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let scanned = source.scan(Wanted::GIT, &|path, _| recipe.excludes(path), threads, None)?;
        let tree = scanned.tree;
        let order = BuildOrder {
            source: SourceCommitment::Public {
                listing: tree.digest(),
                ids: SourceIds {
                    git_tree: Some(crate::git::tree_id(&tree)?),
                    git_tree_sha256: Some(crate::git::tree_id_sha256(&tree)?),
                    swhid: Some(crate::git::swhid(&tree)?),
                },
            },
            recipe: recipe.text.clone(),
            release,
            lock,
        };
        let (view, furnished) = (View::host(&pinned.roots), pinned.image.is_none());
        Ok(Plan {
            recipe,
            source,
            tree,
            pinned,
            view,
            furnished,
            order,
            epoch,
            excluded: scanned.excluded,
            tracing: None,
        })
    }

    /// What the environment is pinned to.
    pub fn pinned(&self) -> &Pinned {
        &self.pinned
    }

    /// What the recipe asks for.
    pub fn environment(&self) -> &recipe::Environment {
        &self.recipe.environment
    }

    /// Gives it the image that its lock names, unpacked.
    pub fn furnish(&mut self, image: View) {
        self.view = View::host(&self.pinned.roots).and(image);
        self.furnished = true;
    }

    /// Whether what is locked of the source's dependencies is what the lock files in the source name. Every run asks, before anything else.
    pub fn follows_source(&self) -> Result<(), BuildError> {
        let all = &self.recipe.environment.fetch;
        let paths: Vec<TreePath> = all.iter().flat_map(|fetch| &fetch.from).cloned().collect();
        if paths.is_empty() {
            return Ok(());
        }
        let contents = self.source.contents(&self.tree, &paths, fetched::MAX_FILE)?;
        let architecture = self.pinned.image.as_ref().map_or("", |image| image.architecture.as_str());
        for fetch in all {
            let files = fetch.from.iter().map(|path| {
                let bytes = contents.get(path).cloned().ok_or_else(|| fetched::Refused::absent(path))?;
                Ok((path.to_string(), bytes))
            });
            let items = fetched::items(fetch.kind, &files.collect::<Result<Vec<_>, BuildError>>()?, architecture)?;
            fetched::fits(fetch.kind, &items, self.pinned.parts()).map_err(BuildError::NotOfSource)?;
        }
        Ok(())
    }

    /// Has the runs observed.
    pub fn trace(&mut self, tracing: Tracing) {
        self.tracing = Some(tracing);
    }

    /// Roots that the recipe names and that are not there: the build does without them.
    pub fn absent_roots(&self) -> impl Iterator<Item = &Path> {
        let roots = match &self.recipe.environment.wants {
            Wants::Host { roots, .. } => roots.as_slice(),
            _ => &[],
        };
        roots.iter().filter(|root| root.symlink_metadata().is_err()).map(PathBuf::as_path)
    }

    /// What is to be built.
    pub fn order(&self) -> &BuildOrder {
        &self.order
    }

    /// The source as it was read.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What is built from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Whether the recipe leaves a path out of the source.
    pub fn excludes(&self, path: &TreePath) -> bool {
        self.recipe.excludes(path)
    }

    /// What was left out of the source, top-most paths only.
    pub fn excluded(&self) -> &[TreePath] {
        &self.excluded
    }

    /// The paths of this machine that the build will see, read-only.
    pub fn roots(&self) -> Vec<PathBuf> {
        self.view.sources()
    }

    /// Whether a path counts as output.
    pub fn is_output(&self, path: &TreePath) -> bool {
        self.recipe.is_output(path)
    }

    /// Refuses a source that holds an output already: a build could leave it as it is.
    pub fn nothing_stale(&self) -> Result<(), BuildError> {
        match self.tree.entries().iter().find(|entry| self.is_output(&entry.path)) {
            Some(stale) => Err(BuildError::Stale(stale.path.clone())),
            None => Ok(()),
        }
    }

    /// Exactly the variables that the steps get.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let mut variables: BTreeMap<String, String> =
            recipe::FIXED.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        variables.insert("SOURCE_DATE_EPOCH".to_owned(), self.epoch.to_string());
        variables.extend(self.recipe.env.clone());
        variables
    }
}

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
