//! A store without a disk, for tests and fuzzing of what is above a store.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Counts, JobFilter, Reader, Store, StoreError};
use crate::trigger::{
    job::{Job, JobId, Machine, MachineId, Millis, State},
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

    fn prune(&mut self, before: Millis, limit: usize) -> Result<Vec<JobId>, StoreError> {
        let mut rows = self.rows();
        let newest: Vec<JobId> = rows.machines.values().filter_map(|machine| machine.last_job).collect();
        let old = |job: &&Job| job.state.is_final() && job.finished.is_some_and(|at| at < before);
        let ids: Vec<JobId> = rows.jobs.values().filter(old).map(|job| job.id).collect();
        let ids: Vec<JobId> = ids.into_iter().filter(|id| !newest.contains(id)).take(limit).collect();
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

    fn counts(&mut self) -> Result<Counts, StoreError> {
        let rows = self.rows();
        let count = |state| rows.jobs.values().filter(|job| job.state == state).count() as u64;
        Ok(State::ALL.into_iter().map(|state| (state, count(state))).collect())
    }
}
