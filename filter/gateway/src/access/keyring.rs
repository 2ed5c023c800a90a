//! Keys that are fetched: when, and what holds until they are there.

use std::time::Duration;

use jwt::{KeySet, Refusal, Token};
use policy::access::RemoteKeys;

/// How soon a fetch that failed is tried again while there are no keys at all.
const RETRY: Duration = Duration::from_secs(1);

/// The keys of a provider, and the fetching of them.
#[derive(Debug)]
pub struct Keyring {
    remote: RemoteKeys,
    keys: Option<KeySet>,
    /// The text that the keys were read from.
    text: String,
    /// How often the keys have changed.
    generation: u32,
    under_way: bool,
    /// When the keys are fetched next, whatever happens.
    next: Duration,
    /// A token has named a key that is not there.
    missed: bool,
    /// When that last led to a fetch.
    last_miss: Option<Duration>,
}

/// A JWKS that is to be fetched.
#[derive(Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Whose: an index into the gateway's providers.
    pub provider: usize,
    /// The host's name for the cluster that has it.
    pub cluster: String,
    /// The `:authority` of the request.
    pub host: String,
    /// The path of the request.
    pub path: String,
    /// How long it may take.
    pub timeout: Duration,
}

/// Why a token's signature has not been found good.
#[derive(Debug)]
pub enum Objection {
    /// It is not.
    Refused(Refusal),
    /// There are no keys yet to check it with; for so long it is worth waiting for them.
    NoKeys(Duration),
    /// Its key may be among those that are being fetched; for so long it is worth waiting for them.
    KeyMissed(Duration),
}

impl Keyring {
    pub fn new(remote: RemoteKeys) -> Keyring {
        Keyring {
            remote,
            keys: None,
            text: String::new(),
            generation: 0,
            under_way: false,
            next: Duration::ZERO,
            missed: false,
            last_miss: None,
        }
    }

    /// Changes whenever the keys do.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Checks a signature. A key that is not there is asked for, at most once a cool-down.
    pub fn verify(&mut self, token: &Token, now: Duration) -> Result<(), Objection> {
        let Some(keys) = &self.keys else { return Err(Objection::NoKeys(self.remote.timeout)) };
        match keys.verify(token) {
            Ok(()) => Ok(()),
            Err(Refusal::UnknownKey) if self.may_still_come(now) => {
                Err(Objection::KeyMissed(self.remote.timeout))
            }
            Err(refusal) => Err(Objection::Refused(refusal)),
        }
    }

    fn may_still_come(&mut self, now: Duration) -> bool {
        let rested = self.last_miss.is_none_or(|last| now >= last.saturating_add(self.remote.cooldown));
        if rested && !self.under_way {
            self.missed = true;
            self.last_miss = Some(now);
        }
        self.missed || self.under_way
    }

    /// What is to be fetched now, if anything is.
    pub fn due(&mut self, provider: usize, now: Duration) -> Option<Fetch> {
        if self.under_way || !(self.missed || now >= self.next) {
            return None;
        }
        self.under_way = true;
        self.missed = false;
        let RemoteKeys { cluster, host, path, timeout, .. } = self.remote.clone();
        Some(Fetch { provider, cluster, host, path, timeout })
    }

    /// Takes what was fetched. What cannot be read changes nothing: old keys are better than none.
    ///
    /// Returns what there is to say of new keys, or why there are none.
    pub fn fetched(&mut self, now: Duration, answer: Result<&str, &str>) -> Result<Option<String>, String> {
        self.under_way = false;
        let fresh = answer.map_err(str::to_owned).and_then(|text| {
            if self.keys.is_some() && text == self.text {
                return Ok(None);
            }
            let keys = KeySet::read(text).map_err(|problem| problem.to_string())?;
            Ok(Some((text.to_owned(), keys)))
        });
        match fresh {
            Ok(fresh) => {
                self.next = now.saturating_add(self.remote.cache);
                let Some((text, keys)) = fresh else { return Ok(None) };
                self.generation = self.generation.wrapping_add(1);
                self.text = text;
                self.keys = Some(keys);
                Ok(Some(format!("its keys have come from {}", self.remote.cluster)))
            }
            Err(why) => {
                let (pause, meanwhile) = match self.keys {
                    Some(_) => (self.remote.cooldown, "the old ones go on"),
                    None => (RETRY, "and there are none yet, so its tokens cannot be checked"),
                };
                self.next = now.saturating_add(pause);
                Err(format!("its keys did not come from {}: {why}; {meanwhile}", self.remote.cluster))
            }
        }
    }
}
