//! Loading a plugin library and calling into it. The only unsafe code of this crate.
//!
//! Runs in the child process only: constructors of the library run here for the first time. Libraries are never
//! unloaded, because nothing says how long a plugin's data is used.
#![allow(unsafe_code)]

use std::path::{Path, PathBuf};

use abi_stable::{
    library::{LibraryError, lib_header_from_path},
    std_types::{RResult, RStr, RString},
};
use cdist_plugin_api::{Host, PluginError, PreosEntry, PreosModule_Ref};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::text::PluginText;

/// Why a library that could be listed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The dynamic linker refuses it: a missing library or symbol.
    #[error("loading {}", .file.display())]
    Open {
        /// The library.
        file: PathBuf,
        /// The dynamic linker's words.
        #[source]
        source: libloading::Error,
    },
    /// It does not have the frozen types of the plugin API.
    #[error(
        "{} ({built_with}) does not fit the plugin API {}.x of this cdist; build it again with cdist-plugin-api {}",
        .file.display(), super::text::API_MAJOR, super::text::API_MAJOR
    )]
    Layout {
        /// The library.
        file: PathBuf,
        /// The plugin's compiler.
        built_with: String,
        /// abi_stable's own words, many lines: for `-vvv` only.
        detail: String,
    },
    /// What it exports is not what its text says.
    #[error("{} exports other PreOSes than its _cdist_preos text names; do not trust it", .file.display())]
    Disagrees {
        /// The library.
        file: PathBuf,
    },
    /// The chosen PreOS is not in it.
    #[error("{} exports no PreOS {name}", .file.display())]
    Missing {
        /// The library.
        file: PathBuf,
        /// The name that was asked for.
        name: String,
    },
}

/// One PreOS of a loaded library.
#[derive(Clone, Copy)]
pub struct Plugin(&'static PreosEntry);

impl Plugin {
    /// Loads the library `file` and finds the PreOS `name` in it. `text` is what listing read from the file.
    ///
    /// # Errors
    ///
    /// The library cannot be loaded, or is not what its text says.
    pub fn load(file: &Path, name: &str, text: &PluginText) -> Result<Self, LoadError> {
        let path = || file.to_owned();
        // SAFETY: running the library's constructors is what the user asked for; the file was checked for who can
        // write it, and this process exists only to run it. RTLD_NOW, because with lazy binding a missing symbol
        // would end the process in mid-run.
        let library = unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) }
            .map_err(|source| LoadError::Open { file: path(), source })?;
        // Never unloaded.
        std::mem::forget(library);

        let layout = |error: LibraryError| LoadError::Layout {
            file: path(),
            built_with: text.built_with.clone(),
            detail: error.to_string(),
        };
        // Not `load_from_file`, which would return the first library for every later file.
        let header = lib_header_from_path(file).map_err(layout)?;
        let module = header.init_root_module::<PreosModule_Ref>().map_err(layout)?;
        let entries = module.preoses().as_slice();

        let agrees = entries.len() == text.preoses.len()
            && entries.iter().zip(&text.preoses).all(|(entry, line)| {
                entry.type_name.as_str() == line.type_name
                    && entry.preos_name.as_ref().map(RStr::as_str).into_option() == line.preos_name.as_deref()
                    && entry.summary.as_str() == line.summary
            });
        if !agrees {
            return Err(LoadError::Disagrees { file: path() });
        }
        let at = text.preoses.iter().position(|line| line.name() == name);
        at.and_then(|at| entries.get(at))
            .filter(|entry| entry.cdist_preos)
            .map(Plugin)
            .ok_or_else(|| LoadError::Missing { file: path(), name: name.to_owned() })
    }

    /// Calls `commandline(args)`.
    ///
    /// # Errors
    ///
    /// What the plugin returns; a panic in it is such an error.
    pub fn commandline(&self, args: &[String], host: &Host) -> Result<i32, PluginError> {
        let args: Vec<RString> = args.iter().map(|arg| RString::from(arg.as_str())).collect();
        match (self.0.commandline)(args.as_slice().into(), host) {
            RResult::ROk(status) => Ok(status),
            RResult::RErr(error) => Err(error),
        }
    }
}
