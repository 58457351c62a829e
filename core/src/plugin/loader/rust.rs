//! Plugins in Rust: the root module that `export_preos!` exports.

use std::path::Path;

use abi_stable::{
    library::{LibraryError, lib_header_from_path},
    std_types::{RResult, RStr, RString},
};
use cdist_plugin_api::{Host, PluginError, PreosEntry, PreosModule_Ref};

use super::LoadError;
use crate::plugin::text::PluginText;

/// One PreOS, and the module that it is in.
#[derive(Clone, Copy)]
pub(super) struct Preos {
    module: PreosModule_Ref,
    entry: &'static PreosEntry,
}

/// The PreOS `name` of the loaded library `file`; `None` if it has no such one.
pub(super) fn find(file: &Path, name: &str, text: &PluginText) -> Result<Option<Preos>, LoadError> {
    let layout = |error: LibraryError| LoadError::Layout {
        file: file.to_owned(),
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
        return Err(LoadError::Disagrees { file: file.to_owned() });
    }
    let at = text.preoses.iter().position(|line| line.name() == name);
    let entry = at.and_then(|at| entries.get(at)).filter(|entry| entry.cdist_preos);
    Ok(entry.map(|entry| Preos { module, entry }))
}

impl Preos {
    /// Whether its library answers for the extension `id`.
    pub(super) fn has_extension(self, id: &str) -> bool {
        (self.module.get_extension())(id.into()).is_some()
    }
}

/// Calls a PreOS.
pub(super) fn commandline(preos: Preos, args: &[String], host: &Host) -> Result<i32, PluginError> {
    let args: Vec<RString> = args.iter().map(|arg| RString::from(arg.as_str())).collect();
    match (preos.entry.commandline)(args.as_slice().into(), host) {
        RResult::ROk(status) => Ok(status),
        RResult::RErr(error) => Err(error),
    }
}
