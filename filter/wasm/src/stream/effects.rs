//! What the gateway wants done, as calls of the host.

use gateway::{CallOut, Delivery, Edits, Effect, Level, Names, Reply};
use host_calls::{self as host, Buffer, Map};
use proxy_wasm::hostcalls;

use super::{HANDOVER, Machine, State};
use crate::memory;
use crate::metrics::Metrics;
use crate::settling;

/// Where filters that come after find who is calling.
const CALLER: &str = "turnpike.caller";

/// Where the host's access log finds the request's line: a filter's last callback comes before it (H27).
const ACCESS: &str = "turnpike.access";

impl State {
    pub(super) fn perform(&mut self, effect: Effect, chunk: usize) -> host::Result<()> {
        match effect {
            Effect::SetRequestHeader(name, value) => host::set_header(Map::Request, &name, &value),
            Effect::RemoveRequestHeader(name) => host::remove_header(Map::Request, &name),
            Effect::SetResponseHeader(name, value) => host::set_header(Map::Response, name, &value),
            Effect::RemoveResponseHeader(name) => host::remove_header(Map::Response, name),
            Effect::EditRequestBody(edits) => {
                let sized = self.sized.then_some(Map::Request);
                self.request_bytes = edit(Buffer::RequestBody, &edits, self.request_bytes, sized)?;
                Ok(())
            }
            Effect::EditResponseBody(edits) => {
                let sized = self.answer_sized.then_some(Map::Response);
                self.answer_bytes = edit(Buffer::ResponseBody, &edits, self.answer_bytes, sized)?;
                Ok(())
            }
            // Asked where effects are performed, for it may be answered at once.
            Effect::Call(_) => Ok(()),
            Effect::Settle(item) => {
                settling::push(item);
                Ok(())
            }
            Effect::Reclaim(question) => {
                settling::reclaim(question);
                Ok(())
            }
            Effect::ReplaceChunk(bytes) => host::replace_head(Buffer::ResponseBody, chunk, &bytes),
            Effect::Handover(path) => host::set_property(HANDOVER, &path),
            Effect::Publish(caller) => host::set_property(CALLER, &caller),
            Effect::Report(line) => noted(host::set_property(ACCESS, &line)),
            Effect::Reply(reply) => send(&reply),
            Effect::Deliver(delivery) => deliver(&delivery),
            Effect::Remember(cluster, lesson) => noted(memory::remember(&cluster, lesson)),
            Effect::Count(metric) => noted(self.metrics(|metrics, names| metrics.count(metric, 1, names))),
            Effect::Add(metric, by) => noted(self.metrics(|metrics, names| metrics.count(metric, by, names))),
            Effect::Observe(metric, value) => {
                noted(self.metrics(|metrics, names| metrics.observe(metric, value, names)))
            }
            Effect::Log(level, line) => {
                host::log(loudness(level), &line);
                Ok(())
            }
        }
    }

    fn metrics(&self, note: impl FnOnce(&Metrics, Names<'_>) -> host::Result<()>) -> host::Result<()> {
        match &self.machine {
            Machine::Downstream(_, it) => {
                note(&it.metrics, Names::Gateway(it.access.policy(), it.access.models(), it.access.labels()))
            }
            Machine::Upstream(_, it) => note(&it.metrics, Names::Target(&it.target)),
            Machine::Unconfigured => Ok(()),
        }
    }
}

/// Changes a body that the host holds, of so many bytes, and says how long it is then. The `content-length` is told among
/// these headers, if it has one (H3).
fn edit(buffer: Buffer, edits: &Edits, bytes: usize, sized: Option<Map>) -> host::Result<usize> {
    if !edits.is_empty() {
        let head = host::buffer(buffer, edits.reach())?;
        host::replace_head(buffer, edits.reach(), &edits.rewrite(&head))?;
    }
    let bytes = bytes.saturating_add_signed(edits.growth());
    if let Some(map) = sized {
        host::set_header(map, "content-length", &bytes.to_string())?;
    }
    Ok(bytes)
}

/// Asks somebody; gives the token of the call, or nothing where there is nobody to ask.
pub fn ask(call: &CallOut) -> Option<u32> {
    let headers = call.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    hostcalls::dispatch_http_call(&call.cluster, headers, Some(&call.body), Vec::new(), call.timeout).ok()
}

/// How loud the host is to say it.
pub fn loudness(level: Level) -> host::Level {
    match level {
        Level::Info => host::Level::Info,
        Level::Warn => host::Level::Warn,
    }
}

pub fn send(reply: &Reply) -> host::Result<()> {
    let own = reply.headers();
    let headers: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    host::reply(reply.status, reply.reason.code(), &headers, &reply.body())
}

/// What is only noted is worth no request; and at the end of a stream, a reply to the failure would be the end of the host.
#[allow(clippy::unnecessary_wraps, reason = "one of the ways in which an effect is performed")]
fn noted(result: host::Result<()>) -> host::Result<()> {
    if let Err(error) = result {
        host::log(
            host::Level::Warn,
            &format!("{} gave status {}: it is not noted", error.call, error.status),
        );
    }
    Ok(())
}

/// Answers the client with what somebody has said to a call.
fn deliver(delivery: &Delivery) -> host::Result<()> {
    let pairs = delivery.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    host::reply(delivery.status, "turnpike_failover", &pairs.collect::<Vec<_>>(), &delivery.body)
}
