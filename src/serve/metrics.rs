//! What is counted, and the text in which Prometheus reads it.

use std::sync::Mutex;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::catalogue::Opened;
use crate::error::{Context, Kind, Result};
use crate::panics::guard;
use crate::table::session::Bounds;

/// What every name begins with.
const PREFIX: &str = "microclip";

/// How a statement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its last row was fetched.
    Done,
    /// It could not be planned, or failed while it ran.
    Failed,
    /// Its client went, or asked for its end.
    Cancelled,
    /// Its time was up.
    TimedOut,
    /// Too many others were running.
    Refused,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
            Outcome::TimedOut => "timed_out",
            Outcome::Refused => "refused",
        }
    }

    const ALL: [Outcome; 5] = [Outcome::Done, Outcome::Failed, Outcome::Cancelled, Outcome::TimedOut, Outcome::Refused];
}

/// Why a connection ended that its client had not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// There were too many.
    TooMany,
    /// Nothing that is admitted was asked for in time.
    Unadmitted,
    /// Nothing was asked for any more.
    Idle,
    /// What a statement had still to say was not taken.
    Stuck,
}

impl Ended {
    fn name(self) -> &'static str {
        match self {
            Ended::TooMany => "too_many",
            Ended::Unadmitted => "unadmitted",
            Ended::Idle => "idle",
            Ended::Stuck => "stuck",
        }
    }

    const ALL: [Ended; 4] = [Ended::TooMany, Ended::Unadmitted, Ended::Idle, Ended::Stuck];
}

/// Everything that is counted.
pub(super) struct Metrics {
    registry: Registry,
    statements: IntCounterVec,
    seconds: Histogram,
    pub(super) running: IntGauge,
    pub(super) rows: IntCounter,
    pub(super) bytes: IntCounter,
    pub(super) connections: IntGauge,
    pub(super) accepted: IntCounter,
    ended: IntCounterVec,
    pub(super) unauthenticated: IntCounter,
    prepared: IntGauge,
    openings: Histogram,
    memory: IntGauge,
    memory_limit: IntGauge,
    parts: IntGaugeVec,
    table_rows: IntGaugeVec,
    /// Held while a text is made, since a table that is gone must not be in it.
    writing: Mutex<()>,
}

impl Metrics {
    /// # Errors
    /// Returns [`Kind::Internal`] if a name is not one of Prometheus'.
    pub(super) fn new() -> Result<Self> {
        Self::registered().context(Kind::Internal, || "cannot count".to_owned())
    }

    fn registered() -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some(PREFIX.to_owned()), None)?;
        let of_table = &["pipeline", "table"];
        let counter = |name: &str, about: &str| registered(&registry, IntCounter::new(name, about)?);
        let gauge = |name: &str, about: &str| registered(&registry, IntGauge::new(name, about)?);
        let counters = |name: &str, about: &str, label: &str| {
            registered(&registry, IntCounterVec::new(Opts::new(name, about), &[label])?)
        };
        let gauges =
            |name: &str, about: &str| registered(&registry, IntGaugeVec::new(Opts::new(name, about), of_table)?);
        let seconds = |name: &str, about: &str, buckets: &[f64]| {
            registered(&registry, Histogram::with_opts(HistogramOpts::new(name, about).buckets(buckets.to_vec()))?)
        };
        let metrics = Metrics {
            statements: counters("statements_total", "Statements, by how they ended.", "outcome")?,
            seconds: seconds(
                "statement_seconds",
                "How long statements ran, until their last row was fetched.",
                &[0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0],
            )?,
            running: gauge("statements_running", "Statements whose rows are being made or fetched.")?,
            rows: counter("rows_sent_total", "Rows of statements that were sent.")?,
            bytes: counter("bytes_sent_total", "Bytes of rows of statements that were sent, without TLS.")?,
            connections: gauge("connections", "Open connections.")?,
            accepted: counter("connections_total", "Connections that were accepted.")?,
            ended: counters("connections_ended_total", "Connections that the server ended, by why.", "why")?,
            unauthenticated: counter("unauthenticated_total", "Requests without the token.")?,
            prepared: gauge("prepared_statements", "Prepared statements that are kept.")?,
            openings: seconds(
                "opening_seconds",
                "How long it took to open the tables, which is done after a store has changed.",
                &[0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0],
            )?,
            memory: gauge("memory_bytes", "Memory that running statements have set aside.")?,
            memory_limit: gauge("memory_limit_bytes", "Memory that statements may take together.")?,
            parts: gauges("table_parts", "Parts of a table that are in the store.")?,
            table_rows: gauges("table_rows", "Rows of a table that are in the store.")?,
            registry,
            writing: Mutex::default(),
        };
        // A counter is there before there is anything to count, so that a rate has a beginning.
        Outcome::ALL.iter().for_each(|outcome| metrics.statements.with_label_values(&[outcome.name()]).inc_by(0));
        Ended::ALL.iter().for_each(|why| metrics.ended.with_label_values(&[why.name()]).inc_by(0));
        Ok(metrics)
    }

    pub(super) fn statement(&self, outcome: Outcome) {
        self.statements.with_label_values(&[outcome.name()]).inc();
    }

    pub(super) fn ran(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }

    pub(super) fn ended(&self, why: Ended) {
        self.ended.with_label_values(&[why.name()]).inc();
    }

    pub(super) fn opened(&self, time: Duration) {
        self.openings.observe(time.as_secs_f64());
    }

    /// Returns everything as Prometheus reads it.
    ///
    /// # Errors
    /// Returns [`Kind::Internal`] if it cannot be written.
    pub(super) fn text(&self, opened: Option<&Opened>, bounds: &Bounds, prepared: usize) -> Result<String> {
        let _writing = guard(&self.writing);
        self.memory.set(bounds.taken().cast_signed());
        self.memory_limit.set(bounds.memory().cast_signed());
        self.prepared.set(number(prepared));
        self.parts.reset();
        self.table_rows.reset();
        for (pipeline, contents) in opened.iter().flat_map(|opened| opened.contents()) {
            for content in contents {
                self.parts.with_label_values(&[pipeline, content.table]).set(number(content.parts));
                self.table_rows.with_label_values(&[pipeline, content.table]).set(number(content.rows));
            }
        }
        let text = TextEncoder::new().encode_to_string(&self.registry.gather());
        text.context(Kind::Internal, || "cannot write what was counted".to_owned())
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_prometheus_and_counters_begin_at_zero() {
        let metrics = Metrics::new().unwrap();
        metrics.statement(Outcome::Done);
        metrics.rows.inc_by(5);
        let text = metrics.text(None, &Bounds::new(1_000_000_000).unwrap(), 2).unwrap();
        for line in [
            "# TYPE microclip_statements_total counter",
            "microclip_statements_total{outcome=\"done\"} 1",
            "microclip_statements_total{outcome=\"cancelled\"} 0",
            "microclip_connections_ended_total{why=\"too_many\"} 0",
            "microclip_rows_sent_total 5",
            "microclip_prepared_statements 2",
            "microclip_memory_limit_bytes 1000000000",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
