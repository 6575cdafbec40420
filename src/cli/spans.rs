//! What a run's spans become: lines of `--verbose`, and a file for Perfetto.
//!
//! Stages, passes, parts and statements are spans of level INFO; pictures and batches on their way
//! through a stage (decode, cut, forward, write, step) are of level DEBUG, since there are
//! thousands.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Level, Metadata, Subscriber};
use tracing_chrome::{ChromeLayerBuilder, FlushGuard};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{filter::filter_fn, registry};

use super::printer::Printer;
use crate::error::{Context as _, Kind, Result};

/// Spans that are being recorded; the trace is complete once this is dropped.
pub(super) struct Recording {
    _trace: Option<FlushGuard>,
}

/// Begins recording spans: as lines if `lines`, and as a trace in the file `trace` if one is named.
///
/// # Errors
/// Returns [`Kind::Usage`] if the file cannot be made.
pub(super) fn record(printer: Printer, lines: bool, trace: Option<&Path>) -> Result<Recording> {
    let (chrome, guard) = trace.map(chrome).transpose()?.unzip();
    if chrome.is_none() && !lines {
        return Ok(Recording { _trace: None });
    }
    let chrome = chrome.map(|chrome| chrome.with_filter(filter_fn(ours)));
    let lines = lines.then(|| Lines(printer).with_filter(filter_fn(|of| ours(of) && *of.level() <= Level::INFO)));
    // A second command line in one process keeps the subscriber of the first.
    let _ = registry().with(chrome).with(lines).try_init();
    Ok(Recording { _trace: guard })
}

fn chrome<S>(path: &Path) -> Result<(tracing_chrome::ChromeLayer<S>, FlushGuard)>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let file = File::create(path).at(Kind::Usage, "cannot write the trace", path)?;
    Ok(ChromeLayerBuilder::new().writer(BufWriter::new(file)).include_args(true).build())
}

/// Returns whether this is a span of this program; libraries have their own.
fn ours(of: &Metadata<'_>) -> bool {
    of.is_span() && of.target().starts_with(env!("CARGO_CRATE_NAME"))
}

/// Prints how long each span took, once it ends.
struct Lines(Printer);

/// What is known of a span while it lasts.
struct Begun {
    at: Instant,
    fields: BTreeMap<&'static str, Value>,
}

impl Visit for Begun {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.fields.insert(field.name(), json!(format!("{value:?}")));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.insert(field.name(), json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), json!(value));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut begun = Begun { at: Instant::now(), fields: BTreeMap::new() };
        attributes.record(&mut begun);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(begun);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(span) = context.span(&id)
            && let Some(Begun { at, fields }) = span.extensions().get::<Begun>()
        {
            self.0.span(span.name(), fields, at.elapsed());
        }
    }
}
