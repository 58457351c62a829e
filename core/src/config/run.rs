//! The work on one host: the stages in their order, and what comes out.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::DirBuilderExt,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{
    cache,
    code::Side,
    declare::{conf_dirs, object::ObjectName, relations},
    engine::Engine,
    error::ConfigError,
    log::Level,
    names,
    profile::SpanKind,
    request::{Names, Run, host_dir, is_work_dir},
    run_report::{Outcome, RunReport},
    schedule::scheduler::{Scheduler, Workload},
    stage::Stage,
    target::dry_run,
};
use crate::{
    connector::{Locked, RunContext},
    host::{self, Cancel, OwnDir},
    progress::{Step, Unit},
    trust,
};

/// Configures one host.
///
/// # Errors
///
/// The first thing that fails. With `jobs`, objects that were worked on at the same time come to their end first.
pub async fn configure(run: Run) -> Result<RunReport, ConfigError> {
    let Outcome { report, error } = outcome_of(run).await;
    error.map_or(Ok(report), Err)
}

/// Configures one host, and tells after a failure too what was done.
pub async fn outcome_of(run: Run) -> Outcome {
    let started = Instant::now();
    let mut report = RunReport::default();
    let error = work_on(run, started, &mut report).await.err();
    report.elapsed = started.elapsed();
    Outcome { report, error }
}

async fn work_on(mut run: Run, started: Instant, report: &mut RunReport) -> Result<(), ConfigError> {
    // One directory to remove, whatever happens in it. Kept until the end: dropping it removes the directory.
    let temporary = OwnDir::make(&run.temporary)
        .map_err(ConfigError::io(format!("making a directory in {}", run.temporary.display())))?;
    run.temporary = temporary.path().to_owned();
    let is_kept = run.work_dir.is_some();
    let base = run.work_dir.clone().unwrap_or_else(|| run.temporary.clone());
    if !is_work_dir(&run.remote_dir) {
        return Err(ConfigError::RemoteDir(run.remote_dir));
    }
    if run.dry_run {
        run.remote_dir = dry_run::place(&run.remote_dir)?;
        run.remove_remote_dir = true;
    } else if let Some(holder) = run.lock.clone()
        && run.connector.takes_scripts_on_stdin()
    {
        // Not for a dry run: no other run knows its directory, and it must not leave a lock beside the other one.
        run.connector = Arc::new(Locked::new(run.connector, &run.remote_dir, holder));
    }
    let step = run.progress.step(format!("configuring {}", run.host));
    let _whole = run.profile.begin(SpanKind::Run, &run.host, || format!("configuring {}", run.host));
    run.log(Level::Info, if run.dry_run { "Starting dry run" } else { "Starting configuration run" });
    let host_base = base.join(host_dir(&run.host));
    let engine = Arc::new(prepare(run, &host_base).await?);
    if is_kept {
        report.files = Some(engine.stage.out.clone());
    }
    report.marker.clone_from(&engine.stage.marker);
    let result = Arc::clone(&engine).work(&step).await;
    engine.finish().await;
    report.remote_calls = engine.remote_calls();
    report.answered = engine.has_answered();
    match result {
        Ok((objects, changed)) => (report.objects, report.done, report.changed) = (objects, objects, changed),
        Err(error) => {
            engine.progress_of_files(report);
            return Err(error);
        }
    }
    if let Some(cache) = &engine.run.cache {
        let dir = host::parent_of(cache);
        trust::place_for_root("the cache", dir)?;
        fs::create_dir_all(dir).map_err(ConfigError::io(format!("making {}", dir.display())))?;
        trust::directory_for_root("the cache", dir)?;
        save(&engine.stage, cache, &engine.run.host)?;
        report.files = Some(cache.clone());
    }
    let kind = if engine.run.dry_run { "dry run" } else { "successful run" };
    let seconds = started.elapsed().as_secs_f64();
    engine.run.log(Level::Info, &format!("Finished {kind} in {seconds:.2} seconds"));
    step.advance(report.objects as u64, Some(report.objects as u64), Unit::Objects);
    step.finish(format!("{} objects, {} with code", report.objects, report.changed.len()));
    Ok(())
}

impl Engine {
    /// The stages that touch the target. Returns how many objects there were and which had code.
    async fn work(self: Arc<Self>, step: &Step) -> Result<(usize, Vec<ObjectName>), ConfigError> {
        let stage = self.span(SpanKind::Stage, || "opening the way to the target".to_owned());
        self.run.connector.open(&self.context).await?;
        drop(stage);
        self.reached.store(true, Ordering::Relaxed);
        if self.run.dry_run {
            self.note_missing_parents().await?;
        }
        step.doing("global explorers");
        let stage = self.span(SpanKind::Stage, || "global explorers".to_owned());
        Arc::clone(&self).run_global_explorers().await?;
        drop(stage);
        step.doing("initial manifest");
        let stage = self.span(SpanKind::Stage, || "initial manifest".to_owned());
        self.run_initial_manifest().await?;
        drop(stage);
        let _stage = self.span(SpanKind::Stage, || "objects".to_owned());
        Scheduler::new(Arc::clone(&self)).run(step).await
    }

    /// What must happen after success and failure alike. Nothing of it changes the result.
    async fn finish(&self) {
        let _stage = self.span(SpanKind::Stage, || "cleaning up".to_owned());
        // The user's wish to stop has been heard; cleaning up is not what it was about.
        let context = RunContext { cancel: Cancel::default(), ..self.context.clone() };
        if self.run.remove_remote_dir
            && self.reached.load(Ordering::Relaxed)
            && let Err(error) = self.remove_remote_dir(&context).await
        {
            self.log(
                Level::Warning,
                &format!("Cannot remove the work directory on the target: {}", error.report()),
            );
        }
        self.remove_missing_parents(&context).await;
        if let Err(error) = self.run.connector.close(&context).await {
            self.log(Level::Warning, &format!("Cleanup command failed: {error}"));
        }
        if let Err(error) = fs::remove_dir_all(&self.connector_dir) {
            self.log(Level::Debug, &format!("removing {}: {error}", self.connector_dir.display()));
        }
    }

    /// Reads from the run's files how far it came, for a run that ended before the scheduler could tell.
    fn progress_of_files(&self, report: &mut RunReport) {
        // A run that failed early has no list of objects.
        let calls = self.called_since(&mut 0).unwrap_or_default();
        let mut known = HashSet::new();
        for object in calls.into_iter().filter(|object| known.insert(object.clone())) {
            report.objects += 1;
            let dir = self.stage.object_dir(&object);
            if !is_done(&dir) {
                continue;
            }
            report.done += 1;
            if [Side::Local, Side::Remote].iter().any(|side| dir.join(side.code()).is_file()) {
                report.changed.push(object);
            }
        }
    }
}

fn is_done(object_dir: &Path) -> bool {
    fs::read(object_dir.join("state")).is_ok_and(|state| state.trim_ascii() == b"done")
}

/// Everything before the target is touched: names, directories, merged configuration.
async fn prepare(run: Run, host_base: &Path) -> Result<Engine, ConfigError> {
    let names = match run.names.clone() {
        Names::Known(names) => names,
        Names::Resolve(family) => {
            let host = run.host.clone();
            // The resolver may wait for a name server.
            tokio::task::spawn_blocking(move || names::resolve(&host, family))
                .await
                .map_err(ConfigError::Task)?
        }
    };
    // Wiped by its name, and scripts that others could exchange would be run from there.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(host_base)
        .map_err(ConfigError::io(format!("making {}", host_base.display())))?;
    trust::directory_for_root("the directory of the run", host_base)?;
    let stage = Stage::create(host_base.join("data"), run.remote_dir.clone())?;
    conf_dirs::merge(&run.conf_dirs, &stage, run.log.as_ref())?;
    stage.link_emulator(&run.cdist_exe)?;
    let connector_dir = host_base.join("connector");
    fs::create_dir_all(&connector_dir)
        .map_err(ConfigError::io(format!("making {}", connector_dir.display())))?;
    Engine::new(run, stage, names, connector_dir)
}

fn save(stage: &Stage, cache: &Path, host: &str) -> Result<(), ConfigError> {
    for name in [relations::CALLS, relations::ORDER_CONTEXT, "emulator.lock"] {
        // A run without type calls has none of these files.
        let _ = fs::remove_file(stage.out.join(name));
    }
    let path = stage.out.join("target_host");
    fs::write(&path, format!("{host}\n")).map_err(ConfigError::io(format!("writing {}", path.display())))?;
    cache::save(&stage.out, cache)
}
