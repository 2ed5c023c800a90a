//! What prompts and answers may say.
//!
//! `reading` knows which texts of a prompt a model reads, `prompt` looks for patterns in them. `answer` looks at answers
//! that have come whole, `stream` at those that come event by event. `webhook` and `moderation` are questions to others.

mod answer;
mod arguments;
mod chunk;
mod finds;
mod messages;
mod moderation;
mod prompt;
mod reading;
mod retold;
mod stream;
mod turns;
mod webhook;

pub use answer::Look;
pub use finds::Finds;
pub use messages::{Message, of_answer, of_prompt, retold};
pub use moderation::{ask as ask_moderation, flagged};
pub use prompt::{inspect, refuse};
pub use reading::unreadable;
pub use retold::{of_stream, told_anew};
pub use stream::{Masking, Passed};
pub use webhook::{About, Verdict, ask, rejected, replace, verdict};

use policy::guard::Guard;

use crate::headers::Headers;
use crate::reply::{Reason, Reply};

/// The headers of a client's request that the webhooks of a route see: the prompt's and the answer's.
pub fn forwarded(guard: &Guard, headers: &Headers<'_>) -> [Vec<(String, String)>; 2] {
    let request = guard.request.as_ref().and_then(|it| it.webhook.as_ref());
    let response = guard.response.as_ref().and_then(|it| it.webhook.as_ref());
    [request, response].map(|it| it.map_or_else(Vec::new, |it| webhook::forwarded(it, headers)))
}

/// An answer that cannot be looked at is not let pass.
pub fn unreadable_answer(what: &str) -> Reply {
    let message = format!("this route looks at answers, and the provider's cannot be looked at: {what}");
    Reply::new(502, Reason::AnswerUnreadable, message)
}
