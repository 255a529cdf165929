//! What is to be built: a source that was read, and the order that follows from it and the recipe.

use super::{BuildError, Tracing};
use crate::digest::Wanted;
use crate::environment::View;
use crate::fetched::{self, Item};
use crate::lock::{Lock, Pinned, Roots};
use crate::path::TreePath;
use crate::recipe::{self, Epoch, Recipe, Wants};
use crate::source::Source;
use crate::statement::{BuildOrder, Release, SourceCommitment, SourceIds};
use crate::tree::Tree;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// A source that was read, and what follows from it and the recipe.
pub struct Plan {
    pub(super) recipe: Recipe,
    pub(super) source: Source,
    pub(super) tree: Tree,
    pub(super) pinned: Pinned,
    pub(super) view: View,
    pub(super) furnished: bool,
    pub(super) order: BuildOrder,
    pub(super) epoch: u64,
    pub(super) excluded: Vec<TreePath>,
    pub(super) tracing: Option<Tracing>,
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
    /// What they name, for each of the recipe's `fetch`.
    pub fn follows_source(&self) -> Result<Vec<Vec<Item>>, BuildError> {
        let all = &self.recipe.environment.fetch;
        let paths: Vec<TreePath> = all.iter().flat_map(|fetch| &fetch.from).cloned().collect();
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let mut named = Vec::new();
        let contents = self.source.contents(&self.tree, &paths, fetched::MAX_FILE)?;
        let architecture = self.pinned.image.as_ref().map_or("", |image| image.architecture.as_str());
        for fetch in all {
            let files = fetch.from.iter().map(|path| {
                let bytes = contents.get(path).cloned().ok_or_else(|| fetched::Refused::absent(path))?;
                Ok((path.to_string(), bytes))
            });
            let items = fetched::items(fetch.kind, &files.collect::<Result<Vec<_>, BuildError>>()?, architecture)?;
            fetched::fits(fetch.kind, &items, self.pinned.parts()).map_err(BuildError::NotOfSource)?;
            named.push(items);
        }
        Ok(named)
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
