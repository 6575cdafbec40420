//! What schedulers and executors count, as Prometheus reads it.

use prometheus::core::Collector;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use super::Count;
use crate::error::{Context, Kind, Result};

/// What every name begins with.
const PREFIX: &str = "microclip_cluster";

/// Returns values as Prometheus reads them. Those of one name stand together.
///
/// # Errors
/// Returns [`Kind::Internal`] if a name is not one of Prometheus'.
pub(super) fn text(values: &[Count]) -> Result<String> {
    written(values).context(Kind::Internal, || "cannot write what was counted".to_owned())
}

fn written(values: &[Count]) -> prometheus::Result<String> {
    let registry = Registry::new_custom(Some(PREFIX.to_owned()), None)?;
    for of_name in values.chunk_by(|one, other| one.name == other.name) {
        let Some(first) = of_name.first() else { continue };
        let (about, label) = (Opts::new(first.name, first.about), first.label.as_ref().map(|(name, _)| *name));
        let labels: Vec<&str> = label.into_iter().collect();
        let of = |count: &Count| count.label.iter().map(|(_, of)| of.clone()).collect::<Vec<String>>();
        let values = of_name.iter().map(|count| (of(count), count.value));
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
            Count::total("units_total", "Units.", 3).of("outcome", "done"),
            Count::total("units_total", "Units.", 0).of("outcome", "failed"),
            Count::now("jobs", "Jobs.", 2),
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
