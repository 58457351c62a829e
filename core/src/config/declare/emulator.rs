//! The program under a type's name: a type call in a manifest.
//!
//! `bin/<type>` in a run's directory leads to the `cdist` program, which sees from `argv[0]` that it is a type.
//! A manifest may call hundreds of types, so this is plain blocking code without runtime, logger or
//! command line library, and everything it learns comes from the environment and a few small files.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs, io,
    io::{IsTerminal, Read, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{
    emulator_args::{self, ArgsError},
    object::{self, IdError, ObjectName},
    parameters,
    relations::{self, Relations},
    types::{Parameter, Type, lines_of},
};
use crate::printable;

/// More than any configuration nests on purpose.
const DEPTH_MAX: usize = 100;

/// Why a type call fails. The text goes to the manifest's standard error.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// Called by hand.
    #[error("Emulator requires the environment variable {0} to be setup")]
    Environment(&'static str),
    /// The type is in `bin` but not, or no longer, in the configuration.
    #[error("Invalid type '{name}' at '{}' defined at '{}'", .path.display(), .source_path.display())]
    InvalidType {
        /// Its name.
        name: String,
        /// Where it was looked for.
        path: PathBuf,
        /// `path` with symbolic links resolved.
        source_path: PathBuf,
    },
    /// The words of the call.
    #[error("{error}")]
    Usage {
        /// The synopsis of the type.
        usage: String,
        /// Its name.
        type_name: String,
        /// What is wrong.
        error: ArgsError,
    },
    /// The object id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A name in `require`.
    #[error("{object} requires object {requirement}, but {reason}. Defined at {manifest}")]
    Require {
        /// The object of this call.
        object: String,
        /// The name as given.
        requirement: String,
        /// What is wrong with it.
        reason: String,
        /// The manifest.
        manifest: String,
    },
    /// The object exists with other parameters.
    #[error(
        "Object {object} already exists with conflicting parameters:\n{sources}: {old}\n{manifest}: {new}"
    )]
    Conflict {
        /// Its name.
        object: String,
        /// The manifests that have defined it.
        sources: String,
        /// What they gave and this call does not.
        old: String,
        /// This manifest.
        manifest: String,
        /// What this call gives and they did not.
        new: String,
    },
    /// Objects that declare objects, without an end.
    #[error(
        "Object {object} is declared below {DEPTH_MAX} other objects, each by the manifest of the one before: \
         ... -> {chain}; does the manifest of {type_name} declare another {type_name} each time?"
    )]
    TooDeep {
        /// The object of this call.
        object: String,
        /// Its type.
        type_name: String,
        /// The last ones of the chain.
        chain: String,
    },
    /// Standard input.
    #[error("Failed to read from stdin: {0}")]
    Stdin(io::Error),
    /// The object's directory.
    #[error("Error creating directories for cdist object: {}: {source}", .path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Any other file of the run.
    #[error("writing {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl EmulatorError {
    fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}

/// True if the program was started as a type: the last part of `argv[0]` begins with `__`.
pub fn is_type_call(argv0: &OsStr) -> bool {
    base_name(argv0).as_bytes().starts_with(b"__")
}

fn base_name(path: &OsStr) -> &OsStr {
    Path::new(path).file_name().unwrap_or(path)
}

/// Runs a type call from this process's arguments, environment and standard input.
///
/// Prints the error, if there is one, and returns the exit status: 2 for words that the type does not take,
/// 1 for anything else.
pub fn main() -> ExitCode {
    let mut args = env::args_os();
    let argv0 = args.next().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    let error = match Call::from_environment(base_name(&argv0)).and_then(|call| call.run(&args)) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    let (text, status) = match &error {
        EmulatorError::Usage { usage, type_name, error } => {
            (format!("{usage}\n{type_name}: error: {error}\n"), 2)
        }
        EmulatorError::Require { .. } => {
            let host = env::var_os("__target_host").unwrap_or_default();
            (format!("ERROR: {}: {error}\n", host.to_string_lossy()), 1)
        }
        _ => (format!("ERROR: cdist: {error}\n"), 1),
    };
    // With standard error closed there is no place to report it.
    let _ = io::stderr().write_all(printable::lines(text).as_bytes());
    ExitCode::from(status)
}

/// One type call.
struct Call {
    type_name: OsString,
    /// The run's directory.
    global: PathBuf,
    /// The merged `type` directory.
    types: PathBuf,
    manifest: OsString,
    marker: OsString,
    parent: Option<ObjectName>,
    require: Vec<u8>,
    /// `CDIST_OVERRIDE` is there, even if it is empty.
    replaces: bool,
    /// `CDIST_ORDER_DEPENDENCY` is there, even if it is empty.
    ordered: bool,
}

impl Call {
    fn from_environment(type_name: &OsStr) -> Result<Self, EmulatorError> {
        let needed = |name: &'static str| env::var_os(name).ok_or(EmulatorError::Environment(name));
        for name in ["__target_host", "__target_hostname", "__target_fqdn"] {
            needed(name)?;
        }
        Ok(Self {
            type_name: type_name.to_owned(),
            global: needed("__global")?.into(),
            types: needed("__cdist_type_base_path")?.into(),
            manifest: needed("__cdist_manifest")?,
            marker: needed("__cdist_object_marker")?,
            parent: env::var_os("__object_name").filter(|n| !n.is_empty()).map(|n| ObjectName::parse(&n)),
            require: env::var_os("require").unwrap_or_default().into_vec(),
            replaces: env::var_os("CDIST_OVERRIDE").is_some(),
            ordered: env::var_os("CDIST_ORDER_DEPENDENCY").is_some(),
        })
    }

    fn run(&self, args: &[OsString]) -> Result<(), EmulatorError> {
        let kind = self.find_type(&self.type_name)?;
        let declared = kind.parameters();
        let singleton = kind.is_singleton();
        let parsed =
            emulator_args::parse(&declared, singleton, args).map_err(|error| EmulatorError::Usage {
                usage: emulator_args::usage(&self.type_name, &declared, singleton),
                type_name: self.type_name.to_string_lossy().into_owned(),
                error,
            })?;
        let name = ObjectName::new(&self.type_name, &parsed.id.unwrap_or_default(), singleton, &self.marker)?;
        let required = self.requirements(&name)?;
        self.check_depth(&name)?;
        // Before the lock: what feeds our standard input may itself be a type call.
        let stdin = read_stdin()?;

        // Files of a run may hold secrets.
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        let lock = self.global.join("emulator.lock");
        let _lock = relations::lock(&lock).map_err(EmulatorError::write(&lock))?;
        let dir = self.global.join(name.dir(&self.marker));
        self.store(&name, &dir, &declared, &parsed.values)?;
        let relations = Relations {
            global: &self.global,
            marker: &self.marker,
            name: &name,
            dir: &dir,
            parent: self.parent.as_ref(),
        };
        self.record(&relations, &required).map_err(|(path, source)| EmulatorError::Write { path, source })?;
        if let Some(bytes) = stdin {
            let path = dir.join("stdin");
            // A second, equal definition usually comes without input; it must not wipe what the first one had.
            if !bytes.is_empty() || !path.exists() {
                fs::write(&path, bytes).map_err(EmulatorError::write(&path))?;
            }
        }
        // Last: an object that is in the list is whole.
        relations::append_call(&self.global, &name)
            .map_err(|(path, source)| EmulatorError::Write { path, source })
    }

    fn record(&self, relations: &Relations<'_>, required: &[ObjectName]) -> Result<(), (PathBuf, io::Error)> {
        relations.record_definition(&self.manifest)?;
        let previous = relations.order_context(self.ordered)?;
        relations.require(required)?;
        // An override is no new object: it takes part in the order as what it was.
        if let Some(previous) = previous.filter(|_| !self.replaces) {
            relations.require_unless_there(&previous)?;
        }
        relations.record_parent()
    }

    fn find_type(&self, name: &OsStr) -> Result<Type, EmulatorError> {
        Type::find(&self.types, name).ok_or_else(|| {
            let path = self.types.join(name);
            let source_path = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
            EmulatorError::InvalidType { name: name.to_string_lossy().into_owned(), path, source_path }
        })
    }

    /// The objects in `$require`: separated by blanks, tabs and newlines. Their types must exist, they need not.
    fn requirements(&self, object: &ObjectName) -> Result<Vec<ObjectName>, EmulatorError> {
        let mut all = Vec::new();
        for field in self.require.split(|b| b" \t\n".contains(b)).filter(|f| !f.is_empty()) {
            let field = OsStr::from_bytes(field);
            let failed = |reason: String| EmulatorError::Require {
                object: object.to_string(),
                requirement: field.to_string_lossy().into_owned(),
                reason,
                manifest: self.manifest.to_string_lossy().into_owned(),
            };
            let (type_name, id) = object::split(field);
            let Some(kind) = Type::find(&self.types, type_name) else {
                return Err(failed(format!("type {} does not exist", type_name.to_string_lossy())));
            };
            let name = ObjectName::new(type_name, id, kind.is_singleton(), &self.marker)
                .map_err(|error| failed(error.to_string()))?;
            all.push(name);
        }
        Ok(all)
    }

    /// A type that declares another object of itself would go on until the disk is full.
    fn check_depth(&self, name: &ObjectName) -> Result<(), EmulatorError> {
        let mut chain = vec![name.clone()];
        let mut parent = self.parent.clone();
        while let Some(object) = parent.filter(|object| !chain.contains(object)) {
            let parents = self.global.join(object.dir(&self.marker)).join(relations::PARENTS);
            parent = lines_of(&parents).first().map(|line| ObjectName::parse(line));
            chain.push(object);
            if chain.len() > DEPTH_MAX {
                let last: Vec<String> = chain.iter().take(3).rev().map(ToString::to_string).collect();
                return Err(EmulatorError::TooDeep {
                    object: name.to_string(),
                    type_name: name.type_name().to_string_lossy().into_owned(),
                    chain: last.join(" -> "),
                });
            }
        }
        Ok(())
    }

    /// Creates the object, or compares it with what is there.
    fn store(
        &self,
        name: &ObjectName,
        dir: &Path,
        declared: &[Parameter],
        values: &std::collections::BTreeMap<OsString, parameters::Value>,
    ) -> Result<(), EmulatorError> {
        let new = parameters::with_defaults(declared, values);
        let files = dir.join("parameter");
        if dir.is_dir() && !self.replaces {
            let old = parameters::read(&files).map_err(EmulatorError::write(&files))?;
            if old == new {
                return Ok(());
            }
            let sources = fs::read(dir.join("source")).unwrap_or_default();
            return Err(EmulatorError::Conflict {
                object: name.to_string(),
                sources: String::from_utf8_lossy(&sources).trim_end().replace('\n', " "),
                old: parameters::difference(&old, &new),
                manifest: self.manifest.to_string_lossy().into_owned(),
                new: parameters::difference(&new, &old),
            });
        }
        fs::create_dir_all(&files).map_err(|source| EmulatorError::Create { path: files.clone(), source })?;
        parameters::write(&files, &new).map_err(EmulatorError::write(&files))
    }
}

/// All of standard input; `None` on a terminal, where it would have to be typed.
fn read_stdin() -> Result<Option<Vec<u8>>, EmulatorError> {
    let mut stdin = io::stdin().lock();
    if stdin.is_terminal() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    match stdin.read_to_end(&mut bytes) {
        Ok(_) => Ok(Some(bytes)),
        // Opened for writing only, as after `<&-` and a reopen by another program.
        Err(e) if e.raw_os_error() == Some(nix::errno::Errno::EBADF as i32) => Ok(None),
        Err(e) => Err(EmulatorError::Stdin(e)),
    }
}
