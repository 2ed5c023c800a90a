//! The root context: takes the configuration, makes a context for each stream, fetches keys.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::rc::Rc;
use std::time::Duration;

use gateway::{Access, Attempt, Exchange, Fetch};
use host_calls::{self as host, Buffer, Level, Map};
use policy::{Plugin, Problem, Target};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::metrics::Metrics;
use crate::settling;
use crate::stream::{self, Machine, Stream};
use crate::waiting::Waiting;

/// How often it is looked whether keys have to be fetched, whether somebody has waited long enough for them, and whether
/// there is anything to settle.
const TICK: Duration = Duration::from_millis(100);

/// More than any set of keys has.
const MAX_KEYS_BYTES: usize = 1 << 20;

/// What this VM has been told to do.
#[derive(Default)]
pub struct Root {
    job: Job,
    /// The calls that are under way, and whose keys they are for.
    calls: HashMap<u32, usize>,
    /// The call that tells the sidecar what was used.
    settling: Option<u32>,
}

#[derive(Default)]
enum Job {
    /// No configuration has been taken: nothing passes.
    #[default]
    None,
    Downstream(Rc<Downstream>),
    Upstream(Rc<Upstream>),
}

/// What the streams of a cluster share.
pub struct Upstream {
    pub target: Rc<Target>,
    pub metrics: Metrics,
}

/// What the streams of a listener share.
pub struct Downstream {
    pub access: Rc<Access>,
    pub metrics: Metrics,
    pub waiting: Waiting,
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _trailers: usize) {
        if self.settling == Some(token) {
            self.settling = None;
            stream::answered(headers, body, settling::heard);
            self.settle();
            return;
        }
        let Some(provider) = self.calls.remove(&token) else {
            if let Job::Downstream(it) = &self.job {
                Rc::clone(it).waiting.called(token, headers, body);
            }
            return;
        };
        let answer = fetched(body);
        let answer = answer.as_ref().map(String::as_str).map_err(String::as_str);
        self.give(provider, answer);
    }
}

impl RootContext for Root {
    /// Runs several times for one configuration in Envoy, so it has no effect but to take it.
    fn on_configure(&mut self, size: usize) -> bool {
        // What comes of earlier calls was asked for by another configuration, whose providers had other places.
        self.calls.clear();
        match read(size) {
            Ok(Plugin::Downstream(gateway)) => {
                let access = Rc::new(Access::new(Rc::new(gateway), seed()));
                // Hosts that have no ticks cannot be told so here; their requests wait in vain, and are refused.
                let ticks = access.fetches() || access.policy().sidecar.is_some();
                if ticks && host::tick_every(TICK).is_err() {
                    host::log(
                        Level::Error,
                        "this host gives no ticks, without which no keys can be fetched and nothing be settled",
                    );
                    return false;
                }
                let (metrics, waiting) = (Metrics::default(), Waiting::default());
                self.job = Job::Downstream(Rc::new(Downstream { access, metrics, waiting }));
            }
            Ok(Plugin::Upstream(target)) => {
                let upstream = Upstream { target: Rc::new(target), metrics: Metrics::default() };
                self.job = Job::Upstream(Rc::new(upstream));
            }
            Err(problems) => {
                for problem in problems {
                    host::log(Level::Error, &format!("plugin configuration: {problem}"));
                }
                return false;
            }
        }
        true
    }

    fn on_tick(&mut self) {
        let (Job::Downstream(it), Ok(now)) = (&self.job, host::now()) else { return };
        let it = Rc::clone(it);
        for fetch in it.access.due(now) {
            match call(&fetch) {
                Ok(token) => drop(self.calls.insert(token, fetch.provider)),
                Err(why) => self.give(fetch.provider, Err(&why)),
            }
        }
        self.settle();
        it.waiting.wake(now, false);
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        let machine = match &self.job {
            Job::None => Machine::Unconfigured,
            Job::Downstream(it) => {
                let exchange = Box::new(Exchange::new(Rc::clone(&it.access)));
                Machine::Downstream(exchange, Rc::clone(it))
            }
            Job::Upstream(it) => Machine::Upstream(Attempt::new(Rc::clone(&it.target)), Rc::clone(it)),
        };
        Some(Box::new(Stream::new(context, machine)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Root {
    /// Tells the sidecar what was used, if there is anything to be told.
    fn settle(&mut self) {
        let (Job::Downstream(it), Ok(now)) = (&self.job, host::now()) else { return };
        let Some(sidecar) = &it.access.policy().sidecar else { return };
        if let Some(call) = settling::next(sidecar, now) {
            self.settling = stream::ask(&call);
            if self.settling.is_none() {
                settling::heard(None, now);
            }
        }
    }

    /// Hands keys over, or the reason why there are none, and wakes whoever waits for them. The last thing to do in a
    /// callback: from here on the host takes us for others.
    fn give(&self, provider: usize, answer: Result<&str, &str>) {
        let (Job::Downstream(it), Ok(now)) = (&self.job, host::now()) else { return };
        if let Some((level, line)) = it.access.fetched(provider, now, answer) {
            host::log(stream::loudness(level), &line);
        }
        it.waiting.wake(now, true);
    }
}

/// Asks for keys; gives the token of the call.
fn call(fetch: &Fetch) -> Result<u32, String> {
    let headers = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", &fetch.host),
        (":path", &fetch.path),
        ("accept", "application/json"),
    ];
    hostcalls::dispatch_http_call(&fetch.cluster, headers, None, Vec::new(), fetch.timeout)
        .map_err(|status| format!("the host has not sent the request ({status:?})"))
}

/// What has come.
fn fetched(bytes: usize) -> Result<String, String> {
    let status = host::header(Map::Call, ":status").map_err(|_| "no answer in time".to_owned())?;
    if status != "200" {
        return Err(format!("the answer has status {status}"));
    }
    if bytes > MAX_KEYS_BYTES {
        return Err(format!("the answer is longer than {MAX_KEYS_BYTES} bytes"));
    }
    let body = host::buffer(Buffer::CallBody, bytes)
        .map_err(|error| format!("{} gave {}", error.call, error.status))?;
    String::from_utf8(body).map_err(|_| "the answer is no text".to_owned())
}

/// Sixteen bytes that nobody can guess. The hashing of the standard library is seeded by the host's randomness.
fn seed() -> [u8; 16] {
    let half = || RandomState::new().build_hasher().finish().to_ne_bytes();
    let mut seed = [0; 16];
    for (byte, random) in seed.iter_mut().zip(half().into_iter().chain(half())) {
        *byte = random;
    }
    seed
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
