//! A place to try type calls by hand: the tree and the environment of a manifest, without a target.
//!
//! Objects are defined there, and nothing is run. Used by `cdist shell`.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    config::{
        declare::conf_dirs,
        engine::Engine,
        error::ConfigError,
        log::{Level, LogSink},
        names::HostNames,
        request::{Manifest, Names, Run, host_dir},
        stage::Stage,
    },
    connector::Local,
    host::OwnDir,
};

/// What `$__target_host` and the names that are derived from it say.
pub const HOST: &str = "cdist-shell-no-target-host";
/// What `$__cdist_manifest` says; objects have it as their source.
const MANIFEST: &str = "cdist shell";
/// What there is only with a target.
const OF_A_TARGET: [&str; 2] = ["__remote_exec", "__remote_copy"];

/// The tree of a run that never starts. Dropping it removes the tree.
#[derive(Debug)]
pub struct Session {
    environment: Vec<(OsString, OsString)>,
    tree: PathBuf,
    _dir: OwnDir,
}

impl Session {
    /// Merges the configuration directories, of which the last one wins, into a temporary tree.
    ///
    /// `program` is what type names lead to: it calls [`crate::config::emulator::main`] when its name begins with `__`.
    /// `level` and `colored` are for the log lines of type calls.
    ///
    /// # Errors
    ///
    /// The configuration cannot be read, or the tree cannot be written.
    pub fn open(
        conf_dirs: Vec<PathBuf>,
        program: &Path,
        level: Level,
        colored: bool,
        log: Arc<dyn LogSink>,
    ) -> Result<Self, ConfigError> {
        let connector = Arc::new(Local::new());
        let mut run = Run::new(HOST, conf_dirs, Manifest::Init, connector, program);
        (run.log, run.log_level, run.colored) = (log, level, colored);
        let names = HostNames { hostname: HOST.to_owned(), fqdn: HOST.to_owned() };
        run.names = Names::Known(names.clone());
        OwnDir::remove_left(&run.temporary);
        let dir = OwnDir::make(&run.temporary)
            .map_err(ConfigError::io(format!("making a directory in {}", run.temporary.display())))?;
        let stage = Stage::create(dir.path().join(host_dir(HOST)).join("data"), run.remote_dir.clone())?;
        conf_dirs::merge(&run.conf_dirs, &stage, run.log.as_ref())?;
        stage.link_emulator(&run.cdist_exe)?;
        let engine = Engine::new(run, stage, names, dir.path().to_owned())?;
        let mut own = engine.type_call_variables(Path::new(MANIFEST));
        // There are no results to read; the scripts may be of interest.
        own.push(("__explorer", engine.stage.conf("explorer").into()));
        let mut environment = engine.local_environment(own);
        environment.retain(|(key, _)| !OF_A_TARGET.iter().any(|name| key == name));
        Ok(Self { environment, tree: engine.stage.out.clone(), _dir: dir })
    }

    /// The whole environment of the shell: with type names in `PATH`.
    pub fn environment(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.environment.iter().map(|(key, value)| (key.as_os_str(), value.as_os_str()))
    }

    /// `$__global`: where objects are written.
    pub fn tree(&self) -> &Path {
        &self.tree
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::log::TracingLog;

    #[test]
    fn the_tree_is_there_until_the_end() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("conf/type/__t")).unwrap();
        let dirs = vec![dir.path().join("conf")];
        let program = Path::new("/proc/none/cdist");
        let session = Session::open(dirs, program, Level::Info, false, Arc::new(TracingLog)).unwrap();
        let tree = session.tree().to_owned();
        assert_eq!(fs::read_link(tree.join("bin/__t")).unwrap(), Path::new("/proc/none/cdist"));
        let value = |name: &str| {
            session.environment().find(|(key, _)| *key == name).map(|(_, v)| v.to_str().unwrap().to_owned())
        };
        assert_eq!(value("__cdist_manifest").unwrap(), "cdist shell");
        assert_eq!(value("__target_fqdn").unwrap(), HOST);
        assert_eq!(value("__global").unwrap(), tree.to_str().unwrap());
        assert_eq!(value("__explorer").unwrap(), tree.join("conf/explorer").to_str().unwrap());
        assert!(value("PATH").unwrap().starts_with(tree.join("bin").to_str().unwrap()));
        assert_eq!((value("__remote_exec"), value("__messages_in")), (None, None));
        drop(session);
        assert!(!tree.exists());
    }
}
