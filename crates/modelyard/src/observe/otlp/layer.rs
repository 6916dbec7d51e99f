//! From `tracing` spans to finished ones.

use std::fmt;
use std::time::{Instant, SystemTime};

use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::context::{Caller, Ids, SpanId, TraceId, is_sampled};
use super::encode::{Attribute, Finished};
use super::export::Sender;

/// The field that holds a caller's W3C `traceparent`.
const TRACEPARENT: &str = "traceparent";
/// The field that says why a request failed.
const ERROR: &str = "error";

/// Turns spans of [`super::TARGET`] into OpenTelemetry's.
pub(crate) struct SpanLayer {
    ids: Ids,
    sample_ratio: f64,
    sender: Sender,
}

impl SpanLayer {
    pub(super) fn new(sample_ratio: f64, sender: Sender) -> SpanLayer {
        SpanLayer { ids: Ids::new(), sample_ratio, sender }
    }

    /// A span's place: below that of the caller, below the span around it, or a trace of its own.
    /// `None` when the trace is not recorded.
    fn open(&self, caller: Option<Caller>, around: Option<(TraceId, SpanId)>) -> Option<Open> {
        let (trace, parent) = match (caller, around) {
            (Some(caller), _) => {
                caller.sampled.then_some(())?;
                (caller.trace, Some(caller.span))
            }
            (None, Some((trace, span))) => (trace, Some(span)),
            (None, None) => {
                let trace = self.ids.trace();
                is_sampled(trace, self.sample_ratio).then_some(())?;
                (trace, None)
            }
        };
        let span = self.ids.span();
        Some(Open { trace, span, parent, start: SystemTime::now(), opened: Instant::now() })
    }
}

/// A span under way.
#[derive(Clone, Copy)]
struct Open {
    trace: TraceId,
    span: SpanId,
    parent: Option<SpanId>,
    start: SystemTime,
    opened: Instant,
}

struct Recorded {
    open: Open,
    fields: Fields,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let caller = fields.traceparent.take().and_then(|text| Caller::parse(&text));
        let around = span.parent().and_then(|parent| {
            let extensions = parent.extensions();
            let open = extensions.get::<Recorded>()?.open;
            Some((open.trace, open.span))
        });
        if let Some(open) = self.open(caller, around) {
            span.extensions_mut().insert(Recorded { open, fields });
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(recorded) = span.extensions_mut().get_mut::<Recorded>() {
            values.record(&mut recorded.fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(Recorded { open, fields }) = span.extensions_mut().remove() else { return };
        self.sender.send(Finished {
            trace: open.trace,
            span: open.span,
            parent: open.parent,
            name: span.metadata().name(),
            start: open.start,
            end: open.start + open.opened.elapsed(),
            attributes: fields.attributes,
            error: fields.error,
        });
    }
}

/// The fields of a span.
#[derive(Default)]
struct Fields {
    traceparent: Option<String>,
    error: Option<String>,
    attributes: Vec<(&'static str, Attribute)>,
}

impl Fields {
    fn text(&mut self, field: &Field, text: String) {
        match field.name() {
            TRACEPARENT => self.traceparent = Some(text),
            ERROR => self.error = Some(text),
            name => self.attributes.push((name, Attribute::Text(text))),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attributes.push((field.name(), Attribute::Integer(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_i64(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.attributes.push((field.name(), Attribute::Float(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.attributes.push((field.name(), Attribute::Bool(value)));
    }
}
