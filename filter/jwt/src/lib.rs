//! JSON Web Tokens (RFC 7519), checked strictly: nothing that two readers could read differently passes.
//!
//! ```text
//! Token::parse        form, header and claims of the compact serialization (RFC 7515 section 7.1)
//! Expectation::check  issuer, audience and times of the claims
//! KeySet::read        keys: PEM, JWK or JWKS (RFC 7517)
//! KeySet::verify      the signature
//! ```
//!
//! The order is the caller's; signatures come last, because a wrong one costs a thousand times what the rest does. The
//! algorithm is the key's: a token can only agree with it (RFC 8725 sections 3.1 and 3.2).
//!
//! This crate has no clock, no randomness and no I/O: whoever checks a time says what time it is.

mod algorithm;
mod claims;
mod es384;
pub mod json;
mod keys;
mod refusal;
#[cfg(test)]
mod testing;
mod token;

pub use algorithm::Algorithm;
pub use claims::{Claims, Expectation};
pub use keys::{KeyProblem, KeySet};
pub use refusal::Refusal;
pub use token::{MAX_BYTES, Token};
