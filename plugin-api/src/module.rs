//! The root export of a plugin library.
//!
//! FROZEN for all of 1.x: no field may be added to, removed from or moved in these types.

use std::fmt;

use abi_stable::{
    declare_root_module_statics,
    library::RootModule,
    package_version_strings,
    sabi_types::VersionStrings,
    std_types::{ROption, RResult, RSlice, RStr, RString},
    StableAbi,
};

use crate::{Extension, Host};

/// The root export: what the loader finds in a plugin library.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PreosModule_Ref)))]
#[sabi(missing_field(panic))]
pub struct PreosModule {
    /// The minor version of the API that the plugin was built with.
    pub api_minor: u32,
    /// The compiler that built it, as `rustc --version` says.
    pub built_with: RStr<'static>,
    /// The PreOSes in this library, at least one.
    pub preoses: RSlice<'static, PreosEntry>,
    /// Abilities of the plugin that 1.0 did not know, by identifier.
    #[sabi(last_prefix_field)]
    pub get_extension: extern "C" fn(id: RStr<'_>) -> ROption<Extension>,
}

impl RootModule for PreosModule_Ref {
    declare_root_module_statics! {PreosModule_Ref}
    const BASE_NAME: &'static str = "cdist_preos";
    const NAME: &'static str = "cdist PreOS plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// One PreOS of a library.
#[repr(C)]
#[derive(StableAbi)]
pub struct PreosEntry {
    /// The mark `_cdist_preos`; an entry without it is not registered.
    pub cdist_preos: bool,
    /// `_preos_name`; without it the PreOS is registered under [`type_name`](Self::type_name) in lower case.
    pub preos_name: ROption<RStr<'static>>,
    /// The name of the implementing type.
    pub type_name: RStr<'static>,
    /// One line that says what it makes.
    pub summary: RStr<'static>,
    /// Runs `cdist preos NAME ARGS…`: the arguments after NAME, and the host. The value is the exit status.
    pub commandline: extern "C" fn(args: RSlice<'_, RString>, host: &Host) -> RResult<i32, PluginError>,
}

/// Why a plugin or a service of the host did not do its work.
///
/// Every error converts into it, so that `?` works; the messages of an error's sources are appended.
#[repr(C)]
#[derive(StableAbi, Debug, Clone, PartialEq, Eq)]
pub struct PluginError {
    /// The exit status that `cdist` ends with; 2 is for wrong usage, 1 for the rest.
    pub exit_code: i32,
    /// One sentence: what, where, what to do.
    pub message: RString,
}

impl PluginError {
    /// The exit code of the error that a panic in a plugin becomes; cdist then says where the plugin comes from.
    pub const PANICKED: i32 = 101;

    /// A failure, exit status 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { exit_code: 1, message: RString::from(message.into()) }
    }

    /// Wrong usage, exit status 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit_code: 2, message: RString::from(message.into()) }
    }

    /// The message.
    pub fn message(&self) -> &str {
        self.message.as_str()
    }
}

// Not `Error` too: the conversion below would then be one of a type into itself.
impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl<E: std::error::Error> From<E> for PluginError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::new(message)
    }
}
