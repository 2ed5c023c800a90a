//! How many tokens a prompt has, in cl100k_base for every model, as Gloo AI Gateway counts: people's budgets are in its
//! units. A message is 3 tokens, its keys, its texts, and one more for each key `name`; 3 more follow the last message.
//!
//! The prompt is read once and no tree is made of it; the time is linear in its length, whatever it says.

use std::fmt;

use bpe_openai::{Tokenizer, cl100k_base};
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

const PER_MESSAGE: u64 = 3;
const PER_NAME: u64 = 1;
const AT_THE_END: u64 = 3;

/// The fields that may count, as they stand in the body.
#[derive(Deserialize)]
struct Prompt<'a> {
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// Reads the vocabulary, which takes about a tenth of a second and would otherwise be the first request's.
pub(crate) fn warm() {
    let _ = cl100k_base().count("");
}

/// The tokens of a prompt. What cannot be read as one, because it is nested too deeply or has half a character in it, counts
/// as the text that it is, which is more: nobody gets around a budget by it.
pub(crate) fn count(json: &str) -> u64 {
    exact(json).unwrap_or_else(|_| cl100k_base().count(json) as u64)
}

fn exact(json: &str) -> Result<u64, String> {
    let prompt: Prompt<'_> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let sum = match (prompt.messages, prompt.prompt.or(prompt.input)) {
        (Some(messages), _) => read(messages, What::Messages)?.saturating_add(AT_THE_END),
        (None, Some(texts)) => read(texts, What::Texts)?,
        (None, None) => 0,
    };
    Ok(sum)
}

fn read(json: &RawValue, what: What) -> Result<u64, String> {
    let mut reader = serde_json::Deserializer::from_str(json.get());
    Counter { tokenizer: cl100k_base(), what }.deserialize(&mut reader).map_err(|error| error.to_string())
}

/// What is being counted, which decides what its parts are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// A list of messages.
    Messages,
    /// A message, or what is within one.
    Message,
    /// A text, or texts in lists and objects. A number in a list is a token already.
    Texts,
}

#[derive(Clone, Copy)]
struct Counter {
    tokenizer: &'static Tokenizer,
    what: What,
}

impl Counter {
    fn tokens(self, text: &str) -> u64 {
        self.tokenizer.count(text) as u64
    }

    fn number(self) -> u64 {
        u64::from(self.what == What::Texts)
    }
}

impl<'de> DeserializeSeed<'de> for Counter {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<u64, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counter {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a prompt")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        Ok(self.tokens(text))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<u64, E> {
        Ok(self.number())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<u64, E> {
        Ok(self.number())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<u64, E> {
        Ok(self.number())
    }

    fn visit_unit<E: Error>(self) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<u64, A::Error> {
        let (each, what) = match self.what {
            What::Messages => (PER_MESSAGE, What::Message),
            what @ (What::Message | What::Texts) => (0, what),
        };
        let mut sum = 0_u64;
        while let Some(tokens) = list.next_element_seed(Counter { what, ..self })? {
            sum = sum.saturating_add(each).saturating_add(tokens);
        }
        Ok(sum)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u64, A::Error> {
        if self.what == What::Messages {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Err(A::Error::custom("`messages` is no list"));
        }
        let mut sum = 0_u64;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let of_the_key = match self.what {
                What::Message => self.tokens(&key) + if key == "name" { PER_NAME } else { 0 },
                What::Messages | What::Texts => 0,
            };
            sum = sum.saturating_add(of_the_key).saturating_add(map.next_value_seed(self)?);
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::{cl100k_base, count};

    fn messages(json: &str) -> u64 {
        count(&format!(r#"{{"model":"m","messages":{json}}}"#))
    }

    #[test]
    fn messages_count_as_in_gloo() {
        assert_eq!(messages("[]"), 3);
        assert_eq!(messages("[{}]"), 6);
        assert_eq!(messages(r#"[{"role":"user","content":"Hello, world!"}]"#), 13);
        // "name" is one token, and one more for being a name.
        assert_eq!(messages(r#"[{"name":""}]"#), 8);
        // Neither numbers nor null nor booleans count, their keys do.
        assert_eq!(messages(r#"[{"role":1,"content":null,"name":true}]"#), 3 + 1 + 1 + 1 + 1 + 3);
    }

    #[test]
    fn what_is_nested_counts_with_its_keys() {
        let flat = messages(r#"[{"content":"Hello, world!"}]"#);
        let nested = messages(r#"[{"content":[{"type":"text","text":"Hello, world!"}]}]"#);
        assert_eq!(nested, flat + 1 + 1 + 1);
        assert_eq!(messages(r#"[{"content":{"name":"text"}}]"#), 3 + 1 + 1 + 1 + 1 + 3);
    }

    #[test]
    fn without_messages_the_texts_count_plainly() {
        assert_eq!(count(r#"{"input":"Hello, world!"}"#), 4);
        assert_eq!(count(r#"{"prompt":["Hello, world!","Hello, world!"]}"#), 8);
        assert_eq!(count(r#"{"input":[9906,11,1917,0]}"#), 4);
        assert_eq!(count(r#"{"input":[{"content":[{"text":"Hello, world!"}]}]}"#), 4);
        assert_eq!(count(r#"{"temperature":1}"#), 0);
        assert_eq!(count(r#"{"messages":[],"input":"Hello, world!"}"#), 3);
    }

    #[test]
    fn escapes_are_what_they_stand_for_and_special_tokens_are_text() {
        assert_eq!(messages(r#"[{"role":"user","content":"Hello\u002c world!"}]"#), 13);
        assert_eq!(
            messages("[{\"role\":\"\\u0075ser\",\"content\":\"\"}]"),
            messages(r#"[{"role":"user","content":""}]"#)
        );
        assert!(count(r#"{"input":"<|endoftext|>"}"#) > 1);
    }

    #[test]
    fn what_is_no_prompt_counts_as_the_text_that_it_is() {
        for text in ["[]", "{", r#"{"messages":{"a":1}}"#, r#"{"messages":[{"a":"#, r#"{"input":"\ud800"}"#] {
            assert_eq!(count(text), cl100k_base().count(text) as u64, "{text}");
        }
        let deep = format!(r#"{{"messages":[{}{}]}}"#, "[".repeat(9999), "]".repeat(9999));
        assert!(count(&deep) > 100);
    }
}
