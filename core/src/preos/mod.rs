//! Building a PreOS: a minimal OS that bare machines boot over the network.
//!
//! [`build`] reads as a table of contents. A plugin describes what it wants in a [`Recipe`]; each step is one file:
//!
//! - [`bootstrap`]: fill the root directory, in a directory beside it that is renamed when it is whole
//! - [`configure`]: run the config engine in it, through a chroot
//! - [`seal`]: take out what must not be the same on every machine
//! - [`pxe`]: kernel, [`initramfs`] and boot loader in one directory
//!
//! [`services`] is what a plugin sees of all this.

pub mod archive;
pub mod bootstrap;
pub mod build_log;
pub mod chroot;
pub mod compress;
pub mod configure;
pub mod initramfs;
pub mod kernel;
pub mod keys;
pub mod pxe;
pub mod recipe;
pub mod seal;
pub mod services;

use std::{fs, path::PathBuf, time::Instant};

use cdist_plugin_api::Record;

pub use self::recipe::Recipe;
use self::{build_log::BuildLog, recipe::RecipeError};
use crate::{
    host::{Cancel, CommandError},
    progress::Progress,
};

/// What every step of a build needs besides its part of the recipe.
#[derive(Debug)]
pub struct Environment {
    /// The running cdist program, which the config engine starts as emulator.
    pub cdist_exe: PathBuf,
    /// Conf directories of the config engine, later ones win.
    pub conf_dirs: Vec<PathBuf>,
    /// Where steps tell what they do.
    pub progress: Progress,
    /// Set when the user wants to stop.
    pub cancel: Cancel,
    /// Takes what package managers say.
    pub log: BuildLog,
}

/// Why a PreOS was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The recipe asks for something that cannot be.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// Building needs root's rights.
    #[error("building a PreOS needs root's rights, to mount and to change the root directory; run it as root")]
    NotRoot,
    /// Filling the root directory failed.
    #[error("bootstrapping {}", .target.display())]
    Bootstrap {
        /// The target directory, which is as it was before.
        target: PathBuf,
        /// Why.
        #[source]
        source: bootstrap::BootstrapError,
    },
    /// Configuring failed.
    #[error("configuring {}", .target.display())]
    Configure {
        /// The target directory.
        target: PathBuf,
        /// Why.
        #[source]
        source: configure::ConfigureError,
    },
    /// Taking machine-specific files out failed.
    #[error("preparing {} for booting", .target.display())]
    Seal {
        /// The target directory.
        target: PathBuf,
        /// Why.
        #[source]
        source: seal::SealError,
    },
    /// The user asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl BuildError {
    /// True if it failed because the user asked to stop.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Cancelled => true,
            Self::Bootstrap { source: bootstrap::BootstrapError::Command(error), .. } => {
                matches!(error, CommandError::Cancelled { .. })
            }
            _ => false,
        }
    }
}

/// Builds what `recipe` asks for, step by step, and reports seconds and sizes.
///
/// Everything that can be known to fail is checked before the first step.
///
/// # Errors
///
/// The first step that fails. Each step leaves its result whole or not at all.
pub fn build(recipe: &Recipe, environment: &Environment) -> Result<Record, BuildError> {
    recipe.check()?;
    let start = Instant::now();
    let mut report = Record::new("report", 1);
    if let Some(step) = &recipe.bootstrap {
        bootstrap::run(&recipe.target, step, environment)
            .map_err(|source| BuildError::Bootstrap { target: recipe.target.clone(), source })?;
    }
    if let Some(step) = &recipe.configure {
        configure::run(&recipe.target, step, environment)
            .map_err(|source| BuildError::Configure { target: recipe.target.clone(), source })?;
    }
    if recipe.bootstrap.is_some() || recipe.configure.is_some() {
        seal::run(&recipe.target, environment)
            .map_err(|source| BuildError::Seal { target: recipe.target.clone(), source })?;
    }
    report.push("seconds", format!("{:.3}", start.elapsed().as_secs_f64()));
    Ok(report)
}
