//! Counters of the host, by the series they stand for. A series is defined once per VM.

use std::cell::RefCell;
use std::collections::HashMap;

use gateway::Metric;
use host_calls as host;
use policy::Gateway;

/// The ids of counters that have been used.
#[derive(Default)]
pub struct Metrics {
    ids: RefCell<HashMap<Metric, u32>>,
}

impl Metrics {
    /// Counts one.
    pub fn count(&self, metric: Metric, gateway: &Gateway) -> host::Result<()> {
        let known = self.ids.borrow().get(&metric).copied();
        let id = match known {
            Some(id) => id,
            None => {
                let id = host::counter(&metric.series(gateway))?;
                self.ids.borrow_mut().insert(metric, id);
                id
            }
        };
        host::increment(id)
    }
}
