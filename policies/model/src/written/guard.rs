//! What prompts and answers may say, as written.

use serde::{Deserialize, Serialize};

/// What is looked for on the way in and on the way out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Guard {
    /// What prompts may say. Absent: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestGuard>,
    /// What answers may say. Absent: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<ResponseGuard>,
}

/// What prompts may say: asked in the order webhook, patterns, moderation, and each may end the request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestGuard {
    /// What a client is told whose prompt is refused.
    #[serde(default, skip_serializing_if = "Refusal::is_default")]
    pub refusal: Refusal,
    /// A service that is asked about the messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// What is looked for in every text that a model would read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patterns: Option<Patterns>,
    /// OpenAI's moderation, which is asked about the messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moderation: Option<Moderation>,
    /// Whether anything follows from what is found.
    #[serde(default, skip_serializing_if = "Mode::is_default")]
    pub mode: Mode,
    /// Whose texts are looked at. Absent: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<Scope>,
    /// How far back texts are looked at.
    #[serde(default, skip_serializing_if = "AppliesTo::is_default")]
    pub applies_to: AppliesTo,
}

/// What answers may say: asked in the order webhook, patterns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResponseGuard {
    /// What a client is told whose answer is refused.
    #[serde(default, skip_serializing_if = "Refusal::is_default")]
    pub refusal: Refusal,
    /// A service that is asked about the answer. A stream is held until its end for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// What is looked for in every text of an answer, in streams as they come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patterns: Option<Patterns>,
    /// Whether anything follows from what is found.
    #[serde(default, skip_serializing_if = "Mode::is_default")]
    pub mode: Mode,
}

/// What a client is told instead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refusal {
    /// What it says. Absent: "The request was rejected due to inappropriate content", or the same of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The status, 200 to 599. Absent: 403.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How the message is sent.
    #[serde(default, skip_serializing_if = "Format::is_default")]
    pub format: Format,
}

/// How a message is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Format {
    /// In an error object of OpenAI's shape, so that SDKs show it.
    #[default]
    Openai,
    /// As it is: JSON if it is JSON, otherwise plain text.
    Raw,
}

/// What is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patterns {
    /// Regular expressions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Pattern>,
    /// What is recognised without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub builtins: Vec<Builtin>,
    /// What becomes of what is found.
    #[serde(default, skip_serializing_if = "Action::is_default")]
    pub action: Action,
    /// What stands in its place.
    #[serde(default, skip_serializing_if = "MaskStyle::is_default")]
    pub mask_style: MaskStyle,
}

/// A regular expression: case-insensitive, `^` and `$` for lines, `.` for every character.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pattern {
    /// Its text.
    pub pattern: String,
    /// What logs and metrics call it. Absent: `pattern-` and its place among the patterns, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The longest match that is looked for in an answer, in bytes, 1 to 16384. Needed there where the pattern itself has
    /// no longest match; a stream is held back for as long as a match is possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
}

/// Something that is recognised without a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Builtin {
    /// Payment card numbers.
    CreditCard,
    /// Social security numbers of the United States.
    Ssn,
    /// Addresses of electronic mail.
    Email,
    /// Telephone numbers.
    PhoneNumber,
    /// International bank account numbers.
    Iban,
    /// IPv4 and IPv6 addresses.
    IpAddress,
    /// Keys of well-known services.
    ApiKey,
}

/// What becomes of what is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Something else stands in its place.
    #[default]
    Mask,
    /// The request, or the answer, goes no further.
    Reject,
}

/// What stands in the place of what is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MaskStyle {
    /// `<CUSTOM>` for a pattern, `<CREDIT_CARD>` and the like for what is recognised.
    #[default]
    Placeholder,
    /// An `X` for each character.
    X,
}

/// Whether anything follows from what is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// The policy is carried out.
    #[default]
    Enforce,
    /// It is counted and logged, and passes.
    Monitor,
}

/// Whose texts are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// Messages of the roles `system` and `developer`, and instructions.
    System,
    /// Messages of the role `user` and of roles that are not known, and prompts without a role.
    User,
    /// Messages of the role `assistant`.
    Assistant,
    /// What tools have been asked, and what they have answered.
    Tool,
    /// What tools there are, and the forms that answers are to have.
    Tools,
}

/// How far back texts are looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AppliesTo {
    /// All of them.
    #[default]
    All,
    /// From the last message of the user on.
    LastTurn,
}

/// A service that is asked about prompts (`POST /request`) or answers (`POST /response`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Webhook {
    /// The host's name for the cluster that it is.
    pub cluster: String,
    /// The `:authority` that it sees.
    pub host: String,
    /// Headers of the client's request that it sees as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forward_headers: Vec<HeaderMatch>,
    /// How long it is waited for, in milliseconds, 1 to 60000. 5000 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What happens when it does not answer.
    #[serde(default, skip_serializing_if = "OnError::is_default")]
    pub on_error: OnError,
}

/// OpenAI's moderation (`POST /v1/moderations`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Moderation {
    /// The host's name for the cluster of the provider. Its upstream filters write host and key.
    pub cluster: String,
    /// The model. Absent: `omni-moderation-latest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How long it is waited for, in milliseconds, 1 to 60000. 5000 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What happens when it does not answer.
    #[serde(default, skip_serializing_if = "OnError::is_default")]
    pub on_error: OnError,
}

/// What the name of a header has to be. Names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HeaderMatch {
    /// This.
    Exact(String),
    /// Begin so.
    Prefix(String),
    /// End so.
    Suffix(String),
    /// Have this in it.
    Contains(String),
    /// Fit this regular expression, as a whole.
    Regex(String),
}

/// What happens when somebody who is asked does not answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnError {
    /// The request is refused with 503.
    #[default]
    Deny,
    /// It passes.
    Allow,
}

macro_rules! is_default {
    ($($kind:ty)*) => {
        $(impl $kind {
            fn is_default(&self) -> bool {
                *self == <$kind>::default()
            }
        })*
    };
}

is_default!(Refusal Format Action MaskStyle Mode AppliesTo OnError);
