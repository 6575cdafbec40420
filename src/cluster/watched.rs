//! What schedulers and executors count, as Prometheus reads it.

use prometheus::core::Collector;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::error::{Context, Kind, Result};

/// What every name begins with.
const PREFIX: &str = "microclip_cluster";

/// Something that is counted.
pub(super) struct Value<'a> {
    name: &'a str,
    about: &'a str,
    label: Option<(&'a str, &'a str)>,
    /// Whether it only grows.
    grows: bool,
    value: u64,
}

impl<'a> Value<'a> {
    /// Makes what only grows.
    pub(super) fn count(name: &'a str, about: &'a str, value: u64) -> Self {
        Value { name, about, label: None, grows: true, value }
    }

    /// Makes what is so at present.
    pub(super) fn now(name: &'a str, about: &'a str, value: usize) -> Self {
        Value { name, about, label: None, grows: false, value: value as u64 }
    }

    /// Adds a label.
    pub(super) fn of(mut self, label: &'a str, value: &'a str) -> Self {
        self.label = Some((label, value));
        self
    }
}

/// Returns values as Prometheus reads them. Those of one name stand together.
///
/// # Errors
/// Returns [`Kind::Internal`] if a name is not one of Prometheus'.
pub(super) fn text(values: &[Value<'_>]) -> Result<String> {
    written(values).context(Kind::Internal, || "cannot write what was counted".to_owned())
}

fn written(values: &[Value<'_>]) -> prometheus::Result<String> {
    let registry = Registry::new_custom(Some(PREFIX.to_owned()), None)?;
    for of_name in values.chunk_by(|one, other| one.name == other.name) {
        let Some(first) = of_name.first() else { continue };
        let (about, label) = (Opts::new(first.name, first.about), first.label.map(|(name, _)| name));
        let labels: Vec<&str> = label.into_iter().collect();
        let values =
            of_name.iter().map(|value| (value.label.map(|(_, of)| of).into_iter().collect::<Vec<_>>(), value.value));
        if first.grows {
            let counter = IntCounterVec::new(about, &labels)?;
            values.for_each(|(of, value)| counter.with_label_values(&of).inc_by(value));
            register(&registry, counter)?;
        } else {
            let gauge = IntGaugeVec::new(about, &labels)?;
            values.for_each(|(of, value)| gauge.with_label_values(&of).set(value.cast_signed()));
            register(&registry, gauge)?;
        }
    }
    TextEncoder::new().encode_to_string(&registry.gather())
}

fn register(registry: &Registry, collector: impl Collector + 'static) -> prometheus::Result<()> {
    registry.register(Box::new(collector))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_name_are_one_counter() {
        let all = [
            Value::count("units_total", "Units.", 3).of("outcome", "done"),
            Value::count("units_total", "Units.", 0).of("outcome", "failed"),
            Value::now("jobs", "Jobs.", 2),
        ];
        insta::assert_snapshot!(text(&all).unwrap(), @r#"
        # HELP microclip_cluster_jobs Jobs.
        # TYPE microclip_cluster_jobs gauge
        microclip_cluster_jobs 2
        # HELP microclip_cluster_units_total Units.
        # TYPE microclip_cluster_units_total counter
        microclip_cluster_units_total{outcome="done"} 3
        microclip_cluster_units_total{outcome="failed"} 0
        "#);
    }
}
