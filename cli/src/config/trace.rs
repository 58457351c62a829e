//! The file that a profile goes to.

use std::{io::Write, path::PathBuf};

use cdist_core::{
    config::profile::{self, Profile},
    host::atomic::AtomicFile,
};

use crate::terminal::refusal::Refusal;

/// A trace that will be whole or absent.
#[derive(Debug)]
pub(crate) struct Trace {
    file: AtomicFile,
    path: PathBuf,
    profile: Profile,
}

impl Trace {
    /// Finds out whether the file can be written, before anything is done that it would be about.
    pub(crate) fn begin(path: PathBuf) -> Result<Self, Refusal> {
        if path.is_dir() {
            return Err(Refusal(format!("writing the profile {}: it is a directory", path.display())));
        }
        let file = AtomicFile::create(&path, 0o600)
            .map_err(|error| Refusal(format!("writing the profile {}: {error}", path.display())))?;
        Ok(Self { file, path, profile: Profile::recording() })
    }

    /// Takes what the file will hold.
    pub(crate) fn profile(&self) -> Profile {
        self.profile.clone()
    }

    /// Writes all that has ended so far.
    pub(crate) fn end(mut self) -> Result<(), Refusal> {
        let trace = profile::trace(&self.profile.spans());
        let text = format!("{trace}\n");
        self.file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.commit())
            .map_err(|error| Refusal(format!("writing the profile {}: {error}", self.path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdist_core::config::profile::SpanKind;

    #[test]
    fn a_trace_is_whole_or_absent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.json");
        drop(Trace::begin(path.clone()).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let trace = Trace::begin(path.clone()).unwrap();
        drop(trace.profile().begin(SpanKind::Run, "h", || "configuring h".to_owned()));
        assert!(!path.exists());
        trace.end().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["traceEvents"][1]["name"], "configuring h");
        for wrong in [dir.path().to_owned(), dir.path().join("none/trace")] {
            let refusal = Trace::begin(wrong).unwrap_err();
            assert!(refusal.0.starts_with("writing the profile "), "{}", refusal.0);
        }
    }
}
