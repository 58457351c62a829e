//! What has to be there when the trigger server starts: else every machine that calls would fail for the same reason.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access};

use crate::runs::{Manifest, RunError, RunMaker};

/// Looks whether runs can begin.
///
/// # Errors
///
/// The first file, program or setting that is missing or cannot be used, with the remedy.
pub(super) fn check(maker: &RunMaker) -> Result<(), RunError> {
    check_manifest(maker)?;
    check_way(maker)?;
    maker.check_remote_dir()?;
    if !maker.has_home() {
        let text = "HOME is not set, and the results of runs are kept below it; set it, as with Environment=HOME=/root \
                    in the unit of a service";
        return Err(RunError(text.to_owned()));
    }
    if let Some(dir) = maker.out_dir()? {
        fs::create_dir_all(&dir).map_err(|error| {
            RunError(format!(
                "the directory {} cannot be made: {error}; choose another one with -o",
                dir.display()
            ))
        })?;
    }
    Ok(())
}

fn check_manifest(maker: &RunMaker) -> Result<(), RunError> {
    let path = match maker.manifest() {
        Manifest::Bytes(_) => return Ok(()),
        Manifest::Path(path) => path.clone(),
        Manifest::Init => {
            let dirs = maker.conf_dirs();
            let files = dirs.iter().rev().map(|dir| dir.join("manifest/init"));
            // A link that leads nowhere stands for the file, too.
            match files.clone().find(|file| file.symlink_metadata().is_ok()) {
                Some(file) => file,
                None => {
                    let files: Vec<String> = files.map(|file| file.display().to_string()).collect();
                    return Err(RunError(format!(
                        "there is no initial manifest, neither with -i nor as {}; make one of them",
                        files.join(" or ")
                    )));
                }
            }
        }
    };
    readable(&path).map_err(|error| {
        let path = path.display();
        RunError(format!(
            "the initial manifest {path} cannot be read: {error}; correct it, or name another one with -i"
        ))
    })
}

/// The programs that lead to machines.
fn check_way(maker: &RunMaker) -> Result<(), RunError> {
    if maker.options().local {
        return Ok(());
    }
    let (exec, copy) = maker.remote_commands();
    for (option, command) in [("--remote-exec", &exec), ("--remote-copy", &copy)] {
        let Some(command) = command else { continue };
        if !command.split_whitespace().next().is_some_and(is_program) {
            return Err(RunError(format!(
                "'{command}' of {option} cannot be run; it has to begin with a program that is there and executable"
            )));
        }
    }
    let own = [(exec.is_none(), "ssh"), (copy.is_none() && exec.is_some(), "scp")];
    for (_, program) in own.into_iter().filter(|(is_used, _)| *is_used) {
        if !is_program(program) {
            return Err(RunError(format!(
                "{program} is not there; install the OpenSSH client, or bring both, --remote-exec and --remote-copy"
            )));
        }
    }
    if let Some(file) = maker.ssh_config()
        && exec.is_none()
        && copy.is_none()
    {
        readable(&file).map_err(|error| {
            let file = file.display();
            RunError(format!(
                "the ssh configuration {file} cannot be read: {error}; name another one with --ssh-config"
            ))
        })?;
    }
    Ok(())
}

fn readable(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    // A pipe is not opened: that would wait for a writer.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("no regular file"));
    }
    File::open(path).map(drop)
}

fn is_program(word: &str) -> bool {
    let is_runnable = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    if word.contains('/') {
        return is_runnable(Path::new(word));
    }
    let path: OsString = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|dir: PathBuf| dir.join(word)).any(|file| is_runnable(&file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::settings::Settings,
        runs::{ProgramPaths, RunOptions},
    };

    /// What is said about these options, in a home with this manifest. `DIR` in them is a new directory.
    fn said(options: RunOptions, make: impl FnOnce(&Path)) -> String {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let in_dir = |text: &str| text.replace("DIR", &dir.path().display().to_string());
        let options = RunOptions {
            initial_manifest: options.initial_manifest.map(|path| in_dir(path.to_str().unwrap()).into()),
            remote_copy: options.remote_copy.map(|command| in_dir(&command)),
            ..options
        };
        let (home, conf) = (dir.path().join("home"), dir.path().join("conf"));
        let paths = ProgramPaths { program: "/x".into(), conf, home: Some(home) };
        let settings = Settings::default();
        let manifest = options.manifest(&settings);
        let result = check(&RunMaker::new(options, settings, paths, manifest));
        result
            .err()
            .map(|error| error.0.replace(&dir.path().display().to_string(), "DIR"))
            .unwrap_or_default()
    }

    fn local() -> RunOptions {
        RunOptions { local: true, ..RunOptions::default() }
    }

    fn with_manifest(path: &str) -> RunOptions {
        RunOptions { initial_manifest: Some(path.into()), ..local() }
    }

    fn with_commands(exec: &str, copy: &str) -> RunOptions {
        let (remote_exec, remote_copy) = (Some(exec.to_owned()), Some(copy.to_owned()));
        RunOptions { remote_exec, remote_copy, ..RunOptions::default() }
    }

    fn with_init(dir: &Path) {
        fs::create_dir_all(dir.join("conf/manifest")).unwrap();
        fs::write(dir.join("conf/manifest/init"), "").unwrap();
    }

    #[test]
    fn what_is_missing_is_said_with_its_remedy() {
        let cases = [
            (
                local(),
                "there is no initial manifest, neither with -i nor as DIR/home/.cdist/manifest/init or \
                 DIR/conf/manifest/init; make one of them",
            ),
            (
                with_manifest("DIR/no"),
                "the initial manifest DIR/no cannot be read: No such file or directory (os error 2); correct it, or \
                 name another one with -i",
            ),
            (
                with_manifest("DIR"),
                "the initial manifest DIR cannot be read: is a directory; correct it, or name another one with -i",
            ),
        ];
        for (options, text) in cases {
            assert_eq!(said(options, |_| {}), text);
        }
        let cases = [
            (local(), ""),
            (with_commands("/bin/sh", "cp"), ""),
            (
                with_commands("no-such-program", "cp"),
                "'no-such-program' of --remote-exec cannot be run; it has to begin with a program that is there and \
                 executable",
            ),
            (
                with_commands("sh", "DIR/conf"),
                "'DIR/conf' of --remote-copy cannot be run; it has to begin with a program that is there and executable",
            ),
            (
                RunOptions { remote_dir: Some("/".into()), ..local() },
                "'/' cannot be the work directory on the target, for it is wiped at each run; it has to begin \
                with / and have a name; name a directory of its \
                 own with -r, such as /var/lib/cdist",
            ),
        ];
        for (options, text) in cases {
            assert_eq!(said(options, with_init), text);
        }
    }

    #[test]
    fn the_manifest_that_would_be_used_is_looked_at() {
        let text = said(local(), |dir| {
            with_init(dir);
            fs::create_dir_all(dir.join("home/.cdist/manifest")).unwrap();
            std::os::unix::fs::symlink("/no/such/file", dir.join("home/.cdist/manifest/init")).unwrap();
        });
        assert!(
            text.starts_with("the initial manifest DIR/home/.cdist/manifest/init cannot be read"),
            "{text}"
        );
    }
}
