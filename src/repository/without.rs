//! A program without the cargo feature `git` reads no repository.

use super::{Kind, RepositoryError};
use crate::path::TreePath;
use crate::tree::Tree;
use std::convert::Infallible;
use std::path::Path;

/// There is none.
#[derive(Clone, Copy, Debug)]
pub struct Commit(Infallible);

/// There is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Differs {}

pub(crate) struct Found<'a> {
    pub(crate) kind: Kind,
    never: &'a Infallible,
}

impl Found<'_> {
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, String> {
        match *self.never {}
    }
}

impl Differs {
    /// In words.
    pub fn word(self) -> &'static str {
        match self {}
    }
}

impl Commit {
    /// Always an error.
    pub fn head(checkout: &Path) -> Result<Commit, RepositoryError> {
        Err(RepositoryError::NotBuilt(checkout.to_owned()))
    }

    /// Always an error.
    pub fn find(path: &Path, _: &str) -> Result<Commit, RepositoryError> {
        Err(RepositoryError::NotBuilt(path.to_owned()))
    }

    pub(super) fn below(self, _: &TreePath) -> Result<Option<Commit>, RepositoryError> {
        match self.0 {}
    }

    /// The repository.
    pub fn path(&self) -> &Path {
        match self.0 {}
    }

    pub(crate) fn store(&self) -> &Path {
        match self.0 {}
    }

    /// Always an error.
    pub fn bundled(path: &Path, _: &str, _: &Path) -> Result<Commit, RepositoryError> {
        Err(RepositoryError::NotBuilt(path.to_owned()))
    }

    /// Its id, as hex.
    pub fn id(&self) -> String {
        match self.0 {}
    }

    /// Whether the repository names its objects by SHA-256.
    pub fn is_sha256(&self) -> bool {
        match self.0 {}
    }

    /// Committer time, in seconds since 1970.
    pub fn time(&self) -> Result<u64, RepositoryError> {
        match self.0 {}
    }

    pub(crate) fn walk<E: From<RepositoryError>>(
        &self,
        _: &mut dyn FnMut(TreePath, Found<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        match self.0 {}
    }

    /// The bytes of one file of the commit's tree.
    pub fn file(&self, _: &TreePath) -> Result<Option<Vec<u8>>, RepositoryError> {
        match self.0 {}
    }

    /// Every path at which a tree is not that of the commit.
    pub fn differs(
        &self,
        _: &Tree,
        _: &dyn Fn(&TreePath, bool) -> bool,
    ) -> Result<Vec<(TreePath, Differs)>, RepositoryError> {
        match self.0 {}
    }
}
