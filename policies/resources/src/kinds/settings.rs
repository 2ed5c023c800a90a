//! `Settings` (gloo.solo.io/v1): what holds for the whole gateway. Some fields of it are ours to act on; `prices` and
//! `accessLog` are ours altogether.

use std::collections::BTreeMap;
use std::time::Duration;

use policy::written::{AccessLog, ClaimPath, Price};

use super::rate_limit::{self, Rules};
use crate::node::{At, Node, Object, Unknown};
use crate::problem::Severity;

/// What holds for the whole gateway.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether a route without `rbac` lets nobody pass.
    pub require_rbac: bool,
    /// The limits that the `ratelimit` of options leads to, and where they are written.
    pub rules: Option<(Rules, At)>,
    /// How limits are enforced.
    pub server: Server,
    /// What models cost, by their names.
    pub prices: BTreeMap<String, Price>,
    /// What is logged of each request; nothing if absent.
    pub access_log: Option<AccessLog>,
}

/// How limits are enforced.
#[derive(Debug, Clone, Copy, Default)]
pub struct Server {
    /// Whether requests are refused while counters cannot be reached.
    pub deny_on_fail: bool,
    /// Whether answers say how much is left.
    pub headers: bool,
    /// How long a request waits for the counters.
    pub timeout: Option<Duration>,
}

/// The longest that a request may wait for the counters.
const MAX_TIMEOUT: Duration = Duration::from_mins(1);
/// The dearest model, in dollars for a million tokens.
const MAX_PRICE: f64 = 1_000_000.0;

/// Reads a spec. The other fields are about the control plane that is not here.
pub fn read(spec: &Object<'_>) -> Option<Settings> {
    spec.all();
    let require_rbac = spec.get("rbac").map_or(Some(false), |it| it.object()?.flag("requireRbac"));
    let rules = spec.optional("ratelimit", |it| Some((rules(it)?, it.at())));
    let server = spec.get("ratelimitServer").map_or(Some(Server::default()), |it| server(&it));
    let prices = spec.get("prices").map_or(Some(BTreeMap::new()), |it| prices(&it));
    let access_log = spec.optional("accessLog", access_log);
    Some(Settings {
        require_rbac: require_rbac?,
        rules: rules?,
        server: server?,
        prices: prices?,
        access_log: access_log?,
    })
}

fn rules(node: &Node<'_>) -> Option<Rules> {
    let object = node.object()?;
    let rules = rate_limit::rules(&object);
    object.finish(Unknown::Refuse);
    rules
}

fn server(node: &Node<'_>) -> Option<Server> {
    let object = node.object()?;
    let deny_on_fail = object.flag("denyOnFail");
    let headers = object.flag("enableXRatelimitHeaders");
    let timeout = object.optional("requestTimeout", timeout);
    if let Some(early) = object.get("rateLimitBeforeAuth")
        && early.truth()?
    {
        early.say(
            Severity::Warning,
            "has no effect: limits are looked at when it is known who is calling, and a caller who is not let in uses \
             nothing of them",
        );
    }
    for elsewhere in ["ratelimitServerRef", "grpcService"] {
        object.get(elsewhere);
    }
    object.finish(Unknown::Warn);
    Some(Server { deny_on_fail: deny_on_fail?, headers: headers?, timeout: timeout?.flatten() })
}

fn timeout(node: &Node<'_>) -> Option<Option<Duration>> {
    let timeout = node.proto_duration()?;
    if timeout.is_zero() {
        return Some(None);
    }
    if !(Duration::from_millis(1)..=MAX_TIMEOUT).contains(&timeout) {
        node.refuse("expected 1ms to 1m");
        return None;
    }
    Some(Some(timeout))
}

fn prices(node: &Node<'_>) -> Option<BTreeMap<String, Price>> {
    let all: Vec<Option<(String, Price)>> =
        node.object()?.all().into_iter().map(|(model, it)| Some((model, price(&it)?))).collect();
    all.into_iter().collect()
}

fn price(node: &Node<'_>) -> Option<Price> {
    let object = node.object()?;
    let input = object.need("input").and_then(|it| dollars(&it));
    let cached_input = object.optional("cachedInput", dollars);
    let output = object.need("output").and_then(|it| dollars(&it));
    object.finish(Unknown::Refuse);
    Some(Price { input: input?, cached_input: cached_input?, output: output? })
}

fn dollars(node: &Node<'_>) -> Option<f64> {
    let dollars = node.amount()?;
    if !(0.0..=MAX_PRICE).contains(&dollars) {
        node.refuse(format!("expected dollars for a million tokens, 0 to {MAX_PRICE}"));
        return None;
    }
    Some(dollars)
}

fn access_log(at: &Node<'_>) -> Option<AccessLog> {
    let object = at.object()?;
    let caller = object.get("caller").map_or(Some(None), |it| claim(&it).map(Some))?;
    object.finish(Unknown::Warn);
    Some(AccessLog { caller })
}

/// A claim by its name, or by the names on the way to it.
fn claim(at: &Node<'_>) -> Option<ClaimPath> {
    if at.is_list() { at.texts().map(ClaimPath::Nested) } else { at.text().map(ClaimPath::Name) }
}
