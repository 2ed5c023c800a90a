//! Counters and histograms of the host, by the series they stand for. A series is defined once per VM.

use std::cell::RefCell;
use std::collections::HashMap;

use gateway::{Metric, Names};
use host_calls as host;

/// The ids of series that have been used.
#[derive(Default)]
pub struct Metrics {
    ids: RefCell<HashMap<Metric, u32>>,
}

impl Metrics {
    /// Counts so many; nothing is not counted (H26).
    pub fn count(&self, metric: Metric, by: u64, names: Names<'_>) -> host::Result<()> {
        if by == 0 {
            return Ok(());
        }
        host::add(self.id(metric, names, host::counter)?, by)
    }

    /// Notes a value.
    pub fn observe(&self, metric: Metric, value: u64, names: Names<'_>) -> host::Result<()> {
        host::record(self.id(metric, names, host::histogram)?, value)
    }

    fn id(
        &self,
        metric: Metric,
        names: Names<'_>,
        define: impl FnOnce(&str) -> host::Result<u32>,
    ) -> host::Result<u32> {
        let known = self.ids.borrow().get(&metric).copied();
        if let Some(id) = known {
            return Ok(id);
        }
        let id = define(&metric.series(names))?;
        self.ids.borrow_mut().insert(metric, id);
        Ok(id)
    }
}
