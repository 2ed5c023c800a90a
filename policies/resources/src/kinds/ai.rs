//! What is done to prompts and answers: `options.ai` of a route.

use policy::written::{DefaultField, Enrich, Json, Message};

use super::Id;
use super::failover::{self, Failover};
use super::prompt_guard::{self, PromptGuard};
use crate::node::{Node, Unknown};
use crate::problem::Severity;

/// What is done to prompts and answers.
#[derive(Debug, Clone)]
pub struct Ai {
    /// What is added to requests.
    pub enrich: Enrich,
    /// What prompts and answers may say.
    pub guard: Option<PromptGuard>,
    /// Models that are asked when the route's own fails, one after the other.
    pub backup_models: Vec<String>,
    /// What else is done when a model fails.
    pub failover: Option<Failover>,
}

/// Fields that this version cannot do. To skip one would be to drop a rule.
const NOT_YET: [&str; 2] = ["rag", "semanticCache"];

/// Reads `{promptEnrichment, promptGuard, defaults, backupModels, failover, routeType}` of a resource.
pub fn read(node: &Node<'_>, id: &Id) -> Option<Ai> {
    let object = node.object()?;
    let guard = object.get("promptGuard").map_or(Some(None), |it| prompt_guard::read(&it, id).map(Some));
    let backup_models = object.get("backupModels").map_or(Some(Vec::new()), |it| it.texts());
    let failover = object.get("failover").map_or(Some(None), |it| failover::read(&it).map(Some));
    let mut enrich = Enrich::default();
    if let Some(enrichment) = object.get("promptEnrichment") {
        let enrichment = enrichment.object()?;
        enrich.prepend = enrichment.get("prepend").map_or(Some(Vec::new()), |it| messages(&it))?;
        enrich.append = enrichment.get("append").map_or(Some(Vec::new()), |it| messages(&it))?;
        enrichment.finish(Unknown::Refuse);
    }
    if let Some(defaults) = object.get("defaults") {
        enrich.defaults = defaults.list()?.iter().map(default).collect::<Option<_>>()?;
    }
    if let Some(kind) = object.get("routeType") {
        kind.choice(&["CHAT", "CHAT_STREAMING"])?;
        kind.say(Severity::Note, "whether an answer is streamed is the client's choice");
    }
    for name in NOT_YET {
        if let Some(field) = object.get(name) {
            field.refuse(format!(
                "{name} is not supported by this version; remove it, because its rules would not be enforced"
            ));
        }
    }
    object.finish(Unknown::Refuse);
    Some(Ai { enrich, guard: guard?, backup_models: backup_models?, failover: failover? })
}

fn messages(node: &Node<'_>) -> Option<Vec<Message>> {
    node.list()?.iter().map(message).collect()
}

fn message(node: &Node<'_>) -> Option<Message> {
    let object = node.object()?;
    let role = object.need("role")?;
    let content = object.need("content")?.text()?;
    object.finish(Unknown::Refuse);
    let named = role.text()?;
    if !["system", "developer", "user", "assistant"].contains(&named.to_ascii_lowercase().as_str()) {
        role.refuse(format!("`{named}` is no role, expected system, developer, user or assistant"));
        return None;
    }
    Some(Message { role: named.to_ascii_lowercase(), content })
}

fn default(node: &Node<'_>) -> Option<DefaultField> {
    let object = node.object()?;
    let field = object.need("field")?.text()?;
    // Null is a value here like any other.
    let value = object.all().into_iter().find(|(name, _)| name == "value");
    object.get("value");
    let overrides = object.get("override").map_or(Some(false), |it| it.truth())?;
    object.finish(Unknown::Refuse);
    let Some((_, value)) = value else {
        node.refuse("`value` is missing");
        return None;
    };
    Some(DefaultField { field, value: Json(value.json()?.to_string()), overrides })
}
