//! A provider that answers by script: OpenAI's chat completions, completions, responses, embeddings and models, plain
//! and streamed, in good health and in every kind of trouble. It is a real server on a real socket, remembers what it
//! was asked, and knows nothing of the gateway.

mod openai;
mod script;
mod server;

pub use script::{Cut, How, Script};
pub use server::{Mock, Recorded, Tls};
