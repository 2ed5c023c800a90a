//! The kinds that are read, each as it is written: defaults filled in, references not yet followed.

pub mod ai;
pub mod budgets;
pub mod failover;
pub mod gateway;
pub mod http_route;
pub mod jwt;
pub mod limits;
pub mod options;
pub mod parameters;
pub mod prompt_guard;
pub mod rate_limit;
pub mod rbac;
pub mod retries;
pub mod secret;
pub mod settings;
pub mod upstream;

use crate::node::{Node, Unknown};
use crate::problem::{Place, Severity, did_you_mean};

/// A document that says what it is.
#[derive(Debug)]
pub struct Resource {
    /// What it is called, and where.
    pub id: Id,
    /// Where it stands.
    pub place: Place,
    /// What it says.
    pub spec: Spec,
}

/// The name of a resource. Another resource of the same kind and name takes its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The kind.
    pub kind: &'static str,
    /// The namespace, `default` where none is written.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// What a resource says.
#[derive(Debug)]
pub enum Spec {
    /// Where clients come in.
    Gateway(gateway::Gateway),
    /// Which requests go where.
    HttpRoute(http_route::HttpRoute),
    /// A provider.
    Upstream(upstream::Upstream),
    /// A provider's key.
    Secret(secret::Secret),
    /// Policies of a gateway.
    VirtualHostOption(options::OptionResource),
    /// Policies of a route.
    RouteOption(options::OptionResource),
    /// Limits that options refer to.
    RateLimitConfig(rate_limit::RateLimitConfig),
    /// What holds for the whole gateway.
    Settings(settings::Settings),
    /// How a gateway is deployed.
    GatewayParameters(parameters::Parameters),
}

/// Kinds that this version reads.
const READ: [&str; 9] = [
    "Gateway",
    "HTTPRoute",
    "Upstream",
    "Secret",
    "VirtualHostOption",
    "RouteOption",
    "RateLimitConfig",
    "Settings",
    "GatewayParameters",
];

/// Kinds of the same tour and its surroundings that are somebody else's business.
const NOT_OURS: [&str; 6] =
    ["ConfigMap", "Deployment", "ListenerOption", "Namespace", "Service", "ServiceAccount"];

/// Reads a document. Gives nothing where it is not ours, or wrong beyond use; the report says which.
pub fn read(root: &Node<'_>) -> Option<Resource> {
    let object = root.object()?;
    object.get("apiVersion");
    let kind_at = object.need("kind")?;
    let kind = known(&kind_at)?;
    let metadata = object.need("metadata")?.object()?;
    let name = metadata.need("name")?.text()?;
    let namespace = metadata.get("namespace").map_or(Some("default".to_owned()), |it| it.text())?;
    let id = Id { kind, namespace, name };
    object.get("status");
    let spec = match kind {
        "Secret" => Spec::Secret(secret::read(&object)?),
        "Gateway" => Spec::Gateway(gateway::read(&object.need("spec")?.object()?)?),
        "HTTPRoute" => Spec::HttpRoute(http_route::read(&object.need("spec")?.object()?)?),
        "VirtualHostOption" | "RouteOption" => {
            let what = if kind == "RouteOption" { options::For::Route } else { options::For::VirtualHost };
            let read = options::read(&object.need("spec")?.object()?, what, &id)?;
            if what == options::For::Route { Spec::RouteOption(read) } else { Spec::VirtualHostOption(read) }
        }
        // One that cannot be read is there all the same: who refers to it has made no mistake.
        "RateLimitConfig" => {
            Spec::RateLimitConfig(rate_limit::read(&object.need("spec")?).unwrap_or_default())
        }
        "Settings" => Spec::Settings(settings::read(&object.need("spec")?.object()?)?),
        "GatewayParameters" => Spec::GatewayParameters(parameters::read(&object)?),
        // `known` gives no other.
        _ => Spec::Upstream(upstream::read(&object.need("spec")?.object()?, &id)?),
    };
    object.finish(Unknown::Warn);
    Some(Resource { id, place: root.place(), spec })
}

/// The kind of a document, if it is one that is read.
fn known(at: &Node<'_>) -> Option<&'static str> {
    let kind = at.text()?;
    if let Some(read) = READ.into_iter().find(|it| *it == kind) {
        return Some(read);
    }
    if NOT_OURS.contains(&kind.as_str()) {
        at.say(Severity::Note, format!("{kind} is none of the gateway's business and is skipped"));
    } else {
        let hint = did_you_mean(&kind, READ);
        if hint.is_empty() {
            at.say(Severity::Warning, format!("{kind} is an unknown kind and is skipped"));
        } else {
            at.refuse(format!("{kind} is an unknown kind{hint}"));
        }
    }
    None
}
