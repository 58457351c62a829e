//! Log lines on standard error, as `LEVEL: target: message`.

use std::{fmt, sync::Arc};

use tracing::{Event, Level, Subscriber, field::Field, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::terminal::progress::Display;

/// How much the user wants to read: -1 quiet, 0 warnings, then one more level for each `-v`.
pub(crate) fn start(verbosity: i32, display: &Arc<Display>) {
    let filter = match verbosity {
        ..=-1 => LevelFilter::OFF,
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 | 3 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let lines = Lines(Arc::clone(display)).with_filter(filter);
    // Fails only if a logger is installed already, which then serves.
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

struct Lines(Arc<Display>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::DEBUG => "DEBUG",
            Level::TRACE => "TRACE",
        };
        let name = message.host.as_deref().unwrap_or("cdist");
        self.0.line(&format!("{level}: {name}: {}", message.text));
    }
}

/// The text of an event, and the host it is about.
#[derive(Default)]
struct Message {
    text: String,
    host: Option<String>,
}

impl tracing::field::Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.text = format!("{value:?}");
        } else if field.name() == "host" {
            self.host = Some(format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.text);
        } else if field.name() == "host" {
            self.host = Some(value.to_owned());
        }
    }
}
