//! What the sidecar counts of itself. No label comes from a request.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    admits: Family<OfAdmit, Counter>,
    settles: Family<OfSettle, Counter>,
    seconds: Family<OfStore, Histogram>,
    failures: Family<OfStore, Counter>,
    breaker: Gauge,
    keys: Gauge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "as they are in the label")]
pub(crate) enum Admission {
    allowed,
    denied,
    invalid,
    failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "as they are in the label")]
pub(crate) enum Settling {
    settled,
    known,
    refused,
    failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "as they are in the label")]
pub(crate) enum Operation {
    reserve,
    settle,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAdmit {
    outcome: Admission,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSettle {
    outcome: Settling,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStore {
    operation: Operation,
}

impl Metrics {
    pub fn new() -> Metrics {
        let seconds =
            || Histogram::new([0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25]);
        let mut metrics = Metrics {
            registry: Registry::with_prefix("turnpike_sidecar"),
            admits: Family::default(),
            settles: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            failures: Family::default(),
            breaker: Gauge::default(),
            keys: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("admits", "Questions whether a request may go on", metrics.admits.clone());
        registry.register("settles", "Reservations that were settled", metrics.settles.clone());
        registry.register("store_seconds", "What the store took to answer", metrics.seconds.clone());
        registry.register(
            "store_errors",
            "Questions that the store did not answer",
            metrics.failures.clone(),
        );
        registry.register(
            "breaker_open",
            "1 while Redis is given a rest after a failure",
            metrics.breaker.clone(),
        );
        registry.register("memory_keys", "Counters and reservations in this process", metrics.keys.clone());
        metrics
    }

    pub fn admit(&self, outcome: Admission) {
        self.admits.get_or_create(&OfAdmit { outcome }).inc();
    }

    pub fn settle(&self, outcome: Settling) {
        self.settles.get_or_create(&OfSettle { outcome }).inc();
    }

    pub fn store(&self, operation: Operation, took: Duration, failed: bool) {
        self.seconds.get_or_create(&OfStore { operation }).observe(took.as_secs_f64());
        if failed {
            self.failures.get_or_create(&OfStore { operation }).inc();
        }
    }

    pub fn breaker(&self, open: bool) {
        self.breaker.set(i64::from(open));
    }

    pub fn keys(&self, keys: usize) {
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a text does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
