//! What prompts and answers may say: `options.ai.promptGuard` of a route, in its form of today and in the older one,
//! which is shorter: its patterns refuse prompts, and write X over answers.

mod asked;
mod patterns;

use guard::Purpose;
use policy::written::{
    Action, AppliesTo, Format, Guard, MaskStyle, Mode, Patterns, Refusal, RequestGuard, ResponseGuard, Scope,
};

pub use asked::{Address, Asked, Moderator};

use super::Id;
use crate::node::{Node, Object, Unknown};

/// What prompts and answers may say.
#[derive(Debug, Clone)]
pub struct PromptGuard {
    /// As the module takes it. The cluster of moderation is still to be named.
    pub written: Guard,
    /// Who else is asked.
    pub asked: Asked,
}

impl PromptGuard {
    /// Whether prompts are guarded, and whether answers are.
    pub fn guards(&self) -> [bool; 2] {
        [self.written.request.is_some(), self.written.response.is_some()]
    }
}

/// Fields of the older form, and fields that stand in their place today.
const FORMER: [&str; 3] = ["customResponseMessage", "matches", "builtins"];
const TODAY: [&str; 4] = ["customResponse", "regex", "webhook", "moderation"];

/// Reads `{request, response}` of a resource.
pub fn read(node: &Node<'_>, id: &Id) -> Option<PromptGuard> {
    let object = node.object()?;
    let mut asked = Asked::default();
    let request = field(&object, "request", |it| request(it, id, &mut asked));
    let response = field(&object, "response", |it| response(it, &mut asked));
    object.finish(Unknown::Refuse);
    let written = Guard { request: request?, response: response? };
    if written == Guard::default() {
        node.refuse("nothing is looked for: expected request or response");
        return None;
    }
    Some(PromptGuard { written, asked })
}

fn request(node: &Node<'_>, id: &Id, asked: &mut Asked) -> Option<RequestGuard> {
    let object = node.object()?;
    let one_form = one_form(&object, &FORMER, &TODAY);
    let message = field(&object, "customResponseMessage", Node::text);
    let former = former(&object, Purpose::Prompts);
    let refusal = field(&object, "customResponse", refusal);
    let regex = field(&object, "regex", |it| patterns::read(it, Purpose::Prompts));
    let webhook = field(&object, "webhook", |it| asked.webhook(it));
    let moderation = field(&object, "moderation", |it| asked.moderation(it, id));
    let mode = field(&object, "mode", mode);
    let scope = field(&object, "scope", |it| every(it, scope));
    let applies_to = field(&object, "appliesTo", applies_to);
    object.finish(Unknown::Refuse);
    one_form?;
    let former_refusal = message?.map(|it| Refusal { message: said(it), ..Refusal::default() });
    let guard = RequestGuard {
        refusal: refusal?.or(former_refusal).unwrap_or_default(),
        webhook: webhook?,
        patterns: regex?.or(former?),
        moderation: moderation?,
        mode: mode?.unwrap_or_default(),
        scope: scope?.unwrap_or_default(),
        applies_to: applies_to?.unwrap_or_default(),
    };
    if guard.webhook.is_none() && guard.patterns.is_none() && guard.moderation.is_none() {
        node.refuse("nothing is looked for: expected regex, webhook or moderation");
        return None;
    }
    Some(guard)
}

fn response(node: &Node<'_>, asked: &mut Asked) -> Option<ResponseGuard> {
    let object = node.object()?;
    let one_form = one_form(&object, &["matches", "builtins"], &["customResponse", "regex", "webhook"]);
    let former = former(&object, Purpose::Answers);
    let refusal = field(&object, "customResponse", refusal);
    let regex = field(&object, "regex", |it| patterns::read(it, Purpose::Answers));
    let webhook = field(&object, "webhook", |it| asked.webhook(it));
    let mode = field(&object, "mode", mode);
    object.finish(Unknown::Refuse);
    one_form?;
    let guard = ResponseGuard {
        refusal: refusal?.unwrap_or_default(),
        webhook: webhook?,
        patterns: regex?.or(former?),
        mode: mode?.unwrap_or_default(),
    };
    if guard.webhook.is_none() && guard.patterns.is_none() {
        node.refuse("nothing is looked for: expected regex or webhook");
        return None;
    }
    Some(guard)
}

/// Refuses what is written in both forms: it would have to be guessed which of them counts.
fn one_form(object: &Object<'_>, former: &[&'static str], today: &[&'static str]) -> Option<()> {
    let first = |names: &[&'static str]| names.iter().copied().find(|name| object.get(name).is_some());
    let (Some(former), Some(today)) = (first(former), first(today)) else { return Some(()) };
    let what = format!(
        "`{former}` and `{today}` exclude each other: one is of the older form of a guard, the other of today's"
    );
    object.node().refuse(what);
    None
}

/// The patterns of the older form, which stand in the guard itself.
fn former(object: &Object<'_>, purpose: Purpose) -> Option<Option<Patterns>> {
    let matches = field(object, "matches", |it| every(it, |it| patterns::former(it, purpose)));
    let builtins = field(object, "builtins", |it| every(it, patterns::former_builtin));
    let (matches, builtins) = (matches?.unwrap_or_default(), builtins?.unwrap_or_default());
    let (action, mask_style) = match purpose {
        Purpose::Prompts => (Action::Reject, MaskStyle::Placeholder),
        Purpose::Answers => (Action::Mask, MaskStyle::X),
    };
    let is_empty = matches.is_empty() && builtins.is_empty();
    Some((!is_empty).then_some(Patterns { matches, builtins, action, mask_style }))
}

fn refusal(node: &Node<'_>) -> Option<Refusal> {
    let object = node.object()?;
    let message = field(&object, "message", Node::text);
    let status = field(&object, "statusCode", status);
    let format = field(&object, "format", |it| match it.choice_or(&[], &["openai", "raw"])? {
        "raw" => Some(Format::Raw),
        _ => Some(Format::Openai),
    });
    object.finish(Unknown::Refuse);
    let (message, status) = (message?.and_then(said), status?.flatten());
    // Whoever writes JSON wants it sent as it is.
    let json = message.as_ref().is_some_and(|it| it.trim_start().starts_with('{') && is_json(it));
    let usual = if json { Format::Raw } else { Format::Openai };
    Some(Refusal { message, status, format: format?.unwrap_or(usual) })
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok()
}

/// An empty text is as good as none, and so is a status of 0, as everywhere in protobuf.
fn said(message: String) -> Option<String> {
    Some(message).filter(|it| !it.is_empty())
}

fn status(node: &Node<'_>) -> Option<Option<u16>> {
    match u16::try_from(node.number(0..=599)?).unwrap_or_default() {
        0 => Some(None),
        status @ 200.. => Some(Some(status)),
        status => {
            node.refuse(format!("{status} is no status of an answer, expected one from 200 to 599"));
            None
        }
    }
}

fn mode(node: &Node<'_>) -> Option<Mode> {
    match node.choice_or(&[], &["enforce", "monitor"])? {
        "monitor" => Some(Mode::Monitor),
        _ => Some(Mode::Enforce),
    }
}

fn scope(node: &Node<'_>) -> Option<Scope> {
    match node.choice_or(&[], &["system", "user", "assistant", "tool", "tools"])? {
        "system" => Some(Scope::System),
        "user" => Some(Scope::User),
        "assistant" => Some(Scope::Assistant),
        "tool" => Some(Scope::Tool),
        _ => Some(Scope::Tools),
    }
}

fn applies_to(node: &Node<'_>) -> Option<AppliesTo> {
    match node.choice_or(&[], &["all", "last_turn", "lastTurn"])? {
        "all" => Some(AppliesTo::All),
        _ => Some(AppliesTo::LastTurn),
    }
}

/// A field that may be absent.
fn field<'d, T>(
    object: &Object<'d>,
    name: &'static str,
    read: impl FnOnce(&Node<'d>) -> Option<T>,
) -> Option<Option<T>> {
    object.get(name).map_or(Some(None), |it| read(&it).map(Some))
}

/// The items of a list. All of them are read, so that all that is wrong is said at once.
fn every<T>(node: &Node<'_>, read: impl FnMut(&Node<'_>) -> Option<T>) -> Option<Vec<T>> {
    let items: Vec<Option<T>> = node.list()?.iter().map(read).collect();
    items.into_iter().collect()
}
