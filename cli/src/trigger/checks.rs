//! What has to be there when the trigger server starts: else every machine that calls would fail for the same reason.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use cdist_core::config::{ConfigError, Manifest, is_work_dir, without_repetitions};
use nix::unistd::{AccessFlags, access};

use crate::{config::run_maker::RunMaker, terminal::refusal::Refusal};

/// Looks whether runs can begin.
///
/// # Errors
///
/// The first thing that is missing or cannot be used: what, where, what to do.
pub(crate) fn check(maker: &RunMaker) -> Result<(), Refusal> {
    check_manifest(maker)?;
    check_way(maker)?;
    if let Some(dir) = maker.remote_dir()
        && !is_work_dir(&dir)
    {
        let error = ConfigError::RemoteDir(dir);
        return Err(Refusal(format!("{error}; {}", error.hint().unwrap_or_default())));
    }
    if !maker.has_home() {
        let text = "HOME is not set, and the results of runs are kept below it; set it, as with Environment=HOME=/root \
                    in the unit of a service";
        return Err(Refusal(text.to_owned()));
    }
    if let Some(dir) = maker.out_dir()? {
        fs::create_dir_all(&dir).map_err(|error| {
            Refusal(format!(
                "the directory {} cannot be made: {error}; choose another one with -o",
                dir.display()
            ))
        })?;
    }
    Ok(())
}

fn check_manifest(maker: &RunMaker) -> Result<(), Refusal> {
    let path = match maker.manifest() {
        Manifest::Bytes(_) => return Ok(()),
        Manifest::Path(path) => path.clone(),
        Manifest::Init => {
            let dirs = without_repetitions(maker.conf_dirs());
            let files = dirs.iter().rev().map(|dir| dir.join("manifest/init"));
            // A link that leads nowhere stands for the file, too.
            match files.clone().find(|file| file.symlink_metadata().is_ok()) {
                Some(file) => file,
                None => {
                    let files: Vec<String> = files.map(|file| file.display().to_string()).collect();
                    return Err(Refusal(format!(
                        "there is no initial manifest, neither with -i nor as {}; make one of them",
                        files.join(" or ")
                    )));
                }
            }
        }
    };
    readable(&path).map_err(|error| {
        let path = path.display();
        Refusal(format!(
            "the initial manifest {path} cannot be read: {error}; correct it, or name another one with -i"
        ))
    })
}

/// The programs that lead to machines.
fn check_way(maker: &RunMaker) -> Result<(), Refusal> {
    if maker.args().local {
        return Ok(());
    }
    let (exec, copy) = maker.remote_commands();
    for (option, command) in [("--remote-exec", &exec), ("--remote-copy", &copy)] {
        let Some(command) = command else { continue };
        if !command.split_whitespace().next().is_some_and(is_program) {
            return Err(Refusal(format!(
                "'{command}' of {option} cannot be run; it has to begin with a program that is there and executable"
            )));
        }
    }
    let own = [(exec.is_none(), "ssh"), (copy.is_none() && exec.is_some(), "scp")];
    for (_, program) in own.into_iter().filter(|(is_used, _)| *is_used) {
        if !is_program(program) {
            return Err(Refusal(format!(
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
            Refusal(format!(
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
    // Not opened if it is a pipe, which somebody would have to write to.
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
    use cdist_core::config::settings::Settings;

    use super::*;
    use crate::{
        config::{run_args::RunArgs, run_maker::manifest_of},
        layout::Layout,
    };

    /// What is said about these words, in a home with this manifest.
    fn said(words: &str, make: impl FnOnce(&Path)) -> String {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let (home, conf) = (dir.path().join("home"), dir.path().join("conf"));
        let layout = Layout { program: "/x".into(), plugins: "/x".into(), conf, home: Some(home) };
        let words = words.replace("DIR", &dir.path().display().to_string());
        let run = RunArgs::of_words(words.split_whitespace().map(str::to_owned));
        let manifest = manifest_of(&run, &Settings::default());
        let result = check(&RunMaker::new(run, Settings::default(), layout, manifest));
        result
            .err()
            .map(|refusal| refusal.0.replace(&dir.path().display().to_string(), "DIR"))
            .unwrap_or_default()
    }

    fn with_init(dir: &Path) {
        fs::create_dir_all(dir.join("conf/manifest")).unwrap();
        fs::write(dir.join("conf/manifest/init"), "").unwrap();
    }

    #[test]
    fn what_is_missing_is_said_with_its_remedy() {
        let cases = [
            (
                "--local",
                "there is no initial manifest, neither with -i nor as DIR/home/.cdist/manifest/init or \
                 DIR/conf/manifest/init; make one of them",
            ),
            (
                "--local -i DIR/no",
                "the initial manifest DIR/no cannot be read: No such file or directory (os error 2); correct it, or \
                 name another one with -i",
            ),
            (
                "--local -i DIR",
                "the initial manifest DIR cannot be read: is a directory; correct it, or name another one with -i",
            ),
        ];
        for (words, text) in cases {
            assert_eq!(said(words, |_| {}), text);
        }
        let cases = [
            ("--local", ""),
            ("--remote-exec /bin/sh --remote-copy cp", ""),
            (
                "--remote-exec no-such-program --remote-copy cp",
                "'no-such-program' of --remote-exec cannot be run; it has to begin with a program that is there and \
                 executable",
            ),
            (
                "--remote-exec sh --remote-copy DIR/conf",
                "'DIR/conf' of --remote-copy cannot be run; it has to begin with a program that is there and executable",
            ),
            (
                "--local -r /",
                "'/' cannot be the work directory on the target, for it is wiped at each run; it has to begin \
                with / and have a name; name a directory of its \
                 own with -r, such as /var/lib/cdist",
            ),
        ];
        for (words, text) in cases {
            assert_eq!(said(words, with_init), text);
        }
    }

    #[test]
    fn the_manifest_that_would_be_used_is_looked_at() {
        let text = said("--local", |dir| {
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
