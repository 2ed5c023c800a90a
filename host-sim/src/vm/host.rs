//! What the host functions of one VM work on.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use wasmtime::StoreLimits;

use crate::abi::{Answer, BufferKind, LogLevel, MapKind, Status};
use crate::config::LogSink;
use crate::headers::HeaderMap;
use crate::metrics::Metrics;
use crate::property::PluginNames;
use crate::shared::Shared;
use crate::traffic::View;

/// What the VMs of all workers have in common.
pub struct Services {
    /// Values and queues.
    pub shared: Shared,
    /// Metrics.
    pub metrics: Metrics,
    /// Takes log lines.
    pub log: LogSink,
    /// The quietest level that is written.
    pub log_level: LogLevel,
    /// The clusters that a guest may call, and whether they have servers.
    pub clusters: HashMap<String, bool>,
}

/// The store's data: everything that a host function can reach.
pub struct Host {
    /// Bounds of the guest's memory.
    pub limits: StoreLimits,
    /// What all VMs share.
    pub services: Arc<Services>,
    /// The environment variables that the guest sees.
    pub env: Vec<(String, String)>,
    /// Root and stream contexts by their ids.
    pub contexts: HashMap<u32, Context>,
    /// The context that host functions are about.
    pub effective: u32,
    /// The answer to a call of the guest's own, while it is being told of it.
    pub call_reply: Option<CallReply>,
    /// What the guest has asked for and the worker has yet to do.
    pub requests: Vec<Request>,
    /// Wakes the worker that this VM belongs to, for queues.
    pub wake: UnboundedSender<Wake>,
    /// Which VM of the worker this is.
    pub serial: u64,
    /// The last token given to a call.
    pub last_token: u32,
}

/// A context of the guest.
pub enum Context {
    /// Of a plugin.
    Root(Rc<PluginText>),
    /// Of a filter of one stream.
    Stream {
        /// The plugin's.
        plugin: Rc<PluginText>,
        /// What it sees.
        view: Rc<View>,
    },
}

/// Names and configurations of a plugin, for its guest to read.
#[derive(Debug)]
pub struct PluginText {
    /// Its names.
    pub names: PluginNames,
    /// `configuration`
    pub configuration: Vec<u8>,
    /// `vm_config.configuration`
    pub vm_configuration: Vec<u8>,
}

/// Something that the worker does for a guest, outside of its callback.
#[derive(Debug)]
pub enum Request {
    /// Call a cluster.
    Call(Call),
    /// Tick for a root context; not at all if the period is zero.
    Tick(u32, Duration),
}

/// A call of a guest's own to a cluster.
#[derive(Debug)]
pub struct Call {
    /// Who is told of the answer.
    pub context: u32,
    /// By which number.
    pub token: u32,
    /// Whom to call.
    pub cluster: String,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The request's body.
    pub body: Vec<u8>,
    /// The request's trailers.
    pub trailers: HeaderMap,
    /// How long until it has failed.
    pub timeout: Duration,
}

/// The answer to a call. No headers: there is none, the call has failed.
#[derive(Debug, Clone, Default)]
pub struct CallReply {
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The answer's body.
    pub body: Vec<u8>,
    /// The answer's trailers.
    pub trailers: HeaderMap,
}

/// A queue of a guest's has something in it.
#[derive(Debug)]
pub struct Wake {
    /// Which VM.
    pub vm: u64,
    /// Which root context.
    pub root: u32,
    /// Which queue.
    pub queue: u32,
}

impl Host {
    /// Whether a log line of this level is written.
    pub fn logs(&self, level: LogLevel) -> bool {
        level >= self.services.log_level
    }

    /// Writes a log line of the guest's, as Envoy does.
    pub fn log(&self, level: LogLevel, line: &str) {
        if self.logs(level) {
            let names = self.plugin().map(|plugin| format!("{} {}", plugin.names.name, plugin.names.root_id));
            (self.services.log)(level, &format!("wasm log {}: {line}", names.unwrap_or_default()));
        }
    }

    /// The plugin of the effective context.
    pub fn plugin(&self) -> Option<&Rc<PluginText>> {
        match self.contexts.get(&self.effective)? {
            Context::Root(plugin) | Context::Stream { plugin, .. } => Some(plugin),
        }
    }

    /// What the effective context sees of its stream.
    ///
    /// # Errors
    /// [`Status::BadArgument`] for a root context.
    pub fn view(&self) -> Answer<&Rc<View>> {
        match self.contexts.get(&self.effective) {
            Some(Context::Stream { view, .. }) => Ok(view),
            Some(Context::Root(_)) | None => Err(Status::BadArgument),
        }
    }

    /// Looks at a buffer.
    ///
    /// # Errors
    /// [`Status::NotFound`] where this callback has none of the kind.
    pub fn look_at<T>(&self, kind: BufferKind, look: impl FnOnce(&[u8]) -> T) -> Answer<T> {
        match kind {
            BufferKind::CallResponseBody => {
                self.call_reply.as_ref().map(|reply| look(&reply.body)).ok_or(Status::NotFound)
            }
            BufferKind::PluginConfiguration => {
                self.plugin().map(|plugin| look(&plugin.configuration)).ok_or(Status::NotFound)
            }
            BufferKind::VmConfiguration => {
                self.plugin().map(|plugin| look(&plugin.vm_configuration)).ok_or(Status::NotFound)
            }
            BufferKind::RequestBody | BufferKind::ResponseBody => {
                self.view().map_err(|_| Status::NotFound)?.look_at(kind, look)
            }
        }
    }

    /// Looks at headers.
    ///
    /// # Errors
    /// [`Status::BadArgument`] where this callback has none of the kind.
    pub fn map<T>(&self, kind: MapKind, look: impl FnOnce(&HeaderMap) -> T) -> Answer<T> {
        let of_call = |part: fn(&CallReply) -> &HeaderMap| {
            let map = self.call_reply.as_ref().map(part).filter(|map| !map.is_empty());
            map.ok_or(Status::BadArgument)
        };
        match kind {
            MapKind::CallResponseHeaders => of_call(|reply| &reply.headers).map(look),
            MapKind::CallResponseTrailers => of_call(|reply| &reply.trailers).map(look),
            MapKind::RequestHeaders
            | MapKind::RequestTrailers
            | MapKind::ResponseHeaders
            | MapKind::ResponseTrailers => self.view()?.map(kind, look),
        }
    }
}
