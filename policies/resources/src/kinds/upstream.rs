//! `Upstream` (gloo.solo.io/v1): with `spec.ai` a provider, its address and its key; with `spec.static` a service that
//! the gateway itself asks, such as the one that has the keys of JWTs.

use policy::{Provider, TargetPath};

use super::Id;
use super::secret::{KeyText, key_text};
use crate::node::{Node, Object, Unknown};
use crate::problem::{Place, Severity, did_you_mean};

/// A server that is not the gateway.
#[derive(Debug)]
pub enum Upstream {
    /// A provider: what `spec.ai` says.
    Ai(Box<Ai>),
    /// Several providers, by priority: what `spec.ai.multi` says. No pool is empty.
    Multi(Vec<Vec<Pooled>>),
    /// A service: what `spec.static` says.
    Static(Static),
    /// None of ours.
    Other,
}

/// What `spec.static` says.
#[derive(Debug)]
pub struct Static {
    /// Names or addresses, and ports. Never empty.
    pub hosts: Vec<(String, u16)>,
    /// How the connection is protected, if it is.
    pub tls: Option<SslConfig>,
}

/// What `spec.ai` says.
#[derive(Debug)]
pub struct Ai {
    /// Whose API it speaks.
    pub provider: Provider,
    /// How the gateway pays.
    pub token: Option<AuthToken>,
    /// Where it is, if not at the provider's public API.
    pub host: Option<CustomHost>,
    /// The only model, whatever the client asks for.
    pub model: Option<String>,
    /// How the connection is protected, beyond what follows from the port.
    pub tls: Option<SslConfig>,
}

/// One of several providers of a priority.
#[derive(Debug)]
pub struct Pooled {
    /// Itself.
    pub ai: Ai,
    /// Its share. At least 1.
    pub weight: u32,
    /// Where it is written.
    pub place: Place,
    /// The path of the field.
    pub path: String,
}

/// How the gateway pays.
#[derive(Debug, Clone)]
pub enum AuthToken {
    /// The key is written here.
    Inline(KeyText),
    /// The key is in a secret.
    Secret {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
        /// Where it is named.
        place: Place,
        /// The path of the field.
        path: String,
    },
    /// The client's own key goes on.
    Passthrough,
}

/// Another address than the provider's public API.
#[derive(Debug)]
pub struct CustomHost {
    /// Name or address.
    pub host: String,
    /// 443 if absent.
    pub port: Option<u16>,
    /// The name for `Host` and for TLS, if it is another.
    pub hostname: Option<String>,
    /// Where the API is.
    pub path: Option<TargetPath>,
}

/// `sslConfig`: TLS on any port.
#[derive(Debug, Clone)]
pub struct SslConfig {
    /// The name that is asked for, and that the certificate has to be for.
    pub sni: Option<String>,
    /// A PEM file of the authorities that are believed.
    pub root_ca: Option<String>,
}

/// Providers that the API knows and this version does not.
const NOT_YET: [&str; 5] = ["anthropic", "azureOpenai", "bedrock", "gemini", "vertexAi"];

/// Reads a spec.
pub fn read(spec: &Object<'_>, id: &Id) -> Option<Upstream> {
    let (ai, service, kube) = (spec.get("ai"), spec.get("static"), spec.get("kube"));
    let tls = spec.get("sslConfig").and_then(|it| ssl_config(&it));
    let ai = match (ai, service, kube) {
        (Some(ai), None, None) => ai,
        (None, Some(service), None) => return static_service(&service, tls).map(Upstream::Static),
        (None, None, Some(service)) => return kube_service(&service, tls).map(Upstream::Static),
        (Some(_), ..) | (None, Some(_), Some(_)) => {
            spec.node().refuse("`ai`, `static` and `kube` exclude each other");
            return None;
        }
        (None, None, None) => {
            let what = "no model and no service: an Upstream without `ai`, `static` and `kube` is skipped";
            spec.node().say(Severity::Note, what);
            return Some(Upstream::Other);
        }
    };
    // How Gloo finds endpoints and watches their health is not asked here.
    for field in ["discoveryMetadata", "healthChecks", "outlierDetection", "connectionConfig"] {
        spec.get(field);
    }
    let ai = ai.object()?;
    if let Some(multi) = ai.get("multi") {
        ai.finish(Unknown::Refuse);
        return priorities(&multi, tls.as_ref(), id).map(Upstream::Multi);
    }
    let read = provider(&ai, tls, id)?;
    ai.finish(Unknown::Warn);
    Some(Upstream::Ai(Box::new(read)))
}

/// The one provider that an object names.
fn provider(ai: &Object<'_>, tls: Option<SslConfig>, id: &Id) -> Option<Ai> {
    let (openai, mistral) = (ai.get("openai"), ai.get("mistral"));
    for name in NOT_YET {
        if let Some(node) = ai.get(name) {
            node.refuse(format!("{name} is not supported by this version, expected openai or mistral"));
            return None;
        }
    }
    let (provider, node) = match (openai, mistral) {
        (Some(node), None) => (Provider::Openai, node),
        (None, Some(node)) => (Provider::Mistral, node),
        (Some(_), Some(_)) => {
            ai.node().refuse("openai and mistral exclude each other");
            return None;
        }
        (None, None) => {
            let named = ai.all().into_iter().next().map(|(name, _)| name).unwrap_or_default();
            let hint = did_you_mean(&named, ["openai", "mistral"]);
            ai.node().refuse(format!("names no provider, expected openai or mistral{hint}"));
            return None;
        }
    };
    provider_settings(&node, provider, tls, id)
}

/// `multi.priorities`: pools of providers, the first of which is asked first.
fn priorities(node: &Node<'_>, tls: Option<&SslConfig>, id: &Id) -> Option<Vec<Vec<Pooled>>> {
    let object = node.object()?;
    let list = object.need("priorities")?;
    object.finish(Unknown::Refuse);
    let mut pools = Vec::new();
    for item in list.list()? {
        let object = item.object()?;
        let pool = object.need("pool")?;
        object.finish(Unknown::Refuse);
        let mut members = Vec::new();
        for member in pool.list()? {
            members.extend(pooled(&member, tls, id)?);
        }
        if members.is_empty() {
            pool.refuse("nobody in this pool is ever asked");
            return None;
        }
        pools.push(members);
    }
    if pools.is_empty() {
        list.refuse("`priorities` is empty");
        return None;
    }
    Some(pools)
}

/// A member of a pool; nobody where its share is nothing.
fn pooled(node: &Node<'_>, tls: Option<&SslConfig>, id: &Id) -> Option<Option<Pooled>> {
    let object = node.object()?;
    let weight = object.get("weight").map_or(Some(1), |it| it.number(0..=1_000_000))?;
    let ai = provider(&object, tls.cloned(), id)?;
    object.finish(Unknown::Refuse);
    let weight = u32::try_from(weight).ok()?;
    let (place, path) = (node.place(), node.path().to_owned());
    Some((weight > 0).then_some(Pooled { ai, weight, place, path }))
}

fn static_service(node: &Node<'_>, tls: Option<SslConfig>) -> Option<Static> {
    let object = node.object()?;
    let hosts = object.need("hosts")?;
    let use_tls = object.get("useTls").map_or(Some(false), |it| it.truth())?;
    object.get("autoSniRewrite");
    object.finish(Unknown::Warn);
    let mut sni = None;
    let mut read = Vec::new();
    for host in hosts.list()? {
        let host = host.object()?;
        let port = host.need("port")?.number(1..=65535)?;
        read.push((host.need("addr")?.text()?, u16::try_from(port).unwrap_or(443)));
        sni = sni.or(host.get("sniAddr").and_then(|it| it.text()));
        for field in ["healthCheckConfig", "loadBalancingWeight"] {
            host.get(field);
        }
        host.finish(Unknown::Warn);
    }
    if read.is_empty() {
        hosts.refuse("`hosts` is empty");
        return None;
    }
    let tls = tls.or_else(|| use_tls.then(|| SslConfig { sni: sni.clone(), root_ca: None }));
    Some(Static { hosts: read, tls: tls.map(|it| SslConfig { sni: it.sni.or(sni), ..it }) })
}

/// A service of the cluster, by the name that its DNS has for it.
fn kube_service(node: &Node<'_>, tls: Option<SslConfig>) -> Option<Static> {
    let object = node.object()?;
    let (name, namespace) = (object.need("serviceName")?.text()?, object.need("serviceNamespace")?.text()?);
    let port = object.need("servicePort")?.number(1..=65535)?;
    for field in ["selector", "serviceSpec", "subsetSpec"] {
        object.get(field);
    }
    object.finish(Unknown::Warn);
    let host = format!("{name}.{namespace}.svc.cluster.local");
    Some(Static { hosts: vec![(host, u16::try_from(port).ok()?)], tls })
}

fn provider_settings(node: &Node<'_>, provider: Provider, tls: Option<SslConfig>, id: &Id) -> Option<Ai> {
    let object = node.object()?;
    let (token, host) = (object.get("authToken"), object.get("customHost"));
    if token.is_none() && host.is_none() {
        let public = provider.default_host();
        node.say(Severity::Warning, format!("{public} asks for a key, but there is no authToken"));
    }
    let token = token.and_then(|it| auth_token(&it, id));
    let host = host.and_then(|it| custom_host(&it));
    let model = object.get("model").and_then(|it| it.text());
    object.finish(Unknown::Warn);
    Some(Ai { provider, token, host, model, tls })
}

/// Reads `{inline, secretRef, passthrough}`. A secret that names no namespace is in that of the resource.
pub fn auth_token(node: &Node<'_>, id: &Id) -> Option<AuthToken> {
    let object = node.object()?;
    let (inline, secret, passthrough) =
        (object.get("inline"), object.get("secretRef"), object.get("passthrough"));
    // An empty mapping is a choice here, and so is what YAML makes of `passthrough:` with nothing behind it.
    let passthrough = passthrough.is_some() || object.all().iter().any(|(name, _)| name == "passthrough");
    object.finish(Unknown::Refuse);
    match (inline, secret, passthrough) {
        (Some(inline), None, false) => key_text(&inline).map(AuthToken::Inline),
        (None, Some(secret), false) => {
            let reference = secret.object()?;
            let name = reference.need("name")?.text()?;
            let namespace = reference.get("namespace").map_or(Some(id.namespace.clone()), |it| it.text())?;
            reference.finish(Unknown::Warn);
            Some(AuthToken::Secret { name, namespace, place: secret.place(), path: secret.path().to_owned() })
        }
        (None, None, true) => Some(AuthToken::Passthrough),
        _ => {
            node.refuse("expected one of inline, secretRef and passthrough");
            None
        }
    }
}

/// The `:authority` of a host: its name, and its port if that is not the usual one.
pub fn authority(host: &str, port: u16, tls: bool) -> String {
    let usual = if tls { 443 } else { 80 };
    let brackets = host.parse::<std::net::Ipv6Addr>().is_ok();
    let host = if brackets { format!("[{host}]") } else { host.to_owned() };
    if port == usual { host } else { format!("{host}:{port}") }
}

fn custom_host(node: &Node<'_>) -> Option<CustomHost> {
    let object = node.object()?;
    let host = object.need("host")?.text()?;
    let port = object.get("port").map_or(Some(None), |it| it.number(1..=65535).map(Some))?;
    let hostname = object.get("hostname").and_then(|it| it.text());
    let path = object.get("pathOverride").and_then(|it| path_override(&it));
    object.finish(Unknown::Warn);
    Some(CustomHost { host, port: port.and_then(|it| u16::try_from(it).ok()), hostname, path })
}

fn path_override(node: &Node<'_>) -> Option<TargetPath> {
    let object = node.object()?;
    let (full, base) = (object.get("fullPath"), object.get("basePath"));
    object.finish(Unknown::Warn);
    match (full, base) {
        (Some(full), None) => full.url_path().map(TargetPath::Full),
        (None, Some(base)) => base.url_path().map(TargetPath::Base),
        _ => {
            node.refuse("expected one of fullPath and basePath");
            None
        }
    }
}

fn ssl_config(node: &Node<'_>) -> Option<SslConfig> {
    let object = node.object()?;
    let sni = object.get("sni").and_then(|it| it.text());
    let files = object.get("sslFiles").and_then(|it| it.object());
    let root_ca = files.as_ref().and_then(|files| files.get("rootCa")).and_then(|it| it.text());
    if let Some(files) = files {
        files.finish(Unknown::Refuse);
    }
    // Anything else here asks for a check or a certificate that would not be there.
    object.finish(Unknown::Refuse);
    Some(SslConfig { sni, root_ca })
}
