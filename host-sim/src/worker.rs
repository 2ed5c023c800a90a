//! One thread that serves: VMs and upstream clients of its own, and the way of each request through them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc::UnboundedSender;

use crate::chain::{Chain, Filter, Frame, Side};
use crate::config::{Config, Plugin, Route};
use crate::headers::HeaderMap;
use crate::retry::{self, Attempt, Tries};
use crate::router::Router;
use crate::stage::{self, Connected, Event, Left, Times};
use crate::traffic::{Common, Facts, Failure, Inbox, LocalReply, Traffic, View, host_reply};
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
        let route = self.route(headers);
        let facts = Facts {
            route: route.map(|route| route.name.clone()).unwrap_or_default(),
            source: Some(connection.source),
            destination: Some(connection.destination),
            start: SystemTime::now(),
            protocol,
        };
        let common = Rc::<Common>::default();
        if let Some([(only, _)]) = route.map(|route| route.clusters.as_slice()) {
            common.cluster.replace(only.clone());
        }
        let traffic = Traffic { facts, common: Rc::clone(&common), ..Traffic::default() };
        let (mut chain, inbox) = match self.chain(&self.config.filters, traffic, Side::Listener) {
            Ok(opened) => opened,
            Err(Trap(_)) => {
                let reply = host_reply(503, "", "wasm_fail_stream");
                let _ = left.responses.send(Event::Reply(reply)).await;
                return;
            }
        };
        chain.access_log.clone_from(&self.config.access_log);
        let times = Times { idle: Some(self.config.idle_timeout) };
        let worker = Rc::clone(&self);
        let connect = move |headers: &mut HeaderMap| worker.connect(headers, &common);
        stage::run(chain, inbox, left, times, connect).await;
    }

    fn route(&self, headers: &HeaderMap) -> Option<&Route> {
        Router::new(&self.config.routes).find(headers)
    }

    /// The router: the headers decide as the filters have left them.
    fn connect(self: &Rc<Worker>, headers: &mut HeaderMap, common: &Rc<Common>) -> Connected {
        let route = self.route(headers).ok_or_else(|| host_reply(404, "", "route_not_found"))?;
        let header = self.config.chain_header.as_deref();
        let names = header.and_then(|header| headers.text(header)).unwrap_or_default().to_owned();
        header.into_iter().for_each(|header| headers.remove(header));
        let Some(again) = &route.retry else {
            return Ok((self.open(route.pick(&self.turn)?, &route.name, common)?.right, route.timeout));
        };
        let tries = match Tries::named(again, &names) {
            Some(tries) => tries,
            None => Tries::same(again, route.pick(&self.turn)?),
        };
        let (worker, name, common) = (Rc::clone(self), route.name.clone(), Rc::clone(common));
        let open = move |cluster: &str| worker.open(cluster, &name, &common);
        let (left, right) = stage::pair();
        tokio::task::spawn_local(retry::run(left, tries, self.config.buffer_limit, open));
        Ok((right, route.timeout))
    }

    /// A cluster's filter chain and client, at work on one attempt.
    fn open(
        self: &Rc<Worker>,
        cluster: &str,
        route: &str,
        common: &Rc<Common>,
    ) -> Result<Attempt, LocalReply> {
        let no_server = || host_reply(503, "no healthy upstream", "no_healthy_upstream");
        let Some(client) = self.clients.get(cluster).cloned() else {
            common.cluster.take();
            // Envoy finds out about a later attempt's cluster only when it looks for a server.
            return Err(match common.attempts.get() {
                0 => host_reply(503, "", "cluster_not_found"),
                made => {
                    common.attempts.set(made + 1);
                    no_server()
                }
            });
        };
        common.attempts.set(common.attempts.get() + 1);
        common.cluster.replace(cluster.to_owned());
        if client.is_empty() {
            return Err(no_server());
        }
        let filters = self.config.clusters.iter().find(|it| it.name == cluster).map(|it| &it.filters);
        let (left, right) = stage::pair();
        let filters = filters.filter(|filters| !filters.is_empty());
        let Some(filters) = filters else {
            let end = tokio::task::spawn_local(async {
                client.carry(left).await;
                None
            });
            return Ok(Attempt { right, end });
        };
        let facts = Facts { route: route.into(), ..Facts::default() };
        let traffic = Traffic { facts, common: Rc::clone(common), ..Traffic::default() };
        let died = |Trap(_)| host_reply(503, "", "wasm_fail_stream");
        let (chain, inbox) = self.chain(filters, traffic, Side::Cluster).map_err(died)?;
        let connect = move |_: &mut HeaderMap| {
            let (left, right) = stage::pair();
            tokio::task::spawn_local(client.clone().carry(left));
            Ok((right, None))
        };
        let end = tokio::task::spawn_local(stage::run(chain, inbox, left, Times { idle: None }, connect));
        Ok(Attempt { right, end })
    }

    fn chain(
        &self,
        plugins: &[Arc<Plugin>],
        traffic: Traffic,
        side: Side,
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
        let chain = Chain::new(filters, traffic, Rc::clone(&inbox), self.config.buffer_limit, side);
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
            Err(_) if reply.headers.is_empty() => Some(local(Failure::Late.reply(1))),
            Err(_) => None,
        }
    }

    /// Whether the answer is whole.
    async fn exchange(self: Rc<Worker>, call: Call, reply: &mut CallReply) -> bool {
        let mut right = match self.open(&call.cluster, "", &Rc::default()) {
            Ok(attempt) => attempt.right,
            Err(refused) => {
                *reply = local(refused);
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
                // As in Envoy: a failure before any answer is a 503, one in its middle is none at all (H7).
                Event::Reply(refused) if reply.headers.is_empty() => {
                    *reply = local(refused);
                    return true;
                }
                Event::Failed(failure) if reply.headers.is_empty() => {
                    *reply = local(failure.reply(1));
                    return true;
                }
                Event::Reply(_) | Event::Failed(_) => break,
            }
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

/// The host's own answer to a guest's call.
fn local(reply: LocalReply) -> CallReply {
    CallReply { headers: reply.all_headers(), body: reply.body, trailers: HeaderMap::default() }
}
