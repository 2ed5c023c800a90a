//! Metrics that guests define, over all workers, and their Prometheus text.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use regex_lite::Regex;

use crate::abi::{Answer, Status};

/// Upper bounds of a histogram's buckets: those of Envoy.
const BUCKETS: [f64; 19] = [
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5, 1.8e6,
    3.6e6,
];

/// A label hidden in the names of metrics, as Envoy's `stats_tags` finds it.
#[derive(Debug, Clone)]
pub struct StatsTag {
    /// The name of the label.
    pub name: String,
    /// Its first group is cut from the metric's name; its second is the label's value.
    pub regex: Regex,
}

/// What a metric is (`proxy_metric_type_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by size.
    Histogram,
}

/// All metrics of a process.
pub struct Metrics {
    tags: Vec<StatsTag>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ids: HashMap<(String, Kind), usize>,
    metrics: Vec<Metric>,
}

struct Metric {
    name: String,
    kind: Kind,
    value: u64,
    buckets: [u64; BUCKETS.len()],
    count: u64,
}

impl Kind {
    /// The kind of a number.
    ///
    /// # Errors
    /// [`Status::BadArgument`]
    pub fn of(number: u32) -> Answer<Kind> {
        match number {
            0 => Ok(Kind::Counter),
            1 => Ok(Kind::Gauge),
            2 => Ok(Kind::Histogram),
            _ => Err(Status::BadArgument),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

impl Metrics {
    /// No metrics yet; these labels will be found in their names.
    pub fn new(tags: Vec<StatsTag>) -> Metrics {
        Metrics { tags, state: Mutex::default() }
    }

    /// The id of a metric. The same name and kind give the same one.
    pub fn define(&self, kind: Kind, name: &str) -> u32 {
        let mut state = self.lock();
        let next = state.metrics.len();
        let id = *state.ids.entry((name.to_owned(), kind)).or_insert(next);
        if id == next {
            let name = name.to_owned();
            state.metrics.push(Metric { name, kind, value: 0, buckets: [0; BUCKETS.len()], count: 0 });
        }
        id as u32
    }

    /// Adds to a counter or a gauge. A counter does not go down, nor can nothing be added to it.
    ///
    /// # Errors
    /// [`Status::NotFound`], or [`Status::BadArgument`] for a histogram.
    pub fn increment(&self, id: u32, by: i64) -> Answer {
        self.change(id, |metric| match metric.kind {
            Kind::Counter if by <= 0 => Err(Status::BadArgument),
            Kind::Counter | Kind::Gauge => {
                metric.value = metric.value.saturating_add_signed(by);
                Ok(())
            }
            Kind::Histogram => Err(Status::BadArgument),
        })
    }

    /// Sets a gauge, adds a value to a histogram, adds to a counter.
    ///
    /// # Errors
    /// [`Status::NotFound`]
    pub fn record(&self, id: u32, value: u64) -> Answer {
        self.change(id, |metric| {
            match metric.kind {
                Kind::Gauge => metric.value = value,
                Kind::Counter => metric.value = metric.value.saturating_add(value),
                Kind::Histogram => {
                    metric.value = metric.value.saturating_add(value);
                    metric.count += 1;
                    for (bucket, bound) in metric.buckets.iter_mut().zip(BUCKETS) {
                        *bucket += u64::from(value as f64 <= bound);
                    }
                }
            }
            Ok(())
        })
    }

    /// The value of a counter or a gauge.
    ///
    /// # Errors
    /// [`Status::NotFound`], or [`Status::BadArgument`] for a histogram.
    pub fn get(&self, id: u32) -> Answer<u64> {
        let state = self.lock();
        let metric = state.metrics.get(id as usize).ok_or(Status::NotFound)?;
        if metric.kind == Kind::Histogram { Err(Status::BadArgument) } else { Ok(metric.value) }
    }

    /// All metrics in Prometheus' text format, ordered by name and labels.
    pub fn prometheus(&self) -> String {
        let state = self.lock();
        let mut families: BTreeMap<(String, Kind), BTreeMap<String, &Metric>> = BTreeMap::new();
        for metric in &state.metrics {
            let (name, labels) = self.name_and_labels(&metric.name);
            families.entry((name, metric.kind)).or_default().insert(labels, metric);
        }
        let mut out = String::new();
        for ((name, kind), series) in &families {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "# TYPE {name} {}", kind.name());
            for (labels, metric) in series {
                write_series(&mut out, name, labels, metric);
            }
        }
        out
    }

    /// What Prometheus calls a metric: labels are cut out of the name, odd characters become `_`.
    fn name_and_labels(&self, name: &str) -> (String, String) {
        let mut rest = name.to_owned();
        let mut labels = Vec::new();
        for tag in &self.tags {
            let found = tag.regex.captures(name).and_then(|found| Some((found.get(1)?, found.get(2)?)));
            if let Some((cut, value)) = found {
                rest = rest.replacen(cut.as_str(), "", 1);
                let value = value.as_str().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                labels.push(format!("{}=\"{value}\"", tag.name));
            }
        }
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == ':' { c } else { '_' };
        (rest.chars().map(plain).collect(), labels.join(","))
    }

    fn change(&self, id: u32, change: impl FnOnce(&mut Metric) -> Answer) -> Answer {
        change(self.lock().metrics.get_mut(id as usize).ok_or(Status::NotFound)?)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_series(out: &mut String, name: &str, labels: &str, metric: &Metric) {
    let value = metric.value;
    let braced = |labels: &str| if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    // Writing to a String cannot fail.
    let _ = match metric.kind {
        Kind::Counter | Kind::Gauge => writeln!(out, "{name}{} {value}", braced(labels)),
        Kind::Histogram => {
            let comma = if labels.is_empty() { "" } else { "," };
            for (bound, count) in BUCKETS.iter().zip(metric.buckets) {
                let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
            }
            let (count, labels_of) = (metric.count, braced(labels));
            let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}");
            let _ = writeln!(out, "{name}_sum{labels_of} {value}");
            writeln!(out, "{name}_count{labels_of} {count}")
        }
    };
}

#[cfg(test)]
mod tests {
    use regex_lite::Regex;

    use super::{Kind, Metrics, StatsTag};
    use crate::abi::Status;

    fn metrics() -> Metrics {
        let tag = |name: &str| StatsTag {
            name: name.into(),
            regex: Regex::new(&format!("(;{name}=([^;]*))")).unwrap(),
        };
        Metrics::new(vec![tag("model"), tag("team")])
    }

    #[test]
    fn labels_are_found_in_names() {
        let metrics = metrics();
        for (name, by) in [("a.tokens;model=gpt-4.1/x;team=\"r\\", 2), ("a.tokens;model=b", 3), ("plain", 1)]
        {
            metrics.increment(metrics.define(Kind::Counter, name), by).unwrap();
        }
        let expected = "# TYPE a_tokens counter\n\
            a_tokens{model=\"b\"} 3\n\
            a_tokens{model=\"gpt-4.1/x\",team=\"\\\"r\\\\\"} 2\n\
            # TYPE plain counter\n\
            plain 1\n";
        assert_eq!(metrics.prometheus(), expected);
    }

    #[test]
    fn each_kind_does_what_its_kind_does() {
        let metrics = metrics();
        let (counter, gauge) = (metrics.define(Kind::Counter, "c"), metrics.define(Kind::Gauge, "g"));
        let histogram = metrics.define(Kind::Histogram, "h");
        assert_eq!(metrics.define(Kind::Counter, "c"), counter);
        assert_eq!(metrics.increment(counter, -1), Err(Status::BadArgument));
        metrics.record(gauge, 7).unwrap();
        metrics.increment(gauge, -2).unwrap();
        assert_eq!(metrics.get(gauge), Ok(5));
        metrics.record(histogram, 30).unwrap();
        assert_eq!(metrics.get(histogram), Err(Status::BadArgument));
        assert_eq!(metrics.get(99), Err(Status::NotFound));
        let text = metrics.prometheus();
        assert!(text.contains("h_bucket{le=\"25\"} 0\nh_bucket{le=\"50\"} 1\n"), "{text}");
        assert!(text.contains("h_bucket{le=\"+Inf\"} 1\nh_sum 30\nh_count 1\n"), "{text}");
    }
}
