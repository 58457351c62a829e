//! From an author's type to an exported library.

use std::{
    io::{ErrorKind, Write},
    panic::{catch_unwind, AssertUnwindSafe},
};

use abi_stable::std_types::{ROption, RResult, RSlice, RString};

use crate::{Extension, Host, PluginError, PreosEntry};

/// A PreOS: what `cdist preos NAME ARGS…` runs.
pub trait PreOs {
    /// The name of the PreOS (`_preos_name`); without it the name of the type in lower case. It is 1 to 64 ASCII letters,
    /// digits, `.`, `_`, `+` or `-`, the first one a letter or digit; another one does not compile.
    const PREOS_NAME: Option<&'static str> = None;

    /// One line that says what it makes, for `cdist preos -h` and `-L`.
    const SUMMARY: &'static str = "";

    /// Runs the command: `args` is what follows the name, untouched. The value is the exit status.
    ///
    /// # Errors
    ///
    /// Any failure; its message is printed once and its exit status becomes that of cdist.
    fn commandline(args: &[String], host: &Host) -> Result<i32, PluginError>;
}

/// The function that crosses the ABI for `T`: a panic ends here as an error.
pub(crate) extern "C" fn commandline<T: PreOs>(
    args: RSlice<'_, RString>,
    host: &Host,
) -> RResult<i32, PluginError> {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let args: Vec<String> = args.iter().map(|arg| arg.as_str().to_owned()).collect();
        T::commandline(&args, host)
    }));
    // This library has a standard library of its own, whose buffer cdist cannot flush.
    let flushed = std::io::stdout().flush();
    match result {
        Ok(Ok(status)) => match flushed {
            // A reader that went away early has read enough.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                RResult::RErr(PluginError::new(format!("writing to standard output: {}", error)))
            }
            _ => RResult::ROk(status),
        },
        Ok(Err(error)) => RResult::RErr(error),
        Err(payload) => {
            let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
                (Some(text), _) => (*text).to_owned(),
                (None, Some(text)) => text.clone(),
                (None, None) => "no message".to_owned(),
            };
            // A payload whose Drop panics must not unwind out of here.
            std::mem::forget(payload);
            RResult::RErr(PluginError {
                exit_code: PluginError::PANICKED,
                message: RString::from(format!("the plugin panicked: {}", message)),
            })
        }
    }
}

/// What [`export_preos!`](crate::export_preos) expands to; no part of the API.
#[doc(hidden)]
pub mod __private {
    use super::{commandline, Extension, PreOs, PreosEntry, ROption};

    pub use abi_stable::{
        library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult},
        prefix_type::PrefixTypeTrait,
        std_types::{RSlice, RStr},
    };

    pub const RUSTC: &str = env!("CDIST_PLUGIN_API_RUSTC");

    pub const API_MINOR: u32 = {
        let digits = env!("CARGO_PKG_VERSION_MINOR").as_bytes();
        let (mut value, mut i) = (0, 0);
        while i < digits.len() {
            value = value * 10 + (digits[i] - b'0') as u32;
            i += 1;
        }
        value
    };

    pub const fn total(parts: &[&str]) -> usize {
        let (mut sum, mut i) = (0, 0);
        while i < parts.len() {
            sum += parts[i].len();
            i += 1;
        }
        sum
    }

    pub const fn concat<const N: usize>(parts: &[&str]) -> [u8; N] {
        let mut bytes = [0; N];
        let (mut at, mut i) = (0, 0);
        while i < parts.len() {
            let part = parts[i].as_bytes();
            let mut j = 0;
            while j < part.len() {
                bytes[at] = part[j];
                at += 1;
                j += 1;
            }
            i += 1;
        }
        bytes
    }

    /// A tab or line end in a summary would make the readable text ambiguous: refused while compiling.
    pub const fn one_line(text: &str) -> &str {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            assert!(bytes[i] >= b' ', "SUMMARY must not hold control characters");
            i += 1;
        }
        text
    }

    /// The name, or nothing. One that cdist would refuse is refused while compiling.
    pub const fn name(name: Option<&'static str>) -> &'static str {
        let text = match name {
            Some(text) => text,
            None => return "",
        };
        let bytes = text.as_bytes();
        assert!(
            !bytes.is_empty() && bytes.len() <= 64 && bytes[0].is_ascii_alphanumeric(),
            "PREOS_NAME must have 1 to 64 characters and begin with a letter or digit"
        );
        let mut i = 0;
        while i < bytes.len() {
            assert!(
                bytes[i].is_ascii_alphanumeric() || matches!(bytes[i], b'.' | b'_' | b'+' | b'-'),
                "PREOS_NAME must hold nothing but letters, digits, '.', '_', '+' and '-'"
            );
            i += 1;
        }
        text
    }

    pub const fn entry<T: PreOs>(type_name: &'static str) -> PreosEntry {
        PreosEntry {
            cdist_preos: true,
            preos_name: match T::PREOS_NAME {
                Some(name) => ROption::RSome(RStr::from_str(name)),
                None => ROption::RNone,
            },
            type_name: RStr::from_str(type_name),
            summary: RStr::from_str(T::SUMMARY),
            commandline: commandline::<T>,
        }
    }

    pub extern "C" fn no_extension(_id: RStr<'_>) -> ROption<Extension> {
        ROption::RNone
    }
}

/// Exports every named type, each of which implements [`PreOs`], from this library.
///
/// Once in a library, at the top level of its crate. `export_preos!(Debian, Ubuntu; extensions = function)` answers
/// for abilities of the plugin that 1.0 did not know.
///
/// A name that cdist would refuse does not compile:
///
/// ```compile_fail
/// use cdist_plugin_api::{export_preos, Host, PluginError, PreOs};
///
/// struct Slash;
///
/// impl PreOs for Slash {
///     const PREOS_NAME: Option<&'static str> = Some("net/bsd");
///     fn commandline(_: &[String], _: &Host) -> Result<i32, PluginError> {
///         Ok(0)
///     }
/// }
///
/// export_preos!(Slash);
/// # fn main() {}
/// ```
///
/// Besides the root module it emits the symbol `_cdist_preos`: text with the names, summaries, API version and
/// compiler, which cdist reads without running any code of the plugin.
#[macro_export]
macro_rules! export_preos {
    ($($preos:ident),+ $(,)?) => {
        $crate::export_preos!($($preos),+; extensions = $crate::__private::no_extension);
    };
    ($($preos:ident),+; extensions = $extensions:expr) => {
        #[allow(unsafe_code, non_upper_case_globals, clippy::all)]
        const _: () = {
            use $crate::__private as private;
            static ENTRIES: &[$crate::PreosEntry] =
                &[$(private::entry::<$preos>(::core::stringify!($preos))),+];
            fn root() -> $crate::PreosModule_Ref {
                private::PrefixTypeTrait::leak_into_prefix($crate::PreosModule {
                    api_minor: private::API_MINOR,
                    built_with: private::RStr::from_str(private::RUSTC),
                    preoses: private::RSlice::from_slice(ENTRIES),
                    get_extension: $extensions,
                })
            }
            extern "C" fn constructor() -> private::RootModuleResult {
                private::__call_root_module_loader(root)
            }
            // The name under which abi_stable looks for a library's header.
            #[no_mangle]
            pub static _1as_0lib_1header_0root_bmodule_bloader: private::LibHeader = unsafe {
                private::LibHeader::from_constructor::<$crate::PreosModule_Ref>(
                    constructor,
                    private::CheckTypeLayout::Yes,
                )
            };
            const PARTS: &[&str] = &[
                "cdist-preos ", $crate::API_VERSION, "\nbuilt-with ", private::RUSTC, "\n",
                $(
                    "preos ",
                    private::name(<$preos as $crate::PreOs>::PREOS_NAME),
                    "\t",
                    ::core::stringify!($preos),
                    "\t",
                    private::one_line(<$preos as $crate::PreOs>::SUMMARY),
                    "\n",
                )+
            ];
            const LENGTH: usize = private::total(PARTS);
            #[no_mangle]
            #[used]
            pub static _cdist_preos: [u8; LENGTH] = private::concat::<LENGTH>(PARTS);
        };
    };
}
