//! Tokens whose signatures have been checked. A wrong signature costs half a millisecond of the worker and a right one
//! as much, so the second request with a token should not pay again.

use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;
use sha2::{Digest as _, Sha256};

use super::authenticate::Pass;

/// More callers than a worker has at a time; what a token holds is bounded by its length.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// A digest of a token (SHA-256), so that no token is kept.
pub type Digest = [u8; 32];

/// Passes by provider and token, the least used forgotten first.
#[derive(Debug)]
pub struct Verified(LruCache<(usize, Digest), (u32, Rc<Pass>)>);

impl Default for Verified {
    fn default() -> Verified {
        Verified(LruCache::new(MOST))
    }
}

impl Verified {
    /// The pass that a token has been found to be, by keys of this generation.
    pub fn get(&mut self, provider: usize, digest: &Digest, generation: u32) -> Option<Rc<Pass>> {
        let (checked_by, pass) = self.0.get(&(provider, *digest))?;
        (*checked_by == generation).then(|| Rc::clone(pass))
    }

    pub fn put(&mut self, digest: Digest, generation: u32, pass: Rc<Pass>) {
        self.0.put((pass.provider, digest), (generation, pass));
    }

    /// A token that is no longer good.
    pub fn forget(&mut self, provider: usize, digest: &Digest) {
        self.0.pop(&(provider, *digest));
    }
}

/// What a token is known by.
pub fn digest(token: &str) -> Digest {
    Sha256::digest(token.as_bytes()).into()
}
