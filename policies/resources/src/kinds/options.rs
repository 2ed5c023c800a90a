//! `VirtualHostOption` and `RouteOption` (gateway.solo.io/v1): policies that hang on gateways and routes.

use std::time::Duration;

use super::Id;
use super::ai::{self, Ai};
use super::jwt::{self, Staged, Switch};
use super::limits::{self, Limits};
use super::prompt_guard::PromptGuard;
use super::rbac::{self, Rbac};
use super::retries::{self, Retries};
use crate::node::{Node, Object, Unknown};
use crate::problem::{Place, Report, Severity};

/// A resource with options.
#[derive(Debug)]
pub struct OptionResource {
    /// What it hangs on.
    pub targets: Vec<TargetRef>,
    /// What it says.
    pub options: Options,
}

/// What a resource hangs on.
#[derive(Debug)]
pub struct TargetRef {
    /// Its name.
    pub name: String,
    /// Its namespace; the resource's own if absent.
    pub namespace: Option<String>,
    /// The only listener of a Gateway, or the only rule of an HTTPRoute.
    pub section: Option<String>,
    /// Where it is written.
    pub place: Place,
    /// The path of the field.
    pub path: String,
}

/// Options by the fields that count as a whole when several resources meet.
#[derive(Debug, Default, Clone)]
pub struct Options {
    /// Whose JWTs are believed, and what is asked: `jwt` and `jwtStaged` of a virtual host, `jwtProvidersStaged` of a
    /// route.
    pub jwt: Option<Written<Staged>>,
    /// Which of these questions a route does not ask: its `jwt` and `jwtStaged`.
    pub switch: Option<Written<Switch>>,
    /// Who may do what.
    pub rbac: Option<Written<Rbac>>,
    /// What is done to prompts and answers.
    pub ai: Option<Written<Ai>>,
    /// What is done when an attempt fails; nothing, where it says so.
    pub retries: Option<Written<Option<Retries>>>,
    /// How long the whole answer of a route may take; as long as it takes, if that is what it says.
    pub timeout: Option<Written<Option<Duration>>>,
    /// How much of what may be used.
    pub limits: Limits,
}

/// Something, and where it is written.
#[derive(Debug, Clone)]
pub struct Written<T> {
    /// What is written.
    pub value: T,
    /// The path of the field.
    pub field: &'static str,
    /// Where it is written.
    pub place: Place,
    /// The resource, as in `RouteOption ns/name`.
    pub owner: String,
}

/// Fields that change nothing of what passes and what does not.
const HARMLESS: [&str; 4] =
    ["stats", "tracing", "includeRequestAttemptCount", "includeAttemptCountInResponse"];

/// What the options are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// All routes of a gateway or listener.
    VirtualHost,
    /// A route or rule.
    Route,
}

/// Reads a spec.
pub fn read(spec: &Object<'_>, what: For, id: &Id) -> Option<OptionResource> {
    let many = spec.get("targetRefs").and_then(|it| it.list()).unwrap_or_default();
    let kind = if what == For::Route { "HTTPRoute" } else { "Gateway" };
    let targets = many.iter().chain(spec.get("targetRef").iter()).filter_map(|it| target(it, kind)).collect();
    let options = spec.get("options").map_or(Some(Options::default()), |it| options(&it, what, id))?;
    Some(OptionResource { targets, options })
}

fn target(node: &Node<'_>, kind: &str) -> Option<TargetRef> {
    let object = node.object()?;
    object.get("group");
    let named = object.need("kind")?;
    if named.text()? != kind {
        named.refuse(format!("this kind of options can only hang on a resource of kind {kind}"));
        return None;
    }
    let target = TargetRef {
        name: object.need("name")?.text()?,
        namespace: object.get("namespace").and_then(|it| it.text()),
        section: object.get("sectionName").and_then(|it| it.text()),
        place: node.place(),
        path: node.path().to_owned(),
    };
    object.finish(Unknown::Refuse);
    Some(target)
}

fn options(node: &Node<'_>, what: For, id: &Id) -> Option<Options> {
    let object = node.object()?;
    let mut options = Options::default();
    for (name, value) in object.all() {
        let (place, owner) = (value.place(), format!("{} {}/{}", id.kind, id.namespace, id.name));
        if let Some(field) = limits::field(&camel(&name)) {
            options.limits.read(field, &value, (what, owner), node)?;
            continue;
        }
        match (camel(&name).as_str(), what) {
            ("jwt", For::VirtualHost) => {
                let value = Staged { before: Some(jwt::read(&value)?), after: None };
                once(&mut options.jwt, Written { value, field: "options.jwt", place, owner }, node);
            }
            ("jwtStaged", For::VirtualHost) => {
                let value = jwt::read_staged(&value)?;
                once(&mut options.jwt, Written { value, field: "options.jwtStaged", place, owner }, node);
            }
            ("jwtProvidersStaged", For::Route) => {
                let value = jwt::read_staged(&value)?;
                once(
                    &mut options.jwt,
                    Written { value, field: "options.jwtProvidersStaged", place, owner },
                    node,
                );
            }
            ("jwt", For::Route) => {
                let value = Switch { before: jwt::read_disable(&value)?, after: false };
                once(&mut options.switch, Written { value, field: "options.jwt", place, owner }, node);
            }
            ("jwtStaged", For::Route) => {
                let value = jwt::read_switch(&value)?;
                once(&mut options.switch, Written { value, field: "options.jwtStaged", place, owner }, node);
            }
            ("rbac", _) => {
                let value = rbac::read(&value)?;
                once(&mut options.rbac, Written { value, field: "options.rbac", place, owner }, node);
            }
            ("ai", For::Route) => {
                let value = ai::read(&value, id)?;
                once(&mut options.ai, Written { value, field: "options.ai", place, owner }, node);
            }
            ("retries", _) => {
                let value = retries::read(&value)?;
                once(&mut options.retries, Written { value, field: "options.retries", place, owner }, node);
            }
            ("timeout", For::Route) => {
                let value = Some(value.proto_duration()?).filter(|it| !it.is_zero());
                once(&mut options.timeout, Written { value, field: "options.timeout", place, owner }, node);
            }
            (harmless, _) if HARMLESS.contains(&harmless) => {
                value.say(Severity::Note, "changes nothing of what passes, and is skipped");
            }
            _ => value.refuse(format!(
                "{name} is not supported by this version; remove it, because its rules would not be enforced"
            )),
        }
    }
    Some(options)
}

/// `jwt` and `jwtStaged` are two names of one thing, and so are some others.
pub(super) fn once<T>(slot: &mut Option<Written<T>>, new: Written<T>, options: &Node<'_>) {
    match slot {
        Some(old) => options.refuse(format!("`{}` and `{}` exclude each other", old.field, new.field)),
        None => *slot = Some(new),
    }
}

fn camel(name: &str) -> String {
    crate::node::camel_case(name)
}

impl Options {
    /// Takes what only younger or weaker options say; says what of them is lost.
    pub fn fill(&mut self, others: &Options, report: &Report) {
        fill(&mut self.jwt, others.jwt.as_ref(), report, |_, _| None);
        fill(&mut self.switch, others.switch.as_ref(), report, |_, _| None);
        fill(&mut self.rbac, others.rbac.as_ref(), report, |_, _| None);
        fill(&mut self.ai, others.ai.as_ref(), report, unguarded);
        fill(&mut self.retries, others.retries.as_ref(), report, |_, _| None);
        fill(&mut self.timeout, others.timeout.as_ref(), report, |_, _| None);
        self.limits.fill(&others.limits, report);
    }
}

/// What an `ai` guards that the one in its place does not.
fn unguarded(kept: &Ai, lost: &Ai) -> Option<&'static str> {
    let guards = |ai: &Ai| ai.guard.as_ref().map_or([false; 2], PromptGuard::guards);
    let ([request, response], [kept_request, kept_response]) = (guards(lost), guards(kept));
    match (request && !kept_request, response && !kept_response) {
        (true, true) => Some("prompts and answers are not guarded"),
        (true, false) => Some("prompts are not guarded"),
        (false, true) => Some("answers are not guarded"),
        (false, false) => None,
    }
}

/// Fills an empty place. What does not get into a full one is worth a note, and a warning where a rule goes with it that
/// nothing else has: `loss` says which.
pub(super) fn fill<T: Clone>(
    slot: &mut Option<Written<T>>,
    other: Option<&Written<T>>,
    report: &Report,
    loss: impl Fn(&T, &T) -> Option<&'static str>,
) {
    let Some(other) = other else { return };
    match slot {
        None => *slot = Some(other.clone()),
        Some(kept) if kept.owner != other.owner => {
            let what = format!("is not used: {} says it already, and comes first", kept.owner);
            let (severity, what) = match loss(&kept.value, &other.value) {
                None => (Severity::Note, what),
                Some(loss) => (Severity::Warning, format!("{what}: {loss}")),
            };
            report.add(severity, &other.place, &format!("spec.{}", other.field), what);
        }
        Some(_) => {}
    }
}
