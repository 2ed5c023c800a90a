//! What happens when a model fails: who is asked for a request and in which order, what is remembered of those who have
//! failed, and how a failure is told from an answer.
//!
//! The host makes the attempts where it can: it gets the [`chain`](Chain) of a request in a header, and the module in
//! the clusters' filter chains knows by the [`Handover`] where in it an attempt stands. Where the host cannot, or has
//! given up, the module asks the next one itself ([`ask`]).

mod beginning;
mod chain;
mod handover;
mod inline;
mod judge;
mod trouble;

pub use beginning::{Beginning, beginning};
pub use chain::{Chain, Chosen, choose};
pub use handover::Handover;
pub use inline::{Ledger, Spare, ask, is_hosts};
pub use judge::{By, fails, is_hopeless};
pub use trouble::{Lesson, Recall, Trouble, retry_after};
