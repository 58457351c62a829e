//! Loading a plugin library and calling into it. This is the unsafe code of this crate, but for one fork in
//! [`supervise`](super::supervise).
//!
//! Runs in the child process only: constructors of the library run here for the first time. Libraries are never
//! unloaded, because nothing says how long a plugin's data is used.
//!
//! - [`rust`]: the root module of `cdist-plugin-api`
//! - [`c`]: the table of `cdist_preos.h`; it is taken where a library has both
#![allow(unsafe_code)]

mod c;
mod rust;

use std::path::{Path, PathBuf};

use cdist_plugin_api::{Host, PluginError};
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
pub struct Plugin(Face);

/// What its library has for cdist to call.
#[derive(Clone, Copy)]
enum Face {
    Rust(rust::Preos),
    C(c::Commandline),
}

impl Plugin {
    /// Loads the library `file` and finds the PreOS `name` in it. `text` is what listing read from the file.
    ///
    /// # Errors
    ///
    /// The library cannot be loaded, or is not what its text says.
    pub fn load(file: &Path, name: &str, text: &PluginText) -> Result<Self, LoadError> {
        // SAFETY: running the library's constructors is what the user asked for; the file was checked for who can
        // write it, and this process exists only to run it. RTLD_NOW, because with lazy binding a missing symbol
        // would end the process in mid-run.
        let library = unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) }
            .map_err(|source| LoadError::Open { file: file.to_owned(), source })?;
        // SAFETY: the address of the symbol, wherever it leads; only `c::entries` follows it.
        let table = unsafe { library.get::<*const c::Entry>(c::TABLE_SYMBOL) }.map(|symbol| *symbol);
        // Never unloaded.
        std::mem::forget(library);

        let face = match table {
            // SAFETY: the symbol is the table of a plugin in C, by the contract of cdist_preos.h.
            Ok(table) => unsafe { c::entries(table, &text.preoses) }
                .ok_or_else(|| LoadError::Disagrees { file: file.to_owned() })?
                .into_iter()
                .zip(&text.preoses)
                .find(|(_, line)| line.name() == name)
                .map(|(commandline, _)| Face::C(commandline)),
            Err(_) => rust::find(file, name, text)?.map(Face::Rust),
        };
        face.map(Plugin).ok_or_else(|| LoadError::Missing { file: file.to_owned(), name: name.to_owned() })
    }

    /// Whether the library has the extension `id`; one in C has none.
    pub fn has_extension(&self, id: &str) -> bool {
        match self.0 {
            Face::Rust(preos) => preos.has_extension(id),
            Face::C(_) => false,
        }
    }

    /// Calls `commandline(args)`.
    ///
    /// # Errors
    ///
    /// The error that the plugin returns; a panic in it becomes such an error.
    pub fn commandline(&self, args: &[String], host: &Host) -> Result<i32, PluginError> {
        match self.0 {
            Face::Rust(preos) => rust::commandline(preos, args, host),
            Face::C(commandline) => c::call(commandline, args, host),
        }
    }
}
