//! What a mock provider does with every request.

use std::time::Duration;

/// What a mock provider does with every request. The default is a provider in good health.
#[derive(Debug, Clone)]
pub struct Script {
    /// The status of every answer. Other than 200, the body is an error in OpenAI's shape.
    pub status: u16,
    /// How many requests meet with the trouble that the script makes, status, delay, hanging up and all; absent, every one.
    pub times: Option<u64>,
    /// Hangs up instead of answering.
    pub hang_up: bool,
    /// Headers of every answer beside its own.
    pub headers: Vec<(String, String)>,
    /// The text that a model answers with; absent, it repeats the question.
    pub text: Option<String>,
    /// Answers with the request itself as plain text, whatever it asks.
    pub echo: bool,
    /// Answers with this text, whatever it is asked.
    pub page: Option<String>,
    /// How long it thinks before it answers at all.
    pub delay: Duration,
    /// How long it waits before each event of a stream.
    pub chunk_delay: Duration,
    /// The pieces of a streamed text; absent, its words.
    pub chunks: Option<Vec<String>>,
    /// The bytes of a stream, as they are sent one after the other, whatever is asked.
    pub stream: Option<Vec<Vec<u8>>>,
    /// Where a stream breaks off.
    pub cut: Option<Cut>,
    /// The media type of every answer, whatever it is.
    pub content_type: Option<String>,
}

/// Where and how a stream breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// After so many events.
    pub after: usize,
    /// In which way.
    pub how: How,
}

/// How a stream breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The message ends as HTTP wants it, but without its last event.
    End,
    /// In the middle of an event, the message ends as HTTP wants it.
    HalfEvent,
    /// The connection closes in the middle of the message.
    Close,
}

impl Default for Script {
    fn default() -> Script {
        Script {
            status: 200,
            times: None,
            hang_up: false,
            headers: Vec::new(),
            text: None,
            echo: false,
            page: None,
            delay: Duration::ZERO,
            chunk_delay: Duration::ZERO,
            chunks: None,
            stream: None,
            cut: None,
            content_type: None,
        }
    }
}
