//! Keys, and the signatures that are theirs.

mod jwk;
mod material;
mod pem;

use std::fmt;

use crate::algorithm::Algorithm;
use crate::refusal::Refusal;
use crate::token::Token;
use material::Material;

/// As many signatures as are checked for one token. A token without `kid` is tried with every key that fits.
const TRIES: usize = 8;

/// The keys of an issuer. Never empty.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<String>,
}

/// A key, as far as it can verify.
#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The algorithms that it may be used with.
    algorithms: Vec<Algorithm>,
    material: Material,
}

/// Why a text is no set of keys, as a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProblem(String);

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyProblem {}

fn problem<T>(what: impl Into<String>) -> Result<T, KeyProblem> {
    Err(KeyProblem(what.into()))
}

impl KeySet {
    /// Reads a PEM public key (RFC 7468: `PUBLIC KEY` or `RSA PUBLIC KEY`), a JWK or a JWKS (RFC 7517).
    ///
    /// Keys of a JWKS that are for something else or of a kind that is not known here are left out, as RFC 7517 section
    /// 5 wants it; [`skipped`](KeySet::skipped) names them.
    ///
    /// # Errors
    /// Where nothing is left, where a key is weak (RSA of less than 2048 bits, a secret shorter than its hash), where a
    /// private key stands in the place of a public one, and where secrets and public keys are mixed: then a public key
    /// could be taken for a secret that everybody knows.
    pub fn read(text: &str) -> Result<KeySet, KeyProblem> {
        let text = text.trim();
        if text.starts_with('{') {
            jwk::read(text)
        } else if text.contains("-----BEGIN") {
            let key = pem::read(text)?;
            Ok(KeySet { keys: vec![key], skipped: Vec::new() })
        } else {
            problem(
                "this is no key: expected a PEM public key (`-----BEGIN PUBLIC KEY-----`), a JWK or a JWKS",
            )
        }
    }

    /// Keys that were left out, each with the reason.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Checks the signature of a token with the keys that have its `kid`, or none, and its algorithm.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`] where there is no such key, [`Refusal::SignatureInvalid`] where the signature is none of
    /// theirs.
    pub fn verify(&self, token: &Token) -> Result<(), Refusal> {
        let named = |key: &&Key| match (token.key_id(), key.id.as_deref()) {
            (Some(wanted), Some(id)) => wanted == id,
            (None, _) | (_, None) => true,
        };
        let fits = |key: &&Key| key.algorithms.contains(&token.algorithm());
        let mut candidates = self.keys.iter().filter(named).filter(fits).peekable();
        if candidates.peek().is_none() {
            return Err(Refusal::UnknownKey);
        }
        let good = |key: &Key| key.material.verifies(token.algorithm(), token.signed(), token.signature());
        if candidates.take(TRIES).any(good) { Ok(()) } else { Err(Refusal::SignatureInvalid) }
    }
}

#[cfg(test)]
mod pem_tests;
#[cfg(test)]
mod signing_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vector_tests;
