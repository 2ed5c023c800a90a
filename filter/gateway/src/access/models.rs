//! Stage `authorize`, as far as a model is named: in the body, wherever an API lets it name one, and in the URL.
//!
//! A claim that lists models would be worth little if it were checked against the route only: the caller writes the
//! model into the body, and the provider believes the body.

use std::borrow::Cow;

use serde_json::Value;

use super::carrier::parameters;
use crate::document::Document;
use crate::headers::Headers;
use crate::path::{decoded, is_plain, split_query};
use crate::reply::{Reason, Reply};

/// What the caller's claims say of models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Models {
    /// Nothing: any may be used.
    Any,
    /// These may be used.
    Listed(Vec<String>),
}

/// Segments of a URL that a model, or a deployment of one, follows.
const MARKS: [&str; 4] = ["models", "model", "deployments", "engines"];

/// What may stand after the model in a URL.
const OPERATIONS: [&[&str]; 9] = [
    &["chat", "completions"],
    &["completions"],
    &["responses"],
    &["embeddings"],
    &["converse"],
    &["converse-stream"],
    &["invoke"],
    &["invoke-with-response-stream"],
    &["images", "generations"],
];

/// What may follow the model in its own segment.
const VERBS: [&str; 8] = [
    ":generateContent",
    ":streamGenerateContent",
    ":countTokens",
    ":embedContent",
    ":batchEmbedContents",
    ":predict",
    ":rawPredict",
    ":streamRawPredict",
];

/// As many of a caller's models as an answer names.
const NAMED: usize = 8;

impl Models {
    /// What either allows.
    pub fn or(self, other: Models) -> Models {
        match (self, other) {
            (Models::Listed(mut these), Models::Listed(those)) => {
                these.extend(those.into_iter().filter(|it| !these.contains(it)).collect::<Vec<_>>());
                Models::Listed(these)
            }
            (Models::Any, _) | (_, Models::Any) => Models::Any,
        }
    }

    /// Whether every body has to name a model of the list.
    pub fn are_listed(&self) -> bool {
        *self != Models::Any
    }

    /// Whether a model may be used.
    pub fn contain(&self, model: &str) -> bool {
        match self {
            Models::Any => true,
            Models::Listed(list) => list.iter().any(|it| it == model),
        }
    }

    fn allow(&self, model: &str) -> Result<(), Reply> {
        if self.contain(model) {
            return Ok(());
        }
        // The client's own text: cut, so that an answer never grows with what was sent.
        let model: String = model.chars().take(64).collect();
        Err(self.refuse(&format!("the model `{model}` is not one that this caller may use")))
    }

    fn refuse(&self, what: &str) -> Reply {
        let Models::Listed(list) = self else { return refusal(what.to_owned()) };
        let named: Vec<&str> = list.iter().take(NAMED).map(String::as_str).collect();
        let more = if list.len() > NAMED { ", …" } else { "" };
        match named.as_slice() {
            [] => refusal(format!("{what}; its token lists none")),
            named => refusal(format!("{what}; its token lists {}{more}", named.join(", "))),
        }
    }
}

fn refusal(message: String) -> Reply {
    Reply::new(403, Reason::ModelNotAllowed, message)
}

/// Checks every model that a URL names: in its path (Azure, Gemini, Vertex, Bedrock, `/v1/models/…`) and as `?model=`.
///
/// # Errors
/// 403 where it is not the caller's, and where the path could lead elsewhere than it looks.
pub fn allow_path(models: &Models, path: &str) -> Result<(), Reply> {
    if !models.are_listed() {
        return Ok(());
    }
    let (path, query) = split_query(path);
    if !is_plain(path) {
        return Err(refusal("the path is not in its normal form, and a model could be hidden in it".into()));
    }
    let segments: Vec<Cow<'_, str>> = path.split('/').filter(|it| !it.is_empty()).map(decoded).collect();
    for (i, segment) in segments.iter().enumerate() {
        let rest = segments.get(i + 1..).unwrap_or_default();
        if MARKS.contains(&segment.as_ref()) && !rest.is_empty() {
            models.allow_segments(rest)?;
        }
    }
    parameters(query).filter(|(key, _)| key == "model").try_for_each(|(_, model)| models.allow(&model))
}

impl Models {
    fn allow_segments(&self, segments: &[Cow<'_, str>]) -> Result<(), Reply> {
        let ends = |operation: &&&[&str]| {
            let at = segments.len().checked_sub(operation.len()).filter(|at| *at > 0);
            at.and_then(|at| segments.get(at..)).is_some_and(|end| end.iter().eq(operation.iter()))
        };
        let length = segments.len() - OPERATIONS.iter().find(ends).map_or(0, |operation| operation.len());
        let name = segments.iter().take(length).map(Cow::as_ref).collect::<Vec<_>>().join("/");
        if self.allow(&name).is_ok() {
            return Ok(());
        }
        self.allow(VERBS.iter().find_map(|verb| name.strip_suffix(verb)).unwrap_or(&name))
    }
}

/// Whether a body that only models are looked for in can be read.
///
/// # Errors
/// 403 where it is not announced as JSON.
pub fn readable(headers: &Headers<'_>) -> Result<(), Reply> {
    match headers.media_type() {
        Some(it) if it.eq_ignore_ascii_case("application/json") => Ok(()),
        _ => Err(refusal(
            "this caller may use some models only, and which one a request names can be read from JSON only"
                .into(),
        )),
    }
}

/// Checks every model that a body names.
///
/// # Errors
/// 403 where it names one that is not the caller's, none at all, or one in a way that readers could differ about.
pub fn allow_body(models: &Models, document: &Document) -> Result<(), Reply> {
    if !models.are_listed() {
        return Ok(());
    }
    for name in document.names() {
        let plain = folded(name);
        if plain != *name && ["model", "models", "fallbacks"].contains(&plain.as_str()) {
            // Some servers read names without regard to case, and take the last.
            return Err(models.refuse(&format!("the request has to write `{plain}` in lower case")));
        }
    }
    let Some(model) = document.string("model")? else {
        return Err(models.refuse("the request has to name a model"));
    };
    models.allow(&model)?;
    for name in ["models", "fallbacks"] {
        models.allow_all(&document.value(name)?, name)?;
    }
    // The Responses API: a tool may have a model of its own.
    match document.value("tools")? {
        Value::Array(tools) => tools.iter().try_for_each(|tool| models.allow_member(tool)),
        _ => Ok(()),
    }
}

impl Models {
    /// A list of models, or of objects that name one (as routers take them).
    fn allow_all(&self, list: &Value, field: &str) -> Result<(), Reply> {
        match list {
            Value::Null => Ok(()),
            Value::String(model) => self.allow(model),
            Value::Array(list) => list.iter().try_for_each(|it| self.allow_all(it, field)),
            Value::Object(members) if members.keys().any(|name| folded(name) == "model") => {
                self.allow_member(list)
            }
            // `{"a model": ["instead of it", "or this"]}`
            Value::Object(members) => members.values().try_for_each(|it| self.allow_all(it, field)),
            Value::Bool(_) | Value::Number(_) => {
                Err(self.refuse(&format!("`{field}` names a model in a way that is not known here")))
            }
        }
    }

    fn allow_member(&self, object: &Value) -> Result<(), Reply> {
        let members = object.as_object().into_iter().flatten();
        members.filter(|(name, _)| folded(name) == "model").try_for_each(|(_, model)| match model {
            Value::String(model) => self.allow(model),
            Value::Null => Ok(()),
            _ => Err(self.refuse("a model has to be named by a string")),
        })
    }
}

/// A name as the most lenient reader takes it.
fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}
