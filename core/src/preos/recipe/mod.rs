//! What a plugin asks for, parsed from the record that crossed the ABI and checked before anything is done.

mod parse;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use cdist_plugin_api::RecordError;

use self::parse::VERSIONS;
use super::{
    boot_dir::BootDirOptions,
    compress::{Compression, ParseCompressionError},
    initramfs::{Exclude, InitramfsOptions},
    keys::{self, KeyError},
    staging::STAGING,
};
use crate::token::{Token, TokenError};

/// A whole build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The name of the PreOS, for messages and the log's name.
    pub name: String,
    /// The root directory.
    pub target: PathBuf,
    /// How to fill it.
    pub bootstrap: Option<Bootstrap>,
    /// How to configure it.
    pub configure: Option<Configure>,
    /// The netboot directory to write.
    pub pxe: Option<Pxe>,
    /// Remove the root directory at the end.
    pub remove_target: bool,
}

/// How to fill the root directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bootstrap {
    /// The suite, `bookworm`.
    pub suite: String,
    /// The archive; `None` leaves it to the bootstrap program.
    pub mirror: Option<String>,
    /// The architecture; `None` is the host's.
    pub arch: Option<String>,
    /// A debootstrap script.
    pub script: Option<String>,
    /// The keyring that signs the archive.
    pub keyring: Option<String>,
    /// Components of the archive.
    pub components: Vec<String>,
    /// Packages to install.
    pub packages: Vec<String>,
    /// Patterns of paths that dpkg does not unpack.
    pub path_exclude: Vec<String>,
    /// Patterns of paths that dpkg unpacks all the same.
    pub path_include: Vec<String>,
    /// A command that fills `@ROOT@` instead of a Debian-like bootstrap program.
    pub command: Vec<String>,
}

/// How to configure the root directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configure {
    /// The text of the initial manifest.
    pub manifest: String,
    /// Files with ssh public keys for root.
    pub key_files: Vec<PathBuf>,
    /// What the trigger runs.
    pub trigger_command: Option<String>,
    /// The URL that the trigger agent calls.
    pub trigger_url: Option<String>,
    /// A file with the token that the agent shows.
    pub trigger_token_file: Option<PathBuf>,
    /// The root password.
    pub root_password: Option<Secret>,
    /// Custom remote-exec command.
    pub remote_exec: Option<String>,
    /// Custom remote-copy command.
    pub remote_copy: Option<String>,
    /// Words of `--cdist-params`.
    pub parameters: Vec<String>,
}

/// The netboot directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pxe {
    /// Where it goes.
    pub dir: PathBuf,
    /// Kernel command line.
    pub kernel_parameters: Vec<String>,
    /// Compression of the initramfs, `zstd|gzip|xz|none[:LEVEL]`.
    pub compress: Option<String>,
    /// Paths, relative to the root, that stay out of the initramfs.
    pub leave_out: Vec<String>,
    /// The group that can read the initramfs.
    pub group: Option<String>,
}

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What is wrong with a recipe.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// Not a record.
    #[error("reading the plugin's recipe")]
    Record(#[source] RecordError),
    /// Another kind or version.
    #[error("the plugin's recipe is a `{kind} {version}`, this cdist reads `recipe {}`; use a newer cdist", VERSIONS.end())]
    Version {
        /// Its kind.
        kind: String,
        /// Its version.
        version: u32,
    },
    /// A key that only a newer cdist knows.
    #[error("the plugin's recipe asks for `{0}`, which this cdist does not know; use a newer cdist")]
    UnknownKey(String),
    /// Something is missing or does not fit together.
    #[error("{0}")]
    Unfit(String),
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The token file.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The target directory cannot be looked at.
    #[error("reading the directory {}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl Recipe {
    /// Checks everything that can be known to fail before the first step.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), RecipeError> {
        let unfit = |text: String| Err(RecipeError::Unfit(text));
        if !self.target.is_absolute() || self.target == Path::new("/") {
            return unfit(format!("the target {} is no absolute path below /", self.target.display()));
        }
        match &self.bootstrap {
            Some(bootstrap) => {
                check_empty(&self.target)?;
                bootstrap.check()?;
            }
            None => check_root(&self.target)?,
        }
        if let Some(configure) = &self.configure {
            configure.check()?;
        }
        if let Some(pxe) = &self.pxe {
            pxe.check(&self.target)?;
        }
        if self.bootstrap.is_none() && self.configure.is_none() && self.pxe.is_none() {
            return unfit(
                "there is nothing to do: ask for a bootstrap, a configuration or a PXE directory".to_owned(),
            );
        }
        Ok(())
    }
}

impl Pxe {
    fn check(&self, target: &Path) -> Result<(), RecipeError> {
        let nested = || {
            RecipeError::Unfit(format!(
                "the PXE directory {} and the target {} lie one within the other; choose another directory",
                self.dir.display(),
                target.display()
            ))
        };
        // The step itself looks again through links; this is for saying so before the bootstrap.
        if self.dir.starts_with(target) || target.starts_with(&self.dir) {
            return Err(nested());
        }
        self.options().map(drop)
    }

    /// The options of the step.
    pub(super) fn options(&self) -> Result<BootDirOptions, RecipeError> {
        let compression = match &self.compress {
            Some(text) => text
                .parse()
                .map_err(|error: ParseCompressionError| RecipeError::Unfit(format!("--compress: {error}")))?,
            None => Compression::default(),
        };
        let mut options = BootDirOptions { group: self.group.clone(), ..BootDirOptions::default() };
        if !self.kernel_parameters.is_empty() {
            options.kernel_params = self.kernel_parameters.clone();
        }
        options.initramfs = InitramfsOptions {
            compression,
            source_date: std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok()),
            exclude: Exclude::new(&self.leave_out),
        };
        Ok(options)
    }
}

/// The target of a bootstrap must be absent or empty.
fn check_empty(target: &Path) -> Result<(), RecipeError> {
    let fail = |source| RecipeError::Directory { path: target.to_owned(), source };
    match fs::read_dir(target) {
        Ok(mut entries) => {
            // A fresh file system has the one; a killed build on a mount point leaves the other, which the next removes.
            let allowed = |entry: &fs::DirEntry| {
                let name = entry.file_name();
                name == "lost+found" || name == STAGING
            };
            match entries.find(|entry| !entry.as_ref().is_ok_and(allowed)) {
                None => Ok(()),
                Some(Err(error)) => Err(fail(error)),
                Some(Ok(_)) => Err(RecipeError::Unfit(format!(
                    "the target {} is not empty; name an absent or empty directory, or leave -b out to go on with it",
                    target.display()
                ))),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(RecipeError::Unfit(format!(
            "the target {} is no directory; name an absent or empty directory",
            target.display()
        ))),
        Err(error) => Err(fail(error)),
    }
}

/// Without a bootstrap the target must be a root file system already.
fn check_root(target: &Path) -> Result<(), RecipeError> {
    if target.join("etc").is_dir() && target.join("usr").is_dir() {
        return Ok(());
    }
    Err(RecipeError::Unfit(format!(
        "the target {} holds no root file system; bootstrap it first with -b",
        target.display()
    )))
}

impl Recipe {
    /// The files that decide what goes into the root directory, with what they are.
    pub(super) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let files = self.bootstrap.iter().flat_map(|step| {
            let named = [("the keyring", &step.keyring), ("the debootstrap script", &step.script)];
            named.into_iter().filter_map(|(what, file)| Some((what, Path::new(file.as_ref()?))))
        });
        // Names without a slash are looked up by the bootstrap program in its own directories.
        files.filter(|(_, file)| file.components().count() > 1)
    }

    /// The files with keys and tokens of people, with what they are.
    pub(super) fn key_files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.configure.iter().flat_map(|step| {
            let keys = step.key_files.iter().map(|file| ("the key file", file.as_path()));
            keys.chain(step.trigger_token_file.iter().map(|file| ("the token file", file.as_path())))
        })
    }
}

impl Bootstrap {
    fn check(&self) -> Result<(), RecipeError> {
        let unfit = |text: &str| Err(RecipeError::Unfit(text.to_owned()));
        if self.command.is_empty() && self.suite.is_empty() {
            return unfit("the plugin's recipe has neither a suite nor a command to bootstrap with");
        }
        if self.script.is_some() && self.mirror.is_none() {
            return unfit("a debootstrap script (-S) needs a mirror too (-m)");
        }
        let files = [("keyring", &self.keyring), ("debootstrap script", &self.script)];
        for (what, file) in files {
            if let Some(file) = file.as_ref().filter(|file| file.contains('/') && !Path::new(file).is_file())
            {
                return unfit(&format!("the {what} {file} is missing"));
            }
        }
        // They become words of another program's command line, which must not take them for options.
        let paths = self.path_exclude.iter().chain(&self.path_include);
        if let Some(path) = paths.into_iter().find(|path| !path.starts_with('/') || path.contains('\n')) {
            return unfit(&format!("the path pattern {path:?} does not begin with /"));
        }
        for word in [&self.suite].into_iter().chain(&self.packages).chain(&self.components).chain(&self.arch)
        {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._+-:/~=".contains(c);
            if word.starts_with('-') || !word.chars().all(plain) {
                return unfit(&format!("{word:?} is no name of a suite, component, package or architecture"));
            }
        }
        Ok(())
    }
}

impl Configure {
    fn check(&self) -> Result<(), RecipeError> {
        keys::read_all(&self.key_files)?;
        for (what, value) in [("trigger command", &self.trigger_command), ("trigger URL", &self.trigger_url)]
        {
            if value.as_ref().is_some_and(|value| value.contains(['\n', '\0'])) {
                return Err(RecipeError::Unfit(format!("the {what} must be one line without NUL bytes")));
            }
        }
        if let Some(url) = self
            .trigger_url
            .as_ref()
            .filter(|url| !url.starts_with("http://") && !url.starts_with("https://"))
        {
            return Err(RecipeError::Unfit(format!(
                "the trigger URL {url:?} begins with neither http:// nor https://"
            )));
        }
        if let Some(file) = &self.trigger_token_file {
            if self.trigger_url.is_none() {
                return Err(RecipeError::Unfit(
                    "a trigger token (--trigger-token-file) needs a trigger URL too (--trigger-url)"
                        .to_owned(),
                ));
            }
            Token::read(file)?;
        }
        if self
            .root_password
            .as_ref()
            .is_some_and(|Secret(text)| text.is_empty() || text.contains(['\n', '\0']))
        {
            return Err(RecipeError::Unfit(
                "the root password must be one line that is not empty".to_owned(),
            ));
        }
        if self.remote_exec.is_some() != self.remote_copy.is_some() {
            return Err(RecipeError::Unfit(
                "a custom remote-exec (-e) needs a remote-copy (-y) too, and the other way round".to_owned(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cdist_plugin_api::Recipe as Asked;

    use super::*;

    #[test]
    fn a_token_is_for_the_agent_and_checked_before_anything_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("root");
        for name in ["etc", "usr"] {
            fs::create_dir_all(target.join(name)).unwrap();
        }
        let file = dir.path().join("token");
        fs::write(&file, "two words\n").unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let asked = Asked::new("debian", target.to_str().unwrap())
            .configure()
            .trigger_token_file(file.to_str().unwrap());
        let error = |asked: &Asked| Recipe::parse(&asked.to_text()).unwrap().check().unwrap_err().to_string();
        assert!(error(&asked).contains("needs a trigger URL"));
        let asked = asked.trigger_url("http://server.example/install/");
        assert!(error(&asked).contains("something else than one token"));
        fs::write(&file, "0123456789abcdef").unwrap();
        Recipe::parse(&asked.to_text()).unwrap().check().unwrap();
    }

    #[test]
    fn a_target_with_files_is_refused_before_anything_is_done() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x"), "").unwrap();
        let target = dir.path().to_str().unwrap();
        let asked = Asked::new("debian", target).bootstrap().suite("bookworm");
        let error = Recipe::parse(&asked.to_text()).unwrap().check().unwrap_err();
        assert!(error.to_string().contains("is not empty"));
        let asked = Asked::new("debian", target).configure();
        let error = Recipe::parse(&asked.to_text()).unwrap().check().unwrap_err();
        assert!(error.to_string().contains("bootstrap it first"));
    }

    #[test]
    fn options_cannot_be_smuggled_into_the_bootstrap_program() {
        let asked = Asked::new("debian", "/proc/none/x").bootstrap().suite("--hook=x");
        let error = Recipe::parse(&asked.to_text()).unwrap().check().unwrap_err();
        assert!(error.to_string().contains("\"--hook=x\" is no name"));
    }
}
