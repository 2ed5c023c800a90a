//! `GatewayParameters` (gateway.gloo.solo.io/v1alpha1): how a gateway is deployed. Of all that, only the labels of
//! metrics are ours to act on.

use policy::usage::metric_label_problem;
use policy::written::{ClaimPath, MetricLabel};

use crate::node::{Node, Object, Unknown};
use crate::problem::Severity;

/// The metadata that claims are in, as Envoy's JWT filter calls it, and the first name in it.
const NAMESPACE: &str = "envoy.filters.http.jwt_authn";
const PAYLOAD: &str = "principal";

/// What is read of the parameters of a gateway.
#[derive(Debug, Default)]
pub struct Parameters {
    /// Labels whose values are claims.
    pub labels: Vec<MetricLabel>,
}

/// Reads a document. Nothing in it has to be there.
pub fn read(root: &Object<'_>) -> Option<Parameters> {
    let stats = below(root, "spec")
        .and_then(|spec| below(&spec, "kube"))
        .and_then(|kube| below(&kube, "aiExtension"))
        .and_then(|extension| below(&extension, "stats"));
    let Some(written) = stats.and_then(|stats| stats.get("customLabels")) else {
        root.node().say(Severity::Note, "nothing in these GatewayParameters is the gateway's business");
        return Some(Parameters::default());
    };
    let labels = written.list()?.iter().filter_map(|it| label(it).flatten()).collect();
    Some(Parameters { labels })
}

/// A label; nothing inside where its value is not in the token.
fn label(at: &Node<'_>) -> Option<Option<MetricLabel>> {
    let object = at.object()?;
    let name_at = object.need("name")?;
    let name = name_at.text()?;
    if let Some(problem) = metric_label_problem(&name) {
        name_at.refuse(problem);
        return None;
    }
    let namespace = object.get("metadataNamespace");
    let delimiter = object.get("keyDelimiter").map_or(Some(":".to_owned()), |it| it.text())?;
    let key_at = object.need("metadataKey")?;
    let key = key_at.text()?;
    object.finish(Unknown::Warn);
    if let Some(other) = namespace.filter(|it| it.text().is_none_or(|it| it != NAMESPACE)) {
        other.say(Severity::Warning, format!("only `{NAMESPACE}` is known here: there is no label `{name}`"));
        return Some(None);
    }
    let mut path: Vec<String> = match delimiter.as_str() {
        "" => vec![key],
        delimiter => key.split(delimiter).map(str::to_owned).collect(),
    };
    if path.len() < 2 || path.first().is_none_or(|it| it != PAYLOAD) || path.iter().any(String::is_empty) {
        let what =
            format!("expected `{PAYLOAD}` and a claim, as in `{PAYLOAD}:sub`: there is no label `{name}`");
        key_at.say(Severity::Warning, what);
        return Some(None);
    }
    path.remove(0);
    Some(Some(MetricLabel { name, claim: ClaimPath::Nested(path) }))
}

/// A mapping within another, if it is there.
fn below<'d>(object: &Object<'d>, name: &'static str) -> Option<Object<'d>> {
    object.get(name)?.object()
}
