//! A new type to begin with: small, complete, and working as it is.
//!
//! It keeps the file that its object id names, or keeps it away, so that its test has something to look at. Everything
//! in it is there to be replaced.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::check::is_good_name;
use crate::{
    host::atomic::write_tree,
    trust::{self, Untrusted},
};

/// How the new type does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By code of its own for the target, which depends on what an explorer has found.
    Code,
    /// By objects of other types.
    Manifest,
}

impl Form {
    /// The files, with their text.
    fn files(self) -> Vec<(&'static str, &'static str)> {
        let mut files = vec![
            ("man.rst", include_str!("skeleton/man.rst")),
            ("test", include_str!("skeleton/test")),
            ("parameter/optional", "state\n"),
            ("parameter/default/state", "present\n"),
        ];
        match self {
            Self::Code => files.extend([
                ("explorer/state", include_str!("skeleton/explorer-state")),
                ("gencode-remote", include_str!("skeleton/gencode-remote")),
            ]),
            Self::Manifest => files.push(("manifest", include_str!("skeleton/manifest"))),
        }
        files
    }
}

/// Why there is no new type.
#[derive(Debug, thiserror::Error)]
pub enum SkeletonError {
    /// A manifest could not call it.
    #[error(
        "'{}' does not work as the name of a type; take two underscores, then letters, digits and underscores, as in __my_service",
        .0.escape_debug()
    )]
    Name(String),
    /// The type exists already.
    #[error("{} exists; choose another name or directory", .0.display())]
    Exists(PathBuf),
    /// A file of the type cannot be written.
    #[error("writing {}", .path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Others than root could change the type.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
}

/// Makes the type `name` in the configuration directory `conf_dir`, which need not exist, and returns the type's
/// directory. It is there whole or not at all.
///
/// # Errors
///
/// `name` is no name of a type, the type exists already, or its files cannot be written.
pub fn create(conf_dir: &Path, name: &str, form: Form) -> Result<PathBuf, SkeletonError> {
    if !is_good_name(name) {
        return Err(SkeletonError::Name(name.to_owned()));
    }
    let types = conf_dir.join("type");
    let dir = types.join(name);
    if dir.symlink_metadata().is_ok() {
        return Err(SkeletonError::Exists(dir));
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| SkeletonError::Write { path, source }
    };
    trust::place_for_root("the directory of types", &types)?;
    fs::create_dir_all(&types).map_err(failed(&types))?;
    let rule = "=".repeat("cdist-type".len() + name.len() + "(7)".len());
    let text = |text: &str| text.replace("__NAME", name).replace("RULE", &rule);
    let files = form.files().into_iter().map(|(file, template)| (file, text(template)));
    write_tree(&dir, files).map_err(failed(&dir))?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{super::check::check, *};

    #[test]
    fn nothing_is_wrong_with_it() {
        for form in [Form::Code, Form::Manifest] {
            let dir = tempfile::tempdir().unwrap();
            let path = create(&dir.path().join("new"), "__a_rather_long_name", form).unwrap();
            assert_eq!(path, dir.path().join("new/type/__a_rather_long_name"));
            let findings: Vec<String> = check(&path).iter().map(ToString::to_string).collect();
            assert_eq!(findings, [""; 0]);
            assert_eq!(fs::read_dir(dir.path().join("new/type")).unwrap().count(), 1);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o755);
        }
    }

    #[test]
    fn what_exists_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = create(dir.path(), "__t", Form::Code).unwrap();
        fs::write(path.join("man.rst"), "mine").unwrap();
        let error = create(dir.path(), "__t", Form::Manifest).unwrap_err();
        assert_eq!(error.to_string(), format!("{} exists; choose another name or directory", path.display()));
        assert_eq!(fs::read_to_string(path.join("man.rst")).unwrap(), "mine");
    }

    #[test]
    fn bad_names_and_places() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["", "x", "__", "__a/../../b", "__\n"] {
            assert!(matches!(create(dir.path(), name, Form::Code), Err(SkeletonError::Name(_))), "{name:?}");
        }
        fs::write(dir.path().join("file"), "").unwrap();
        let error = create(&dir.path().join("file"), "__t", Form::Code).unwrap_err();
        assert!(matches!(error, SkeletonError::Write { .. }), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
