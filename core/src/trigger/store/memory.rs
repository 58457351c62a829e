//! A store without a disk, for tests and fuzzing of what is above a store.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Counts, JobFilter, Reader, Store, StoreError};
use crate::trigger::{
    job::{Job, JobId, JobState, Machine, MachineId, Millis},
    ledger::{Change, Stored},
};

#[derive(Debug, Default)]
struct Rows {
    machines: BTreeMap<MachineId, Machine>,
    jobs: BTreeMap<JobId, Job>,
    host_keys: BTreeMap<MachineId, Vec<String>>,
    last_job: JobId,
    last_machine: MachineId,
}

/// Keeps everything until the last clone is dropped.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Rows>>);

impl Memory {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn load(&mut self) -> Result<Stored, StoreError> {
        let rows = self.rows();
        Ok(Stored {
            machines: rows.machines.values().cloned().collect(),
            jobs: rows.jobs.values().filter(|job| !job.state.is_final()).cloned().collect(),
            last_job: rows.last_job,
            last_machine: rows.last_machine,
        })
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut rows = self.rows();
        for change in changes {
            match change {
                Change::Machine(machine) => {
                    rows.last_machine = rows.last_machine.max(machine.id);
                    rows.machines.insert(machine.id, Machine::clone(machine));
                }
                Change::Forgotten(id) | Change::Evicted(id) => {
                    rows.machines.remove(id);
                    rows.host_keys.remove(id);
                }
                Change::Merged { from, into } => {
                    rows.machines.remove(from);
                    rows.host_keys.remove(from);
                    let jobs = rows.jobs.values_mut().filter(|job| job.machine == *from);
                    jobs.for_each(|job| job.machine = *into);
                }
                Change::HostKeys(id, keys) => drop(rows.host_keys.insert(*id, keys.clone())),
                Change::Job(job) => {
                    rows.last_job = rows.last_job.max(job.id);
                    rows.jobs.insert(job.id, Job::clone(job));
                }
            }
        }
        Ok(())
    }

    fn remove(&mut self, jobs: &[JobId]) -> Result<Vec<JobId>, StoreError> {
        let mut rows = self.rows();
        let newest: Vec<JobId> = rows.machines.values().filter_map(|machine| machine.last_job).collect();
        let can_go = |rows: &Rows, id: &JobId| {
            !newest.contains(id) && rows.jobs.get(id).is_some_and(|job| job.state.is_final())
        };
        let ids: Vec<JobId> = jobs.iter().copied().filter(|id| can_go(&rows, id)).collect();
        for id in &ids {
            rows.jobs.remove(id);
        }
        Ok(ids)
    }

    fn trim(&mut self, machine: MachineId, keep: usize) -> Result<Vec<JobId>, StoreError> {
        let mut rows = self.rows();
        let of_machine = |job: &&Job| job.machine == machine && job.state.is_final();
        let ids: Vec<JobId> =
            rows.jobs.values().rev().filter(of_machine).skip(keep).map(|job| job.id).collect();
        for id in &ids {
            rows.jobs.remove(id);
        }
        Ok(ids)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(self.clone()))
    }
}

impl Reader for Memory {
    fn job(&mut self, id: JobId) -> Result<Option<Job>, StoreError> {
        Ok(self.rows().jobs.get(&id).cloned())
    }

    fn jobs(&mut self, filter: &JobFilter) -> Result<Vec<Job>, StoreError> {
        let fits = |job: &&Job| {
            filter.state.is_none_or(|state| state == job.state)
                && filter.kind.is_none_or(|kind| kind == job.kind)
                && filter.machine.is_none_or(|machine| machine == job.machine)
                && filter.before.is_none_or(|before| job.id < before)
        };
        Ok(self.rows().jobs.values().rev().filter(fits).take(filter.limit).cloned().collect())
    }

    fn host_keys(&mut self, machine: MachineId) -> Result<Option<Vec<String>>, StoreError> {
        Ok(self.rows().host_keys.get(&machine).cloned())
    }

    fn machine(&mut self, id: MachineId) -> Result<Option<Machine>, StoreError> {
        Ok(self.rows().machines.get(&id).cloned())
    }

    fn machines(&mut self, after: MachineId, limit: usize) -> Result<Vec<Machine>, StoreError> {
        let rows = self.rows();
        Ok(rows.machines.range(after.saturating_add(1)..).take(limit).map(|(_, m)| m.clone()).collect())
    }

    fn old(&mut self, before: Millis, now: Millis, limit: usize) -> Result<Vec<JobId>, StoreError> {
        let rows = self.rows();
        let newest: Vec<JobId> = rows.machines.values().filter_map(|machine| machine.last_job).collect();
        let young = rows.jobs.values().find(|job| (before..=now).contains(&job.created)).map(|job| job.id);
        let is_old = |job: &&Job| {
            job.state.is_final()
                && job.finished.is_some_and(|at| at < before)
                && young.is_none_or(|young| job.id < young)
                && !newest.contains(&job.id)
        };
        let mut old: Vec<&Job> = rows.jobs.values().filter(is_old).collect();
        old.sort_by_key(|job| job.finished);
        Ok(old.iter().take(limit).map(|job| job.id).collect())
    }

    fn counts(&mut self) -> Result<Counts, StoreError> {
        let rows = self.rows();
        let count = |state| rows.jobs.values().filter(|job| job.state == state).count() as u64;
        Ok(JobState::ALL.into_iter().map(|state| (state, count(state))).collect())
    }
}
