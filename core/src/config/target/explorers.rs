//! Explorers: scripts that look at the target, and whose output scripts on this machine read.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::batch::{Batch, BatchStep, Replies, contents};
use crate::config::{
    declare::{object::ObjectName, types::visible_entries},
    engine::Engine,
    entity::Entity,
    error::{ConfigError, wrap},
    schedule::scheduler::concurrently,
    stage::end_with_newline,
};

impl Engine {
    /// Makes the work directory on the target, sends all global explorers and runs them; with `jobs` in as many
    /// calls at the same time.
    pub(in crate::config) async fn run_global_explorers(self: Arc<Self>) -> Result<(), ConfigError> {
        let dir = self.stage.conf("explorer");
        let names = visible_entries(&dir).map_err(ConfigError::io(format!("reading {}", dir.display())))?;
        let target = self.stage.remote_explorers();
        let files = contents(&dir, &names, &target)?;
        let forked: Vec<bool> = files.iter().map(|(_, text)| self.is_forked(text)).collect();
        let explorers: Vec<(OsString, bool)> = names.iter().cloned().zip(forked).collect();
        let mut first = Batch {
            dirs: vec![target.clone()],
            files,
            executable: if names.is_empty() { Vec::new() } else { vec![target] },
            steps: Vec::new(),
        };
        let jobs = self.run.jobs.map_or(1, NonZeroUsize::get);
        if jobs == 1 {
            first.steps = explorers.iter().map(|explorer| self.global_explorer(explorer)).collect();
            let replies = self.run_first_batch(&first).await?;
            return self.take_global_explorers(&explorers, &first.steps, replies);
        }
        self.run_first_batch(&first).await?;
        let size = explorers.len().div_ceil(jobs).max(1);
        let pieces = explorers.chunks(size).map(<[_]>::to_vec).collect();
        concurrently(self.run.jobs, pieces, move |names: Vec<(OsString, bool)>| {
            let engine = Arc::clone(&self);
            async move {
                let steps = names.iter().map(|explorer| engine.global_explorer(explorer)).collect();
                let batch = Batch { steps, ..Batch::default() };
                let replies = engine.run_batch(&batch).await?;
                engine.take_global_explorers(&names, &batch.steps, replies)
            }
        })
        .await
    }

    fn global_explorer(&self, (name, is_forked): &(OsString, bool)) -> BatchStep {
        let script = self.stage.remote_explorers().join(name);
        BatchStep { script, variables: self.explorer_variables(), is_forked: *is_forked }
    }

    fn take_global_explorers(
        &self,
        explorers: &[(OsString, bool)],
        steps: &[BatchStep],
        mut replies: Replies,
    ) -> Result<(), ConfigError> {
        for ((name, _), step) in explorers.iter().zip(steps) {
            let from = self.remote_stderr_length();
            let result = self.stage.out.join("explorer").join(name);
            self.take_explorer(step, &mut replies, &result).map(drop).map_err(|source| {
                let entity = Entity::global_explorer(&name.to_string_lossy(), &self.stage, from);
                wrap(entity, source)
            })?;
        }
        Ok(())
    }

    /// Sends the parameters of objects and the explorers of their types, and runs these.
    pub(in crate::config) async fn run_type_explorers(
        &self,
        objects: &[ObjectName],
    ) -> Result<(), ConfigError> {
        let mut batch = Batch::default();
        self.add_type_explorers(objects, &mut batch).await?;
        let mut work = Vec::new();
        let mut forked: HashMap<PathBuf, bool> = HashMap::new();
        for object in objects {
            self.add_parameters(object, &mut batch)?;
            let names = self.stage.type_of(object).explorers();
            if names.is_empty() {
                continue;
            }
            let results = self.stage.object_dir(object).join("explorer");
            fs::create_dir_all(&results).map_err(ConfigError::io(format!("making {}", results.display())))?;
            let variables = self.type_explorer_variables(object);
            for name in names {
                let script = self.stage.remote_type_explorers(object.type_name()).join(&name);
                let own = self.stage.type_of(object).dir.join("explorer").join(&name);
                let is_forked = *forked.entry(own).or_insert_with_key(|own| {
                    // What cannot be read has been told when it was sent.
                    fs::read(own).is_ok_and(|text| self.is_forked(&text))
                });
                batch.steps.push(BatchStep { script, variables: variables.clone(), is_forked });
                work.push((object, results.join(&name), name));
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        let mut replies = self.run_batch(&batch).await?;
        for ((object, result, name), step) in work.into_iter().zip(&batch.steps) {
            let from = self.remote_stderr_length();
            self.take_explorer(step, &mut replies, &result)
                .and_then(|file| {
                    end_with_newline(file)
                        .map(drop)
                        .map_err(ConfigError::io(format!("writing {}", result.display())))
                })
                .map_err(|source| {
                    let entity = Entity::type_explorer(&name.to_string_lossy(), object, &self.stage, from);
                    wrap(entity, source)
                })?;
        }
        Ok(())
    }

    /// Adds the explorers of types that the target does not have yet.
    async fn add_type_explorers(&self, objects: &[ObjectName], batch: &mut Batch) -> Result<(), ConfigError> {
        let mut own = Batch::default();
        let mut sent = self.sent_types.lock().await;
        for object in objects {
            if sent.contains(object.type_name()) {
                continue;
            }
            sent.insert(object.type_name().to_owned());
            let names = self.stage.type_of(object).explorers();
            if names.is_empty() {
                continue;
            }
            let source = self.stage.conf("type").join(object.type_name()).join("explorer");
            let target = self.stage.remote_type_explorers(object.type_name());
            own.files.extend(contents(&source, &names, &target)?);
            own.dirs.push(target.clone());
            own.executable.push(target);
        }
        if self.run.jobs.is_none() {
            *batch = own;
        } else if !own.is_empty() {
            // Others wait at the lock, because they may be about to run the same explorers.
            self.run_batch(&own).await?;
        }
        Ok(())
    }

    fn add_parameters(&self, object: &ObjectName, batch: &mut Batch) -> Result<(), ConfigError> {
        let source = self.stage.object_dir(object).join("parameter");
        let names = match visible_entries(&source) {
            Ok(names) => names,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(ConfigError::io(format!("reading {}", source.display()))(e)),
        };
        if names.is_empty() {
            return Ok(());
        }
        let target = self.stage.remote_object_dir(object).join("parameter");
        batch.files.extend(contents(&source, &names, &target)?);
        batch.dirs.push(target);
        Ok(())
    }

    /// Puts the output of one explorer into the file `result`. What a failed one has said is no result.
    fn take_explorer(
        &self,
        step: &BatchStep,
        replies: &mut Replies,
        result: &Path,
    ) -> Result<File, ConfigError> {
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(result);
        let mut file = file.map_err(ConfigError::io(format!("writing {}", result.display())))?;
        let done = match replies.next(&mut file, &mut self.remote_stderr()?) {
            Ok(status) if !status.success() => Err(self.failed(step, status)),
            done => done.map(drop),
        };
        if done.is_err() {
            // The failure matters more than a file that stays.
            let _ = fs::remove_file(result);
        }
        done.map(|()| file)
    }

    /// Where the next words of explorers begin.
    fn remote_stderr_length(&self) -> u64 {
        fs::metadata(self.stage.out.join("stderr/remote")).map(|m| m.len()).unwrap_or(0)
    }
}
