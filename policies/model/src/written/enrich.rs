//! What the gateway adds to requests, as written.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// What the gateway adds to a request before its provider gets it. What is added is the gateway's own: no rule for callers
/// looks at it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Enrich {
    /// Messages that come before the client's, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prepend: Vec<Message>,
    /// Messages that come after the client's, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub append: Vec<Message>,
    /// Fields of the body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defaults: Vec<DefaultField>,
}

/// A message of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Message {
    /// Whose it is: `system`, `developer`, `user` or `assistant`, in any case.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// A field of the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DefaultField {
    /// Its name, at the top level of the body.
    pub field: String,
    /// Its value.
    pub value: Json,
    /// Whether it stands in the place of the client's value. Otherwise the client's counts, where there is one.
    #[serde(default, rename = "override", skip_serializing_if = "std::ops::Not::not")]
    pub overrides: bool,
}

/// A JSON value as it is written: the module has no use for what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(pub String);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|it| Json(it.get().to_owned()))
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.0.clone()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}
