//! Sending a directory as one archive, for targets where each file costs a round trip.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use super::{engine::Engine, error::ConfigError, quote::posix, settings::Archiving};
use crate::connector::{CopyTo, Input, Output, Process, shown};

/// tar's option for a kind of archive, and the end of its file name.
fn tar_option(kind: Archiving) -> Option<(Option<&'static str>, &'static str)> {
    match kind {
        Archiving::None => None,
        Archiving::Tar => Some((None, ".tar")),
        Archiving::Tgz => Some((Some("-z"), ".tgz")),
        Archiving::Tbz2 => Some((Some("-j"), ".tbz2")),
        Archiving::Txz => Some((Some("-J"), ".txz")),
    }
}

impl Engine {
    /// Sends the entries `names` of `source` to the directory `target`, which exists, as the run says. A single
    /// entry is never worth an archive.
    pub(super) async fn send_entries(
        &self,
        source: &Path,
        names: &[OsString],
        target: &Path,
    ) -> Result<(), ConfigError> {
        match tar_option(self.run.archiving) {
            Some((option, suffix)) if names.len() > 1 => {
                self.send_archive(source, names, target, option, suffix).await
            }
            _ => {
                let sources: Vec<PathBuf> = names.iter().map(|name| source.join(name)).collect();
                self.remote_copy(sources, CopyTo::Dir(target.to_owned())).await
            }
        }
    }

    async fn send_archive(
        &self,
        source: &Path,
        names: &[OsString],
        target: &Path,
        option: Option<&str>,
        suffix: &str,
    ) -> Result<(), ConfigError> {
        let temporary = &self.run.temporary;
        let archive = tempfile::Builder::new()
            .prefix("cdist-")
            .suffix(suffix)
            .tempfile_in(temporary)
            .map_err(ConfigError::io(format!("making an archive in {}", temporary.display())))?
            .into_temp_path();
        self.make_archive(source, names, &archive, option).await?;

        let remote = target.join(archive.file_name().unwrap_or(OsStr::new("archive")));
        self.remote_copy(vec![archive.to_path_buf()], CopyTo::File(remote.clone())).await?;
        let mut words: Vec<OsString> = ["tar", "-x", "-m", "-C"].map(OsString::from).to_vec();
        words.push(posix(target));
        words.extend(option.map(OsString::from));
        words.extend(["-f".into(), posix(&remote)]);
        self.remote_plain(&self.context, &words).await?;
        self.remote_plain(&self.context, &["rm".into(), "-f".into(), posix(&remote)]).await
    }

    async fn make_archive(
        &self,
        source: &Path,
        names: &[OsString],
        archive: &Path,
        option: Option<&str>,
    ) -> Result<(), ConfigError> {
        // -h: entries of the merged configuration are symbolic links.
        let mut argv: Vec<OsString> = ["tar", "-c", "-h"].map(OsString::from).to_vec();
        argv.extend(option.map(OsString::from));
        argv.extend(["-f".into(), archive.into(), "-C".into(), source.into(), "--".into()]);
        argv.extend_from_slice(names);
        let command = shown(&argv);
        let process = Process {
            argv,
            env: self.base.clone(),
            stdin: Input::Null,
            stdout: Output::Null,
            stderr: self.output(&self.stage.out, "stderr", "local")?,
            cancel: self.run.cancel.clone(),
        };
        let done = process.run().await?;
        if done.status.success() { Ok(()) } else { Err(ConfigError::Failed { command, status: done.status }) }
    }
}
