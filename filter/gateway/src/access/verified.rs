//! Tokens whose signatures have been checked. A wrong signature costs half a millisecond of the worker and a right one
//! as much, so the second request with a token should not pay again.

use std::fmt;
use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;
use siphasher::sip128::SipHasher24;

use super::authenticate::Pass;

/// More callers than a worker has at a time; what a token holds is bounded by its length.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// What a token is known by, so that no token is kept: SipHash-2-4 of 128 bits with a key that nobody outside knows.
/// Whoever has not the key cannot make a second token of one digest, and has no way to tell when one has been found.
pub type Digest = u128;

/// Makes digests. Shows no key.
pub struct Digests(SipHasher24);

impl Digests {
    /// The key has to be a secret of this VM.
    pub fn new(key: &[u8; 16]) -> Digests {
        Digests(SipHasher24::new_with_key(key))
    }

    /// What a token is known by.
    pub fn of(&self, token: &str) -> Digest {
        self.0.hash(token.as_bytes()).as_u128()
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digests")
    }
}

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
    pub fn get(&mut self, provider: usize, digest: Digest, generation: u32) -> Option<Rc<Pass>> {
        let (checked_by, pass) = self.0.get(&(provider, digest))?;
        (*checked_by == generation).then(|| Rc::clone(pass))
    }

    pub fn put(&mut self, digest: Digest, generation: u32, pass: Rc<Pass>) {
        self.0.put((pass.provider, digest), (generation, pass));
    }

    /// A token that is no longer good.
    pub fn forget(&mut self, provider: usize, digest: Digest) {
        self.0.pop(&(provider, digest));
    }
}
