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
pub mod boot_dir;
pub mod bootstrap;
pub mod build_log;
pub mod chroot;
pub mod compress;
pub mod configure;
pub mod initramfs;
pub mod kernel;
pub mod keys;
pub mod recipe;
pub mod seal;
pub mod services;
pub mod staging;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use cdist_plugin_api::Record;
use nix::{
    sys::statvfs::{FsFlags, statvfs},
    unistd::Uid,
};

pub use self::recipe::Recipe;
use self::{build_log::BuildLog, initramfs::InitramfsError, recipe::RecipeError};
use crate::{
    host::{
        Cancel, CommandError,
        remove::{RemoveError, remove_tree},
    },
    progress::Progress,
    trust::{self, Untrusted},
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
    #[error(
        "building a PreOS needs root's rights, to mount and to change the root directory; run it as root"
    )]
    NotRoot,
    /// Others could change what root builds, or what goes into it.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// Programs or devices of the root directory would not work.
    #[error(
        "the file system of the target {} is mounted with {option}, and a root directory needs programs and devices; \
         choose another target, or mount it anew with -o remount,exec,dev", .target.display()
    )]
    Mount {
        /// The target directory.
        target: PathBuf,
        /// The option that is in the way.
        option: &'static str,
    },
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
    /// The netboot directory was not written.
    #[error("writing the netboot directory")]
    Pxe(#[from] boot_dir::BootDirError),
    /// The root directory could not be removed at the end.
    #[error("removing the root directory")]
    Remove(#[from] RemoveError),
}

impl BuildError {
    /// True if it failed because the user asked to stop.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Bootstrap { source: bootstrap::BootstrapError::Command(error), .. } => {
                matches!(error, CommandError::Cancelled { .. })
            }
            Self::Configure { source, .. } => matches!(source, configure::ConfigureError::Cancelled),
            Self::Pxe(boot_dir::BootDirError::Initramfs(InitramfsError::Cancelled)) => true,
            Self::Remove(RemoveError::Cancelled(_)) => true,
            _ => false,
        }
    }
}

/// Checks everything that can be known to fail before the first step: the options, then the privilege.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn check(recipe: &Recipe) -> Result<(), BuildError> {
    recipe.check()?;
    if !Uid::effective().is_root() {
        return Err(BuildError::NotRoot);
    }
    trust::place_for_root("the target", &recipe.target)?;
    if let Some(pxe) = &recipe.pxe {
        trust::way_for_root("the PXE directory", &pxe.dir)?;
    }
    for (what, file) in recipe.files() {
        trust::way_for_root(what, file)?;
    }
    for (what, file) in recipe.key_files() {
        trust::owners_way_for_root(what, file)?;
    }
    if recipe.bootstrap.is_some() || recipe.configure.is_some() {
        check_mount(&recipe.target)?;
    }
    Ok(())
}

/// A root directory has programs and devices, and both have to work while it is built.
fn check_mount(target: &Path) -> Result<(), BuildError> {
    let Some(there) = target.ancestors().find(|path| path.is_dir()) else { return Ok(()) };
    let Ok(system) = statvfs(there) else { return Ok(()) };
    let flags = [(FsFlags::ST_NOEXEC, "noexec"), (FsFlags::ST_NODEV, "nodev")];
    match flags.into_iter().find(|(flag, _)| system.flags().contains(*flag)) {
        Some((_, option)) => Err(BuildError::Mount { target: target.to_owned(), option }),
        None => Ok(()),
    }
}

/// Builds what `recipe` asks for, step by step, and reports seconds and sizes.
///
/// [`check`] has found nothing wrong with it: mistakes are told before the first step.
///
/// # Errors
///
/// The first step that fails. Each step leaves its result whole or not at all.
pub fn build(recipe: &Recipe, environment: &Environment) -> Result<Record, BuildError> {
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
        seal::run(&recipe.target)
            .map_err(|source| BuildError::Seal { target: recipe.target.clone(), source })?;
    }
    if let Some(step) = &recipe.pxe {
        let options = step.options()?;
        let summary = boot_dir::write_boot_dir(
            &recipe.target,
            &step.dir,
            &options,
            &environment.progress,
            &environment.cancel,
        )?;
        report.push("pxe.kernel", summary.kernel);
        report.push("pxe.kernel-bytes", summary.kernel_size.to_string());
        report.push("pxe.initramfs-bytes", summary.initramfs_size.to_string());
        report.push("pxe.archive-bytes", summary.packed.archive_size.to_string());
    }
    if recipe.remove_target {
        let step = environment.progress.step("remove the root directory");
        remove_tree(&recipe.target, &environment.cancel)?;
        step.finish("");
    }
    report.push("seconds", format!("{:.3}", start.elapsed().as_secs_f64()));
    Ok(report)
}
