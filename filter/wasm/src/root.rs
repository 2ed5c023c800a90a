//! The root context: takes the configuration, makes a context for each stream.

use std::rc::Rc;

use gateway::{Attempt, Exchange};
use host_calls::{self as host, Buffer, Level};
use policy::{Gateway, Plugin, Problem, Target};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::metrics::Metrics;
use crate::stream::{Machine, Stream};

/// What this VM has been told to do.
#[derive(Default)]
pub struct Root {
    job: Job,
}

#[derive(Default)]
enum Job {
    /// No configuration has been taken: nothing passes.
    #[default]
    None,
    Downstream(Rc<Gateway>, Rc<Metrics>),
    Upstream(Rc<Target>),
}

impl Context for Root {}

impl RootContext for Root {
    /// Runs several times for one configuration in Envoy, so it has no effect but to take it.
    fn on_configure(&mut self, size: usize) -> bool {
        match read(size) {
            Ok(Plugin::Downstream(gateway)) => self.job = Job::Downstream(Rc::new(gateway), Rc::default()),
            Ok(Plugin::Upstream(target)) => self.job = Job::Upstream(Rc::new(target)),
            Err(problems) => {
                for problem in problems {
                    host::log(Level::Error, &format!("plugin configuration: {problem}"));
                }
                return false;
            }
        }
        true
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        let machine = match &self.job {
            Job::None => Machine::Unconfigured,
            Job::Downstream(gateway, metrics) => {
                let exchange = Exchange::new(Rc::clone(gateway));
                Machine::Downstream(exchange, Rc::clone(gateway), Rc::clone(metrics))
            }
            Job::Upstream(target) => Machine::Upstream(Attempt::new(Rc::clone(target))),
        };
        Some(Box::new(Stream::new(machine)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

fn read(size: usize) -> Result<Plugin, Vec<Problem>> {
    let json = host::buffer(Buffer::PluginConfiguration, size).map_err(|error| {
        vec![Problem {
            path: String::new(),
            what: format!("cannot be read: {} gave {}", error.call, error.status),
        }]
    })?;
    Plugin::read(&json, &|name| std::env::var(name).ok())
}
