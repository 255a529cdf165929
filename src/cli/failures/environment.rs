//! Those of environments and the store.

use crate::cli::exit::{Exit, Failure};
use crate::environment::{DependencyError, DepotError, ImageError, MaterialsError, PinError};
use crate::mirrors::MirrorError;
use crate::store::StoreError;

impl From<StoreError> for Failure {
    fn from(err: StoreError) -> Failure {
        let failure = Failure::new(Exit::CouldNotTell, &err);
        match err {
            StoreError::Others(_) => {
                failure.hint("--store DIR names another; `chmod go-w` takes others' rights from this one")
            }
            StoreError::Unlike { .. } => failure.hint("another mirror may have the right one: --mirror NAME=BASE"),
            StoreError::Fs(err) => err.into(),
        }
    }
}

impl From<DepotError> for Failure {
    fn from(err: DepotError) -> Failure {
        let failure =
            Failure::new(if matches!(err, DepotError::Panicked) { Exit::Internal } else { Exit::CouldNotTell }, &err);
        match err {
            DepotError::Store(err) => err.into(),
            DepotError::Interrupted(err) => err.into(),
            DepotError::Fetch { why: MirrorError::Unknown(name), .. } => failure.hint(mirror_hint(&name)),
            DepotError::NoMaterial(_) => failure.hint("`countersign snapshot` collects all of them"),
            _ => failure,
        }
    }
}

impl From<ImageError> for Failure {
    fn from(err: ImageError) -> Failure {
        let failure = Failure::new(Exit::CouldNotTell, &err);
        match err {
            ImageError::Depot(err) => err.into(),
            ImageError::Scan(err) => err.into(),
            ImageError::Damaged(_) => failure.hint("`countersign cache verify` removes what is not as it should be"),
            ImageError::Tree { .. } => failure.hint("the lock was made by another version of this program, or by hand"),
            _ => failure,
        }
    }
}

impl From<MaterialsError> for Failure {
    fn from(err: MaterialsError) -> Failure {
        match err {
            MaterialsError::Depot(err) => err.into(),
            MaterialsError::Store(StoreError::Fs(err)) | MaterialsError::Fs(err) => err.into(),
            MaterialsError::Interrupted(err) => err.into(),
            err => Failure::new(Exit::CouldNotTell, err),
        }
    }
}

impl From<DependencyError> for Failure {
    fn from(err: DependencyError) -> Failure {
        let failure = Failure::new(Exit::CouldNotTell, &err);
        match err {
            DependencyError::Page { why: MirrorError::Unknown(_), mirror: name, .. } => {
                failure.hint(mirror_hint(&name))
            }
            DependencyError::Unlike { .. } => failure.hint("another mirror may have the right one: --mirror NAME=BASE"),
            DependencyError::Elsewhere { .. } => failure
                .hint("--mirror NAME=BASE names a mirror for it: BASE is how its URL begins, NAME is yours to choose"),
            _ => failure,
        }
    }
}

fn mirror_hint(name: &str) -> String {
    format!("--mirror {name}=BASE says where it is; countersign/mirrors.toml in the configuration directory, for good")
}

impl From<PinError> for Failure {
    fn from(err: PinError) -> Failure {
        let failure = Failure::usage(&err);
        match err {
            PinError::Dependency(err) => err.into(),
            PinError::Depot(err) => err.into(),
            PinError::Image(err) => err.into(),
            _ => failure,
        }
    }
}
