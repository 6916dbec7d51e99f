//! Structured logs on stderr, for people or as one JSON object a line.

use std::io::{self, IsTerminal, Write};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use super::otlp::{self, SpanLayer};
use super::progress::Progress;
use crate::config::LogConfig;
use crate::config::keys::LogFormat;

/// The target of the server's access log: one event a request.
const ACCESS_TARGET: &str = "access";

/// Starts logging, and handing spans to the exporter if there is one. Lines and the progress bar share the terminal through `progress`.
pub(crate) fn start(
    config: &LogConfig,
    spans: Option<SpanLayer>,
    progress: &Progress,
) -> anyhow::Result<()> {
    let access = if config.access { LevelFilter::INFO } else { LevelFilter::OFF };
    let filter = config.level.clone().with_target(ACCESS_TARGET, access);
    // Spans are for the exporter: without one nobody wants them, and they cost nothing.
    let filter = filter.with_target(otlp::TARGET, LevelFilter::OFF);
    let writer = Stderr { progress: progress.clone() };
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match config.format {
        LogFormat::Text => {
            let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            fmt::layer().with_writer(writer).with_ansi(colours).boxed()
        }
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_writer(writer)
            .boxed(),
    };
    let spans = spans.map(|spans| {
        spans.with_filter(Targets::new().with_target(otlp::TARGET, LevelFilter::TRACE))
    });
    tracing_subscriber::registry().with(layer.with_filter(filter)).with(spans).try_init()?;
    Ok(())
}

/// Stderr that lifts the progress bar for a moment when there is one.
struct Stderr {
    progress: Progress,
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { progress: &self.progress }
    }
}

/// One event; the formatter writes each with one call.
struct Line<'a> {
    progress: &'a Progress,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.progress.suspend(|| io::stderr().lock().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
