//! Signals that ask the program to stop.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use cdist_core::host::Cancel;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tokio::signal::unix::{SignalKind, signal};

use crate::terminal::failure::Failure;

/// What SIGINT, SIGTERM and SIGHUP of this process set, in a program without tokio.
pub(crate) fn cancel_on_signals() -> Result<Cancel, Failure> {
    let cancel = Cancel::default();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, cancel.flag())
            .map_err(|error| Failure::new(format!("listening for signals: {error}")))?;
    }
    Ok(cancel)
}

/// Set once a signal has asked to stop.
pub(crate) struct Signalled(Arc<AtomicU8>);

impl Signalled {
    /// The exit status of a program that has ended because of the signal, if there was one.
    pub(crate) fn status(&self) -> Option<u8> {
        Some(self.0.load(Ordering::SeqCst)).filter(|status| *status != 0)
    }
}

/// The first SIGINT, SIGTERM or SIGHUP asks the runs to stop.
pub(crate) fn watch(cancel: &Cancel) -> Signalled {
    let status = Arc::new(AtomicU8::new(0));
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let number = u8::try_from(kind.as_raw_value()).unwrap_or(0);
        // Without a handler the signal ends the program, which is the next best thing.
        let Ok(mut stream) = signal(kind) else { continue };
        let (cancel, status) = (cancel.clone(), Arc::clone(&status));
        tokio::spawn(async move {
            if stream.recv().await.is_some() {
                status.store(128 + number, Ordering::SeqCst);
                cancel.cancel();
            }
        });
    }
    Signalled(status)
}
