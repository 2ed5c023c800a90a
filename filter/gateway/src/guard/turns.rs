//! Whose a message is, and which messages a guard looks at.

use policy::guard::{AppliesTo, RequestGuard, Scope};

use crate::json::{Token, TooDeep, Walk};

/// Whose texts are in something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// The system's.
    System,
    /// The user's, or nobody knows whose.
    User,
    /// The model's own.
    Assistant,
    /// What a tool is asked, or says.
    Tool,
    /// What tools there are.
    Tools,
}

/// Whether a scope includes a group. An empty one includes all.
pub fn in_scope(scope: &[Scope], group: Group) -> bool {
    let wanted = match group {
        Group::System => Scope::System,
        Group::User => Scope::User,
        Group::Assistant => Scope::Assistant,
        Group::Tool => Scope::Tool,
        Group::Tools => Scope::Tools,
    };
    scope.is_empty() || scope.contains(&wanted)
}

/// The messages of a list, where a guard tells them apart.
#[derive(Debug)]
pub struct Items {
    scope: Vec<Scope>,
    /// Whose each message is. Several where it says so in several ways: then it is looked at if any of these is.
    groups: Vec<Vec<Group>>,
    /// The first that is looked at.
    first: usize,
    /// The number of messages that have begun.
    begun: usize,
}

impl Items {
    /// Whose the messages of a JSON list are. `None` where it makes no difference.
    pub fn of(guard: &RequestGuard, json: &str) -> Result<Option<Items>, TooDeep> {
        if guard.scope.is_empty() && guard.applies_to == AppliesTo::All {
            return Ok(None);
        }
        let groups = groups(json)?;
        let last = groups.iter().rposition(|it| it.contains(&Group::User));
        let first = match guard.applies_to {
            AppliesTo::All => 0,
            AppliesTo::LastTurn => last.unwrap_or(0),
        };
        Ok(Some(Items { scope: guard.scope.clone(), groups, first, begun: 0 }))
    }

    /// The next message begins.
    pub fn begin(&mut self) {
        self.begun += 1;
    }

    /// Whether a member of the message that has begun is looked at.
    pub fn includes(&self, member: &str) -> bool {
        let Some(index) = self.begun.checked_sub(1).filter(|index| *index >= self.first) else {
            return false;
        };
        if ["tool_calls", "function_call"].contains(&member) {
            return in_scope(&self.scope, Group::Tool);
        }
        self.groups.get(index).is_none_or(|groups| groups.iter().any(|it| in_scope(&self.scope, *it)))
    }
}

/// Whose each message of a list is.
fn groups(json: &str) -> Result<Vec<Vec<Group>>, TooDeep> {
    let mut walk = Walk::new(json);
    let mut groups: Vec<Vec<Group>> = Vec::new();
    let (mut roles, mut kinds) = (Vec::new(), Vec::new());
    let mut name = String::new();
    while let Some(token) = walk.next()? {
        match (token, walk.depth()) {
            (Token::Name(range), 2) => name = walk.text(&range).into_owned(),
            (Token::Text(range), 2) if name == "role" => roles.push(of_role(&walk.text(&range))),
            (Token::Text(range), 2) if name == "type" => kinds.push(of_kind(&walk.text(&range))),
            (Token::Object(_), 2) => {
                roles.clear();
                kinds.clear();
            }
            (Token::End(_), 1) => {
                let own = if roles.is_empty() { &kinds } else { &roles };
                groups.push(if own.is_empty() { vec![Group::User] } else { own.clone() });
            }
            _ => {}
        }
    }
    Ok(groups)
}

fn of_role(role: &str) -> Group {
    match role {
        "system" | "developer" => Group::System,
        "assistant" => Group::Assistant,
        "tool" | "function" => Group::Tool,
        _ => Group::User,
    }
}

/// Items of the Responses API that have no role.
fn of_kind(kind: &str) -> Group {
    match kind {
        "reasoning" => Group::Assistant,
        _ if kind.ends_with("_call") || kind.ends_with("_call_output") => Group::Tool,
        _ => Group::User,
    }
}
