//! What an answer has used, as its provider says it: in the member `usage` of a plain answer, which is looked for as the
//! answer passes, and in an event of a stream.

mod events;
mod labels;
mod scan;
mod written;

use serde::Deserialize;

pub use events::{Reporting, asks_for_usage};
pub use labels::{LabelSets, Labels, claim};
pub use scan::Scan;
pub use written::Written;

/// Tokens that an answer has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// What the model has read, cached parts included.
    pub input: u64,
    /// What of it the provider had in its cache.
    pub cached: u64,
    /// What the model has written, its thoughts included.
    pub output: u64,
    /// What of it are thoughts that nobody gets to read.
    pub reasoning: u64,
    /// What of the input is sound.
    pub audio_input: u64,
    /// What of the output is sound.
    pub audio_output: u64,
}

/// A `usage` of OpenAI's APIs: chat completions, completions and embeddings call it one thing, responses another.
#[derive(Deserialize)]
struct Said {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<Details>,
    output_tokens_details: Option<Details>,
}

#[derive(Deserialize, Default, Clone, Copy)]
struct Details {
    cached_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
    audio_tokens: Option<u64>,
}

impl Usage {
    /// Reads the JSON of a `usage`. Nothing where it says nothing of tokens.
    pub fn read(json: &[u8]) -> Option<Usage> {
        let said: Said = serde_json::from_slice(json).ok()?;
        let input = said.prompt_tokens.or(said.input_tokens);
        let output = said.completion_tokens.or(said.output_tokens);
        if input.is_none() && output.is_none() {
            return None;
        }
        let read = said.prompt_tokens_details.or(said.input_tokens_details).unwrap_or_default();
        let written = said.completion_tokens_details.or(said.output_tokens_details).unwrap_or_default();
        Some(Usage {
            input: input.unwrap_or(0),
            cached: read.cached_tokens.unwrap_or(0),
            output: output.unwrap_or(0),
            reasoning: written.reasoning_tokens.unwrap_or(0),
            audio_input: read.audio_tokens.unwrap_or(0),
            audio_output: written.audio_tokens.unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Usage;
    use crate::testing::test;

    #[test]
    fn every_api_says_it_in_its_own_words() {
        let chat = br#"{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":5},"completion_tokens_details":{"reasoning_tokens":1,"audio_tokens":0}}"#;
        assert_eq!(
            Usage::read(chat),
            Some(Usage { input: 9, cached: 4, output: 2, reasoning: 1, audio_input: 5, audio_output: 0 })
        );
        let responses = br#"{"input_tokens":9,"input_tokens_details":{"cached_tokens":3},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":14}"#;
        assert_eq!(
            Usage::read(responses),
            Some(Usage { input: 9, cached: 3, output: 5, reasoning: 2, ..Usage::default() })
        );
        let embeddings = br#"{"prompt_tokens":8,"total_tokens":8}"#;
        assert_eq!(Usage::read(embeddings), Some(Usage { input: 8, ..Usage::default() }));
    }

    #[test]
    fn what_says_nothing_of_tokens_is_no_usage() {
        for json in [
            "null",
            "{}",
            "[]",
            "{\"total_tokens\":3}",
            "{\"prompt_tokens\":-1}",
            "{\"prompt_tokens\":\"9\"}",
            "",
            "{",
        ] {
            assert_eq!(Usage::read(json.as_bytes()), None, "{json}");
        }
    }
}
