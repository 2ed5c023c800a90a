//! Where the process that the sidecar is in writes what it has to say: on its standard error. Whoever has another way of logging
//! chooses neither.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// For machines: a JSON object a line. Levels by TURNPIKE_LOG=debug, in the words of RUST_LOG.
pub fn objects() {
    let filter = EnvFilter::try_from_env("TURNPIKE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .init();
}

/// For people: a level and a sentence a line, and nothing of any request. Only errors if `quiet`; else also what becomes of
/// the store. Whoever has chosen before stays.
pub fn lines(quiet: bool) {
    let most = if quiet { Level::ERROR } else { Level::INFO };
    let _ = tracing_subscriber::fmt()
        .event_format(Lines)
        .with_writer(std::io::stderr)
        .with_max_level(most)
        .try_init();
}

struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = match event.metadata().level().as_str() {
            "WARN" => "warning".to_owned(),
            other => other.to_ascii_lowercase(),
        };
        write!(writer, "[{level}] ")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
