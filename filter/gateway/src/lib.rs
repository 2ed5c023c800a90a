//! Every decision about a request, and nothing else.
//!
//! This crate is a deterministic implementation of the gateway's policies. It holds no socket, no clock, no
//! global and no host: what happens comes in as an [`Event`], what is to be done goes out as [`Effect`]s, and
//! whether the message goes on is derived from the phase the request is in. An adapter (`filter/wasm`) turns a
//! host's callbacks into the one and the other into host calls; the tests of this crate do it with plain values.
//!
//! The module has two jobs. As a filter of the listener it is an [`Exchange`]: the whole life of a request. As a
//! filter of a cluster it is an [`Attempt`]: what one provider gets of it.
//!
//! # The order of the stages
//!
//! [`Stage`] lists them. A refused prompt costs no budget, so `guard` comes before `admit`; what the gateway adds
//! is neither guarded nor charged to the caller, so `enrich` comes after both; a cached answer passes `answer`
//! like any other.

mod access;
mod answer;
mod attempt;
mod document;
mod edits;
mod enrich;
mod event;
mod exchange;
mod failover;
mod guard;
mod headers;
mod json;
mod metric;
mod path;
mod reply;
mod report;
mod sse;
#[cfg(test)]
mod testing;
mod toll;
mod usage;

pub use access::{Access, Fetch, Models};
pub use attempt::Attempt;
pub use edits::Edits;
pub use event::{
    Answer, Appetite, Arrival, CallOut, Clock, Delivery, Effect, End, Event, Flow, Level, Said, Step,
};
pub use exchange::Exchange;
pub use failover::{Lesson, Recall, Trouble};
pub use headers::Headers;
pub use metric::{Metric, ModelNames, Names};
pub use reply::{Outcome, Reason, Reply, Stage};
pub use sidecar_api::Item;
pub use toll::Settlements;
pub use usage::LabelSets;

/// Headers of this beginning are the gateway's own: taken from what clients send, kept from what providers see.
pub const INTERNAL_PREFIX: &str = "x-turnpike-";

/// The header in which the host is told which clusters to ask, in order: their names with commas between them. The host
/// takes it away before anybody is asked.
pub const CHAIN_HEADER: &str = "x-turnpike-chain";

/// The header by which a call of the module's own says to the upstream filter what is asked.
pub const HANDOVER_HEADER: &str = "x-turnpike-path";
