//! Who may do what: `options.rbac`.

use policy::written::{ClaimPath, ClaimRule, Must, Principal, RbacPolicy};

use super::jwt::claim_path;
use crate::node::{Node, Unknown};
use crate::problem::Severity;

/// Who may do what.
#[derive(Debug, Clone)]
pub struct Rbac {
    /// Whether everybody may do everything.
    pub disable: bool,
    /// Any of these will do. Providers are named as beside them, which is not yet as the module names them.
    pub policies: Vec<RbacPolicy>,
}

const MATCHERS: [&str; 4] = ["EXACT_STRING", "BOOLEAN", "LIST_CONTAINS", "REGEX_MATCH"];

/// The claim in which tokens of the tour's form list a provider's models: `llms.<provider>`.
const MODEL_LISTS: &str = "llms";

/// Which claim lists the models that a caller may name.
enum ModelClaim {
    /// The one that a principal looks at, if it has the usual form.
    Usual,
    /// This one, of every principal.
    Written(String),
    /// None.
    Off,
}

/// Reads `{disable, policies, modelClaim}`. The last is ours.
pub fn read(node: &Node<'_>) -> Option<Rbac> {
    let object = node.object()?;
    let disable = object.get("disable").map_or(Some(false), |it| it.truth())?;
    let model_claim = match object.get("modelClaim") {
        None => ModelClaim::Usual,
        Some(it) => match it.text()? {
            off if off.is_empty() => ModelClaim::Off,
            claim => ModelClaim::Written(claim),
        },
    };
    let policies = match object.get("policies") {
        None => Vec::new(),
        Some(it) => it.object()?.all(),
    };
    object.finish(Unknown::Refuse);
    if policies.is_empty() && !disable {
        node.say(
            Severity::Warning,
            "there is no policy, so nobody passes; `disable: true` would let everybody pass",
        );
    }
    let policies = policies.into_iter().map(|(name, it)| policy(name, &it, &model_claim));
    Some(Rbac { disable, policies: policies.collect::<Option<_>>()? })
}

fn policy(name: String, node: &Node<'_>, model_claim: &ModelClaim) -> Option<RbacPolicy> {
    let object = node.object()?;
    let delimiter = object.get("nestedClaimDelimiter").map_or(Some(String::new()), |it| it.text())?;
    let principals = object.get("principals").map_or(Some(Vec::new()), |it| it.list())?;
    let permissions = object.get("permissions");
    object.finish(Unknown::Refuse);
    if principals.is_empty() {
        node.say(Severity::Warning, "the policy names no principal, so it lets nobody pass");
    }
    let (mut path_prefix, mut methods) = (None, Vec::new());
    if let Some(permissions) = permissions {
        let permissions = permissions.object()?;
        path_prefix = permissions.get("pathPrefix").map_or(Some(None), |it| it.url_path().map(Some))?;
        methods = permissions.get("methods").map_or(Some(Vec::new()), |it| it.texts())?;
        permissions.finish(Unknown::Refuse);
    }
    let principals = principals.iter().map(|it| principal(it, &delimiter, model_claim));
    Some(RbacPolicy { name, principals: principals.collect::<Option<_>>()?, path_prefix, methods })
}

fn principal(node: &Node<'_>, delimiter: &str, model_claim: &ModelClaim) -> Option<Principal> {
    let object = node.object()?;
    let principal = object.need("jwtPrincipal")?.object()?;
    object.finish(Unknown::Refuse);
    let matcher = principal.get("matcher").map_or(Some("EXACT_STRING"), |it| it.choice(&MATCHERS))?;
    let provider = principal.get("provider").map_or(Some(None), |it| it.text().map(Some))?;
    let written = match principal.get("claims") {
        None => Vec::new(),
        Some(it) => it.object()?.all(),
    };
    principal.finish(Unknown::Refuse);
    let rule = |(name, value): &(String, Node<'_>)| {
        Some(ClaimRule { claim: claim_path(name, delimiter), must: must(matcher, value)? })
    };
    let claims: Vec<ClaimRule> = written.iter().map(rule).collect::<Option<_>>()?;
    let models = match model_claim {
        ModelClaim::Off => None,
        ModelClaim::Written(claim) => {
            Some(claim_path(claim, if delimiter.is_empty() { "." } else { delimiter }))
        }
        ModelClaim::Usual => claims.iter().map(|it| &it.claim).find(|it| lists_models(it)).cloned(),
    };
    Some(Principal { provider: provider.filter(|it| !it.is_empty()), claims, models })
}

/// Whether a claim is `llms.<provider>`, nested or by its whole name.
fn lists_models(claim: &ClaimPath) -> bool {
    match claim {
        ClaimPath::Nested(path) => path.len() == 2 && path.first().is_some_and(|it| it == MODEL_LISTS),
        ClaimPath::Name(name) => name.split_once('.').is_some_and(|(first, _)| first == MODEL_LISTS),
    }
}

fn must(matcher: &str, value: &Node<'_>) -> Option<Must> {
    match matcher {
        "BOOLEAN" => match value.choice(&["false", "true"])? {
            "true" => Some(Must::Be(true)),
            _ => Some(Must::Be(false)),
        },
        "LIST_CONTAINS" => value.text().map(Must::Contain),
        "REGEX_MATCH" => {
            let pattern = value.text()?;
            if let Err(error) = regex_lite::Regex::new(&pattern) {
                value.refuse(format!("`{pattern}` is no regular expression that can be run here: {error}"));
                return None;
            }
            Some(Must::Match(pattern))
        }
        _ => value.text().map(Must::Equal),
    }
}
