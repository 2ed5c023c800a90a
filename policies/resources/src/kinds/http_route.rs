//! `HTTPRoute` (Gateway API v1 and v1beta1): which requests go where.

use std::time::Duration;

use policy::{PathMatch, Rewrite};

use crate::node::{Node, Object, Unknown};
use crate::problem::{Place, Severity, did_you_mean};

/// Which requests go where.
#[derive(Debug)]
pub struct HttpRoute {
    /// The gateways it hangs on.
    pub parents: Vec<ParentRef>,
    /// Hosts, exact or `*.suffix`, in lower case; empty takes those of the listener.
    pub hostnames: Vec<String>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// A gateway that a route hangs on.
#[derive(Debug)]
pub struct ParentRef {
    /// Its name.
    pub name: String,
    /// Its namespace; the route's own if absent.
    pub namespace: Option<String>,
    /// The only listener, by name.
    pub section: Option<String>,
    /// The only listener, by port.
    pub port: Option<u16>,
    /// Where it is written.
    pub place: Place,
    /// The path of the field.
    pub path: String,
}

/// A rule of a route.
#[derive(Debug)]
pub struct Rule {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The paths it takes; any of these.
    pub paths: Vec<PathMatch>,
    /// What becomes of the path.
    pub rewrite: Option<Rewrite>,
    /// Where requests go.
    pub backends: Vec<BackendRef>,
    /// How long the whole answer may take. `None`: as long as it takes.
    pub timeout: Option<Duration>,
    /// The RouteOptions that it names itself.
    pub options: Vec<OptionRef>,
}

/// A RouteOption that a rule names.
#[derive(Debug)]
pub struct OptionRef {
    /// Its name; its namespace is the route's.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    /// The path of the field.
    pub path: String,
}

/// What a filter of a rule does.
enum Filter {
    Rewrite(Rewrite),
    Options(OptionRef),
}

/// An upstream that a rule sends requests to.
#[derive(Debug)]
pub struct BackendRef {
    /// Its name.
    pub name: String,
    /// Its namespace; the route's own if absent.
    pub namespace: Option<String>,
    /// Its share.
    pub weight: u32,
    /// Where it is written.
    pub place: Place,
    /// The path of the field.
    pub path: String,
}

/// Reads a spec.
pub fn read(spec: &Object<'_>) -> Option<HttpRoute> {
    let parents = spec.get("parentRefs").and_then(|it| it.list()).unwrap_or_default();
    let hostnames = spec.get("hostnames").and_then(|it| it.list()).unwrap_or_default();
    let rules = spec.need("rules")?.list()?;
    Some(HttpRoute {
        parents: parents.iter().filter_map(parent).collect(),
        hostnames: hostnames.iter().filter_map(hostname).collect(),
        rules: rules.iter().filter_map(rule).collect(),
    })
}

fn parent(node: &Node<'_>) -> Option<ParentRef> {
    let object = node.object()?;
    object.get("group");
    let kind = object.get("kind").and_then(|it| it.text());
    if kind.is_some_and(|kind| kind != "Gateway") {
        node.refuse("a route can only hang on a Gateway");
    }
    let name = object.need("name")?.text()?;
    let parent = ParentRef {
        name,
        namespace: object.get("namespace").and_then(|it| it.text()),
        section: object.get("sectionName").and_then(|it| it.text()),
        port: object.get("port").and_then(|it| it.number(1..=65535)).and_then(|it| u16::try_from(it).ok()),
        place: node.place(),
        path: node.path().to_owned(),
    };
    object.finish(Unknown::Warn);
    Some(parent)
}

fn hostname(node: &Node<'_>) -> Option<String> {
    let host = node.text()?.to_lowercase();
    let name = host.strip_prefix("*.").unwrap_or(&host);
    if name.is_empty() || name.contains(['*', ':', '/']) {
        node.refuse(format!(
            "`{host}` is no host name, expected `api.example.com` or `*.example.com` without port"
        ));
        return None;
    }
    Some(host)
}

fn rule(node: &Node<'_>) -> Option<Rule> {
    let object = node.object()?;
    let matches = object.get("matches").and_then(|it| it.list()).unwrap_or_default();
    let filters = object.get("filters").and_then(|it| it.list()).unwrap_or_default();
    let backends = object.need("backendRefs").and_then(|it| it.list()).unwrap_or_default();
    let mut paths: Vec<PathMatch> = matches.iter().filter_map(path_match).collect();
    if matches.is_empty() {
        paths.push(PathMatch::default());
    }
    let (mut rewrites, mut options) = (Vec::new(), Vec::new());
    for filter in filters.iter().filter_map(filter) {
        match filter {
            Filter::Rewrite(rewrite) => rewrites.push(rewrite),
            Filter::Options(reference) => options.push(reference),
        }
    }
    if let (Some(extra), true) = (filters.last(), rewrites.len() > 1) {
        extra.refuse("a rule can have one URLRewrite");
    }
    let rewrite = rewrites.into_iter().next();
    if matches!(rewrite, Some(Rewrite::Prefix(_))) && paths.iter().any(|it| matches!(it, PathMatch::Exact(_)))
    {
        node.refuse("ReplacePrefixMatch needs matches of type PathPrefix");
    }
    let rule = Rule {
        name: object.get("name").and_then(|it| it.text()),
        paths,
        rewrite,
        backends: backends.iter().filter_map(backend).collect(),
        timeout: object.get("timeouts").and_then(|it| timeouts(&it)),
        options,
    };
    object.finish(Unknown::Warn);
    Some(rule)
}

fn path_match(node: &Node<'_>) -> Option<PathMatch> {
    let object = node.object()?;
    // To leave out a condition would be to take requests that were not meant.
    for field in ["headers", "queryParams", "method"] {
        if let Some(condition) = object.get(field) {
            condition.refuse(
                "only paths can be matched by this version; remove it, or the rule would take more requests",
            );
        }
    }
    let path = object.get("path");
    object.finish(Unknown::Refuse);
    let Some(path) = path else { return Some(PathMatch::default()) };
    let path = path.object()?;
    let kind = path.get("type");
    let value = path.get("value").map_or(Some("/".to_owned()), |it| it.url_path())?;
    path.finish(Unknown::Refuse);
    let named = kind.as_ref().map_or(Some("PathPrefix".to_owned()), |it| it.text())?;
    match (named.as_str(), &kind) {
        ("PathPrefix", _) => Some(PathMatch::Prefix(value)),
        ("Exact", _) => Some(PathMatch::Exact(value)),
        (other, kind) => {
            let hint = did_you_mean(other, ["PathPrefix", "Exact"]);
            let what = format!("`{other}` is not supported, expected PathPrefix or Exact{hint}");
            kind.as_ref().unwrap_or(node).refuse(what);
            None
        }
    }
}

fn filter(node: &Node<'_>) -> Option<Filter> {
    let object = node.object()?;
    let kind = object.need("type")?;
    let filter = match kind.text()?.as_str() {
        "URLRewrite" => url_rewrite(&object.need("urlRewrite")?).map(Filter::Rewrite),
        "ExtensionRef" => option_ref(&object.need("extensionRef")?).map(Filter::Options),
        named => {
            kind.refuse(format!(
                "filters of type {named} are not supported by this version, expected URLRewrite or ExtensionRef"
            ));
            return None;
        }
    };
    object.finish(Unknown::Warn);
    filter
}

fn option_ref(node: &Node<'_>) -> Option<OptionRef> {
    let object = node.object()?;
    object.get("group");
    let kind = object.need("kind")?;
    let named = kind.text()?;
    if named != "RouteOption" {
        kind.refuse(format!("an extension of kind {named} is not supported, expected RouteOption"));
        return None;
    }
    let name = object.need("name")?.text()?;
    object.finish(Unknown::Refuse);
    Some(OptionRef { name, place: node.place(), path: node.path().to_owned() })
}

fn url_rewrite(node: &Node<'_>) -> Option<Rewrite> {
    let rewrite = node.object()?;
    if let Some(hostname) = rewrite.get("hostname") {
        hostname.say(Severity::Warning, "providers are always sent their own host name: this one is ignored");
    }
    let path = rewrite.get("path")?.object()?;
    rewrite.finish(Unknown::Warn);
    let kind = path.need("type")?;
    let named = kind.text()?;
    let replaced = match named.as_str() {
        "ReplaceFullPath" => path.need("replaceFullPath").and_then(|it| it.url_path()).map(Rewrite::FullPath),
        "ReplacePrefixMatch" => {
            path.need("replacePrefixMatch").and_then(|it| it.url_path()).map(Rewrite::Prefix)
        }
        other => {
            let hint = did_you_mean(other, ["ReplaceFullPath", "ReplacePrefixMatch"]);
            kind.refuse(format!(
                "`{other}` is unknown, expected ReplaceFullPath or ReplacePrefixMatch{hint}"
            ));
            None
        }
    };
    path.finish(Unknown::Warn);
    replaced
}

fn backend(node: &Node<'_>) -> Option<BackendRef> {
    let object = node.object()?;
    object.get("port");
    object.get("group");
    let kind = object.get("kind");
    if let Some(named) = kind.as_ref().map_or(Some("Service".to_owned()), |it| it.text())
        && named != "Upstream"
    {
        kind.as_ref()
            .unwrap_or(node)
            .refuse(format!("a backend of kind {named} is not supported, expected Upstream"));
        return None;
    }
    let weight = object.get("weight").map_or(Some(1), |it| it.number(0..=1_000_000))?;
    let backend = BackendRef {
        name: object.need("name")?.text()?,
        namespace: object.get("namespace").and_then(|it| it.text()),
        weight: u32::try_from(weight).unwrap_or(1),
        place: node.place(),
        path: node.path().to_owned(),
    };
    object.finish(Unknown::Warn);
    Some(backend)
}

/// `request` and `backendRequest` are the same as long as there is one attempt: the shorter one counts. Zero is none.
fn timeouts(node: &Node<'_>) -> Option<Duration> {
    let object = node.object()?;
    let request = object.get("request").and_then(|it| it.duration());
    let backend = object.get("backendRequest").and_then(|it| it.duration());
    object.finish(Unknown::Warn);
    [request, backend].into_iter().flatten().filter(|it| !it.is_zero()).min()
}
