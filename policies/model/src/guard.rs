//! What prompts and answers may say, as checked: patterns compiled, defaults filled in.

use std::time::Duration;

use guard::Rules;
use regex_lite::Regex;

pub use crate::written::{Action, AppliesTo, Format, MaskStyle, Mode, OnError, Scope};

/// What is looked for on the way in and on the way out.
#[derive(Debug, Default)]
pub struct Guard {
    /// What prompts may say. `None`: anything.
    pub request: Option<RequestGuard>,
    /// What answers may say. `None`: anything.
    pub response: Option<ResponseGuard>,
}

/// What prompts may say: asked in the order of the fields.
#[derive(Debug)]
pub struct RequestGuard {
    /// A service that is asked about the messages.
    pub webhook: Option<Webhook>,
    /// What is looked for.
    pub patterns: Option<Patterns>,
    /// OpenAI's moderation.
    pub moderation: Option<Moderation>,
    /// What a client is told whose prompt is refused.
    pub refusal: Refusal,
    /// Whether anything follows from what is found.
    pub mode: Mode,
    /// Whose texts are looked at; empty: all.
    pub scope: Vec<Scope>,
    /// How far back texts are looked at.
    pub applies_to: AppliesTo,
}

/// What answers may say: asked in the order of the fields.
#[derive(Debug)]
pub struct ResponseGuard {
    /// A service that is asked about the answer.
    pub webhook: Option<Webhook>,
    /// What is looked for.
    pub patterns: Option<Patterns>,
    /// What a client is told whose answer is refused.
    pub refusal: Refusal,
    /// Whether anything follows from what is found.
    pub mode: Mode,
}

/// What a client is told instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it says.
    pub message: String,
    /// The status, 200 to 599.
    pub status: u16,
    /// How it is sent.
    pub format: Format,
}

/// What is looked for, and what becomes of it.
#[derive(Debug)]
pub struct Patterns {
    /// Ready to be looked for.
    pub rules: Rules,
    /// What stands in the place of what each rule finds; an `X` for each character where there is none.
    pub placeholders: Option<Vec<String>>,
    /// What becomes of what is found.
    pub action: Action,
}

/// A service that is asked.
#[derive(Debug)]
pub struct Webhook {
    /// The host's name for the cluster that it is.
    pub cluster: String,
    /// The `:authority` that it sees.
    pub host: String,
    /// Headers of the client's request that it sees as well.
    pub forward_headers: Vec<HeaderMatch>,
    /// How long it is waited for.
    pub timeout: Duration,
    /// What happens when it does not answer.
    pub on_error: OnError,
}

/// OpenAI's moderation.
#[derive(Debug)]
pub struct Moderation {
    /// The host's name for the cluster of the provider.
    pub cluster: String,
    /// The model.
    pub model: String,
    /// How long it is waited for.
    pub timeout: Duration,
    /// What happens when it does not answer.
    pub on_error: OnError,
}

/// What the name of a header has to be.
#[derive(Debug)]
pub enum HeaderMatch {
    /// This.
    Exact(String),
    /// Begin so.
    Prefix(String),
    /// End so.
    Suffix(String),
    /// Have this in it.
    Contains(String),
    /// Fit this regular expression, which is anchored.
    Regex(Regex),
}

impl Patterns {
    /// Writes what stands in the place of a text that a rule has found. `begins` says that it is the beginning of what was
    /// found; a placeholder stands there only.
    pub fn mask(&self, rule: usize, text: &str, begins: bool, out: &mut String) {
        match &self.placeholders {
            Some(all) if begins => out.push_str(all.get(rule).map_or("", String::as_str)),
            Some(_) => {}
            None => out.extend(text.chars().map(|_| 'X')),
        }
    }

    /// What a rule is called in logs and metrics.
    pub fn name(&self, rule: usize) -> &str {
        self.rules.rules().get(rule).map_or("", |rule| &rule.name)
    }
}

impl HeaderMatch {
    /// Whether a name, in lower case, is one.
    pub fn fits(&self, name: &str) -> bool {
        match self {
            HeaderMatch::Exact(it) => name == it,
            HeaderMatch::Prefix(it) => name.starts_with(it),
            HeaderMatch::Suffix(it) => name.ends_with(it),
            HeaderMatch::Contains(it) => name.contains(it),
            HeaderMatch::Regex(it) => it.is_match(name),
        }
    }
}
