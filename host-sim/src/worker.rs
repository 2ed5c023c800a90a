//! One thread that serves: VMs and upstream clients of its own, and the way of each request through them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc::UnboundedSender;

use crate::chain::{Chain, Filter, Frame, host_reply};
use crate::config::{Config, Plugin, Route};
use crate::headers::HeaderMap;
use crate::router::Router;
use crate::stage::{self, Connected, Event, Left, Right, Times};
use crate::traffic::{Facts, Inbox, LocalReply, Traffic, View};
use crate::upstream::Client;
use crate::vm::Trap;
use crate::vm::host::{Call, CallReply, Services, Wake};
use crate::vms::{Clusters, Vms, shares};

/// The state of a serving thread.
pub struct Worker {
    config: Arc<Config>,
    clients: HashMap<String, Client>,
    vms: Rc<Vms>,
    turn: Cell<u32>,
    itself: Weak<Worker>,
}

/// Who is talking to whom.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    /// The client.
    pub source: std::net::SocketAddr,
    /// The listener.
    pub destination: std::net::SocketAddr,
}

/// What a guest's answer to a call may have at most, in bytes.
const MAX_CALL_REPLY: usize = 64 * 1024 * 1024;

impl Worker {
    /// A worker whose plugins have been started.
    ///
    /// # Errors
    /// A sentence about the plugin or the cluster that does not work.
    pub fn start(
        config: Arc<Config>,
        services: Arc<Services>,
        wake: UnboundedSender<Wake>,
    ) -> Result<Rc<Worker>, String> {
        let mut clients = HashMap::new();
        for cluster in &config.clusters {
            clients.insert(cluster.name.clone(), Client::new(cluster)?);
        }
        let vms = Rc::new(Vms::new(services, config.bounds, wake));
        let worker = Rc::new_cyclic(|itself: &Weak<Worker>| {
            vms.call_by(Weak::clone(itself) as Weak<dyn Clusters>);
            Worker { config, clients, vms, turn: Cell::new(0), itself: Weak::clone(itself) }
        });
        let of_clusters = worker.config.clusters.iter().flat_map(|cluster| &cluster.filters);
        for plugin in worker.config.filters.iter().chain(of_clusters) {
            worker.vms.start(plugin).map_err(|Trap(why)| format!("plugin {}: {why}", plugin.name))?;
        }
        Ok(worker)
    }

    /// Tells a plugin that its queue has something in it.
    pub fn wake(&self, wake: &Wake) {
        self.vms.wake(wake);
    }

    /// Runs a client's request to its end.
    pub async fn serve(
        self: Rc<Worker>,
        left: Left,
        headers: &HeaderMap,
        connection: Connection,
        protocol: &'static str,
    ) {
        let facts = Facts {
            source: Some(connection.source),
            destination: Some(connection.destination),
            start: SystemTime::now(),
            protocol,
            ..self.facts(headers)
        };
        let state = Rc::default();
        let traffic = Traffic { facts, filter_state: Rc::clone(&state), ..Traffic::default() };
        let (chain, inbox) = match self.chain(&self.config.filters, traffic, true) {
            Ok(opened) => opened,
            Err(Trap(_)) => {
                let reply = host_reply(503, "", "wasm_fail_stream");
                let _ = left.responses.send(Event::Reply(reply)).await;
                return;
            }
        };
        let times = Times { idle: Some(self.config.idle_timeout) };
        let worker = Rc::clone(&self);
        let connect = move |headers: &HeaderMap| worker.connect(headers, Rc::clone(&state));
        stage::run(chain, inbox, left, times, connect).await;
    }

    /// What is known of a request's way before any filter has run.
    fn facts(&self, headers: &HeaderMap) -> Facts {
        let Some(route) = self.route(headers) else { return Facts::default() };
        let cluster = match route.clusters.as_slice() {
            [(only, _)] => only.clone(),
            _ => String::new(),
        };
        Facts { route: route.name.clone(), cluster, ..Facts::default() }
    }

    fn route(&self, headers: &HeaderMap) -> Option<&Route> {
        Router::new(&self.config.routes).find(headers)
    }

    /// The router: the headers decide as the filters have left them.
    fn connect(self: &Rc<Worker>, headers: &HeaderMap, state: FilterState) -> Connected {
        let route = self.route(headers).ok_or_else(|| host_reply(404, "", "route_not_found"))?;
        let right = self.open(route.pick(&self.turn)?, &route.name, state)?;
        Ok((right, route.timeout))
    }

    /// A cluster's filter chain and client, ready for one request.
    fn open(
        self: &Rc<Worker>,
        cluster: &str,
        route: &str,
        filter_state: FilterState,
    ) -> Result<Right, LocalReply> {
        let unknown = || host_reply(503, "", "cluster_not_found");
        let client = self.clients.get(cluster).ok_or_else(unknown)?.clone();
        let filters = self.config.clusters.iter().find(|it| it.name == cluster).map(|it| &it.filters);
        let (left, right) = stage::pair();
        let filters = filters.filter(|filters| !filters.is_empty());
        let Some(filters) = filters else {
            tokio::task::spawn_local(client.carry(left));
            return Ok(right);
        };
        let facts = Facts { route: route.into(), cluster: cluster.into(), ..Facts::default() };
        let traffic = Traffic { facts, filter_state, ..Traffic::default() };
        let (chain, inbox) =
            self.chain(filters, traffic, false).map_err(|Trap(_)| host_reply(503, "", "wasm_fail_stream"))?;
        let connect = move |_: &HeaderMap| {
            let (left, right) = stage::pair();
            tokio::task::spawn_local(client.clone().carry(left));
            Ok((right, None))
        };
        tokio::task::spawn_local(stage::run(chain, inbox, left, Times { idle: None }, connect));
        Ok(right)
    }

    fn chain(
        &self,
        plugins: &[Arc<Plugin>],
        traffic: Traffic,
        log: bool,
    ) -> Result<(Chain, Rc<Inbox>), Trap> {
        let traffic = Rc::new(RefCell::new(traffic));
        let inbox = Rc::new(Inbox::default());
        let mut filters = Vec::new();
        for (place, plugin) in plugins.iter().enumerate() {
            let view = Rc::new(View::new(place, Rc::clone(&traffic), Rc::clone(&inbox)));
            let (vm, context) = self.vms.open(plugin, Rc::clone(&view))?;
            let stop_iteration = plugin.allow_on_headers_stop_iteration;
            filters.push(Filter { vm, context, view, stop_iteration });
        }
        let chain = Chain::new(filters, traffic, Rc::clone(&inbox), self.config.buffer_limit, log);
        Ok((chain, inbox))
    }

    /// Makes a call for a guest. It runs the cluster's filters, as in Envoy, but has no route and no filter state.
    async fn call_cluster(self: Rc<Worker>, call: Call) -> Option<CallReply> {
        let timeout = call.timeout;
        let mut reply = CallReply::default();
        let answered = tokio::time::timeout(timeout, self.exchange(call, &mut reply)).await;
        match answered {
            Ok(whole) => whole.then_some(reply),
            // Too late for an answer, but if there was none at all there is one to give.
            Err(_) if reply.headers.is_empty() => Some(local(504, "upstream request timeout")),
            Err(_) => None,
        }
    }

    /// Whether the answer is whole.
    async fn exchange(self: Rc<Worker>, call: Call, reply: &mut CallReply) -> bool {
        let mut right = match self.open(&call.cluster, "", Rc::default()) {
            Ok(right) => right,
            Err(refused) => {
                *reply = local(refused.status, &String::from_utf8_lossy(&refused.body));
                return true;
            }
        };
        let mut headers = call.headers;
        let body = !call.body.is_empty();
        if body {
            headers.set("content-length", call.body.len().to_string().as_bytes());
        }
        let frames = [Some(Frame::Headers(headers, !body)), body.then_some(Frame::Data(call.body, true))];
        for frame in frames.into_iter().flatten() {
            // One that does not want it all may answer all the same.
            let _ = right.requests.send(frame).await;
        }
        while let Some(event) = right.responses.recv().await {
            match event {
                Event::Frame(Frame::Headers(map, end)) => {
                    reply.headers = map;
                    if end {
                        return true;
                    }
                }
                Event::Frame(Frame::Data(bytes, end)) => {
                    reply.body.extend(bytes);
                    if end || reply.body.len() > MAX_CALL_REPLY {
                        return end;
                    }
                }
                Event::Frame(Frame::Trailers(map)) => {
                    reply.trailers = map;
                    return true;
                }
                Event::Reply(refused) => {
                    *reply = local(refused.status, &String::from_utf8_lossy(&refused.body));
                    return true;
                }
                Event::Local(_) => {}
                Event::Reset => break,
            }
        }
        // As in Envoy: a reset before any answer is a 503, one in its middle is none at all (H7).
        if reply.headers.is_empty() {
            *reply = local(503, "upstream connect error or disconnect/reset before headers");
            return true;
        }
        false
    }
}

impl Clusters for Worker {
    fn reenters(&self, cluster: &str, plugin: &Plugin) -> bool {
        let cluster = self.config.clusters.iter().find(|it| it.name == cluster);
        cluster.is_some_and(|cluster| cluster.filters.iter().any(|filter| shares(filter, plugin)))
    }

    fn call(&self, call: Call) -> Pin<Box<dyn Future<Output = Option<CallReply>>>> {
        let worker = self.itself.upgrade();
        Box::pin(async move { worker?.call_cluster(call).await })
    }
}

type FilterState = Rc<RefCell<HashMap<String, Vec<u8>>>>;

/// The host's own answer to a guest's call.
fn local(status: u16, body: &str) -> CallReply {
    let (status, length) = (status.to_string(), body.len().to_string());
    let headers = [(":status", status.as_str()), ("content-length", &length), ("content-type", "text/plain")];
    CallReply { headers: headers.into_iter().collect(), body: body.into(), trailers: HeaderMap::default() }
}
