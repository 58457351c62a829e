//! How many files may be open. Each host that is worked on needs some, and many systems allow 1024 by default for programs that
//! use select(2), which knows no more. This program does not use it, but what it starts may.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::process::{Pid, Resource as OfProcess, Rlimit, getrlimit as limit_of, prlimit};

/// The soft limit that this process began with.
static BEFORE: OnceLock<u64> = OnceLock::new();

/// Raises the soft limit of open files to the hard one. Returns what may be open now, if that is known.
pub fn raise_open_files() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft >= hard || setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_err() {
        return Some(soft);
    }
    BEFORE.get_or_init(|| soft);
    Some(hard)
}

/// Gives a process that was just started the soft limit back that this one began with. For some microseconds it has the
/// higher one: between fork and exec only unsafe code could change it.
pub(crate) fn restore_for(id: Option<u32>) {
    let Some(&soft) = BEFORE.get() else { return };
    let Some(pid) = id.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return };
    let hard = limit_of(OfProcess::Nofile).maximum;
    // ESRCH: it has just ended by itself. Without the permission, as for a program with set-user-ID, it keeps the higher one.
    let _ = prlimit(Some(pid), OfProcess::Nofile, Rlimit { current: Some(soft), maximum: hard });
}
