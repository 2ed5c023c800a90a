//! Where a value of a request's descriptor comes from.

use policy::written::{ClaimPath, HeaderMust, HeaderRule, Matching, Source};

use crate::kinds::budgets::sound;
use crate::node::{Node, Unknown};
use crate::problem::{Severity, did_you_mean};

/// A value of a request's descriptor.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// By which descriptors know it.
    pub key: String,
    /// Where it comes from.
    pub of: Of,
    /// The value where there is none.
    pub default: Option<String>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Of {
    /// From a request.
    Request(Source),
    /// It is what Gloo calls the cluster of the route's first backend.
    DestinationCluster,
}

/// What kinds of actions there are.
const ACTIONS: [&str; 7] = [
    "sourceCluster",
    "destinationCluster",
    "requestHeaders",
    "remoteAddress",
    "genericKey",
    "headerValueMatch",
    "metadata",
];

/// The namespace in which claims are.
const JWT: &str = "envoy.filters.http.jwt_authn";
/// Where in it they are.
const PAYLOAD: &str = "principal";
/// The name of the proxy's own cluster.
const OWN_CLUSTER: &str = "turnpike";

/// Reads an action.
pub fn action(node: &Node<'_>) -> Option<Action> {
    let fields = node.object()?.all();
    let [(name, field)] = fields.as_slice() else {
        node.refuse(format!("expected one of {}", ACTIONS.join(", ")));
        return None;
    };
    let plain = |key: &str, of: Of| Some(Action { key: key.into(), of, default: None });
    match crate::node::camel_case(name).as_str() {
        "sourceCluster" => {
            empty(field)?;
            plain("source_cluster", Of::Request(Source::Text(OWN_CLUSTER.into())))
        }
        "destinationCluster" => {
            empty(field)?;
            plain("destination_cluster", Of::DestinationCluster)
        }
        "remoteAddress" => {
            empty(field)?;
            plain("remote_address", Of::Request(Source::Address))
        }
        "requestHeaders" => request_headers(field),
        "genericKey" => generic_key(field),
        "headerValueMatch" => header_value_match(field),
        "metadata" => metadata(field),
        "cel" => {
            field.refuse(
                "expressions are not supported by this version: a claim is had by `metadata`, a header by \
                 `requestHeaders` or `headerValueMatch`, a constant by `genericKey`",
            );
            None
        }
        other => {
            let hint = did_you_mean(other, ACTIONS);
            field.refuse(format!("no action known here, expected one of {}{hint}", ACTIONS.join(", ")));
            None
        }
    }
}

fn empty(node: &Node<'_>) -> Option<()> {
    if !node.is_null() {
        node.object()?.finish(Unknown::Refuse);
    }
    Some(())
}

fn request_headers(node: &Node<'_>) -> Option<Action> {
    let object = node.object()?;
    let header = object.need("headerName").and_then(|it| sound(&it, Source::Header(it.text()?)));
    let key = object.name("descriptorKey");
    object.finish(Unknown::Refuse);
    Some(Action { key: key?, of: Of::Request(header?), default: None })
}

fn generic_key(node: &Node<'_>) -> Option<Action> {
    let object = node.object()?;
    let value = object.name("descriptorValue");
    let key = object.filled("descriptorKey");
    object.finish(Unknown::Refuse);
    let key = key?.unwrap_or_else(|| "generic_key".into());
    Some(Action { key, of: Of::Request(Source::Text(value?)), default: None })
}

fn header_value_match(node: &Node<'_>) -> Option<Action> {
    let object = node.object()?;
    let value = object.name("descriptorValue");
    let expect = object.optional("expectMatch", Node::truth);
    let headers = object.each("headers", header_rule);
    object.finish(Unknown::Refuse);
    let of = Matching { value: value?, headers: headers?, expect: expect?.unwrap_or(true) };
    Some(Action { key: "header_match".into(), of: Of::Request(Source::Matching(of)), default: None })
}

/// Matchers of a header.
const MATCHERS: [&str; 6] =
    ["exactMatch", "regexMatch", "rangeMatch", "presentMatch", "prefixMatch", "suffixMatch"];

fn header_rule(node: &Node<'_>) -> Option<HeaderRule> {
    let object = node.object()?;
    let name = object.need("name").and_then(|it| it.text());
    let mut found: Vec<(&str, Node<'_>)> =
        MATCHERS.into_iter().filter_map(|name| Some((name, object.get(name)?))).collect();
    let invert = object.flag("invertMatch");
    object.finish(Unknown::Refuse);
    let must = match found.pop() {
        None => Some(HeaderMust::Exist(true)),
        Some(_) if !found.is_empty() => {
            node.refuse(format!("expected at most one of {}", MATCHERS.join(", ")));
            None
        }
        Some(("exactMatch", it)) => it.text().map(HeaderMust::Equal),
        Some(("regexMatch", it)) => it.text().map(HeaderMust::Match),
        Some(("prefixMatch", it)) => it.text().map(HeaderMust::Start),
        Some(("suffixMatch", it)) => it.text().map(HeaderMust::End),
        Some(("rangeMatch", it)) => range(&it),
        Some((_, it)) => it.truth().map(HeaderMust::Exist),
    };
    let rule = HeaderRule { name: name?, must: must?, invert: invert? };
    let alone = Matching { value: String::new(), headers: vec![rule.clone()], expect: true };
    sound(node, Source::Matching(alone)).map(|_| rule)
}

fn range(node: &Node<'_>) -> Option<HeaderMust> {
    let object = node.object()?;
    let end = |name| object.get(name).map_or(Some(0), |it| it.number(i64::MIN..=i64::MAX));
    let (from, to) = (end("start"), end("end"));
    object.finish(Unknown::Refuse);
    Some(HeaderMust::Lie(from?, to?))
}

fn metadata(node: &Node<'_>) -> Option<Action> {
    let object = node.object()?;
    let key = object.name("descriptorKey");
    let source = object.optional("source", |it| it.choice_any_case(&["DYNAMIC", "ROUTE_ENTRY"]));
    let default = object.filled("defaultValue");
    let alias = object.get("default");
    let metadata_key = object.need("metadataKey");
    object.finish(Unknown::Refuse);
    let mut default = default?;
    if let Some(alias) = alias {
        alias.say(
            Severity::Warning,
            "counts here as `defaultValue`, which is the field's name: Gloo does not know `default`, and limits nobody \
             who lacks the value",
        );
        let value = alias.text()?;
        default = default.or(Some(value).filter(|it| !it.is_empty()));
    }
    let metadata_key = metadata_key?;
    let path = claim(&metadata_key)?.filter(|_| source != Some(Some("ROUTE_ENTRY")));
    let of = match (path, &default) {
        (Some(path), _) => sound(&metadata_key, Source::Claim(path))?,
        (None, Some(value)) => {
            let what = format!("this metadata is not known here: the value is always the default, `{value}`");
            metadata_key.say(Severity::Warning, what);
            Source::Text(value.clone())
        }
        (None, None) => {
            metadata_key.refuse(format!(
                "this metadata is not known here, expected a claim: the source DYNAMIC, the key {JWT}, the path \
                 {PAYLOAD} and the claim; or say a `defaultValue`"
            ));
            return None;
        }
    };
    source?;
    let default = default.filter(|_| !matches!(of, Source::Text(_)));
    Some(Action { key: key?, of: Of::Request(of), default })
}

/// The claim that a key of metadata means; `Some(None)` where it means anything else.
pub fn claim(node: &Node<'_>) -> Option<Option<ClaimPath>> {
    let object = node.object()?;
    let key = object.name("key");
    let path = object.each("path", segment);
    object.finish(Unknown::Refuse);
    let (key, path) = (key?, path?);
    if key != JWT {
        return Some(None);
    }
    let path = match path.split_first() {
        Some((first, rest)) if first == PAYLOAD => rest.to_vec(),
        _ => {
            node.find(".path").refuse(format!(
                "a path to a claim begins with `{PAYLOAD}`, under which tokens' payloads are kept"
            ));
            return None;
        }
    };
    match path.as_slice() {
        [] => {
            node.find(".path").refuse(format!("after `{PAYLOAD}` the path has to name a claim"));
            None
        }
        [name] => Some(Some(ClaimPath::Name(name.clone()))),
        _ => Some(Some(ClaimPath::Nested(path))),
    }
}

fn segment(node: &Node<'_>) -> Option<String> {
    let object = node.object()?;
    let key = object.name("key");
    object.finish(Unknown::Refuse);
    key
}
