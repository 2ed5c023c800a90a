//! The labs, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access;
mod basics;
mod budgets;
mod clients;
mod commands;
mod cooldown;
mod dashboard;
mod errors;
mod facts;
mod failover;
mod fetched_keys;
mod guarded_answers;
mod guarded_prompts;
mod guests;
mod hooks;
mod inline_failover;
mod load;
mod module;
mod overspending;
mod prompts;
mod protocols;
mod readme;
mod retries;
mod secrets;
mod sidecars;
mod streams;
mod tokens;
mod usage;
