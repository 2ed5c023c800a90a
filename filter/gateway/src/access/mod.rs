//! Stages `authenticate` and `authorize`: who is calling, and what they may use.
//!
//! [`Access`] is what a VM knows beyond one request: keys that were fetched, and tokens whose signatures have been
//! checked. Everything else is a function of the request and the policy.

mod authenticate;
mod carrier;
mod identity;
mod keyring;
mod models;
mod rbac;
mod verified;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use policy::access::Keys;
use policy::budget::Source;
use policy::{Gateway, Route};

#[cfg(test)]
pub use authenticate::Pass;
pub use authenticate::{Caller, Verdict};
pub use carrier::without_carriers;
pub use identity::{is_internal, plain};
pub use keyring::Fetch;
pub use models::{Models, allow_body, allow_path, readable};
pub use rbac::authorize;
pub use verified::{Digest, Digests};

use crate::event::Level;
use crate::failover::Ledger;
use crate::headers::Headers;
use crate::metric::ModelNames;
use crate::reply::Reply;
use crate::toll::Toll;
use crate::usage::LabelSets;
use keyring::Keyring;
use verified::Verified;

/// Keys and verified tokens, shared by all requests of a VM and made anew with every configuration.
#[derive(Debug)]
pub struct Access {
    policy: Rc<Gateway>,
    /// One for each provider whose keys are fetched, at the provider's index.
    keyrings: Vec<Option<RefCell<Keyring>>>,
    digests: Digests,
    verified: RefCell<Verified>,
    /// What requests keep of their bodies.
    ledger: Ledger,
    /// The models that metrics know.
    models: ModelNames,
    /// What is known of budgets.
    toll: Toll,
    /// Whether any budget depends on where a request comes from.
    asks_address: bool,
    /// The labels that metrics know.
    labels: LabelSets,
}

impl Access {
    /// Knows nothing yet. The seed has to be a secret of this VM: tokens are remembered by digests that depend on it, so
    /// that nobody can look for two tokens with one.
    pub fn new(policy: Rc<Gateway>, seed: [u8; 16]) -> Access {
        let keyrings = policy.jwt_providers.iter().map(|provider| match &provider.keys {
            Keys::Remote(remote) => Some(RefCell::new(Keyring::new(remote.clone()))),
            Keys::Local(_) => None,
        });
        Access {
            keyrings: keyrings.collect(),
            digests: Digests::new(&seed),
            verified: RefCell::default(),
            ledger: Ledger::default(),
            models: ModelNames::default(),
            toll: Toll::default(),
            asks_address: asks_address(&policy),
            labels: LabelSets::new(&policy),
            policy,
        }
    }

    /// What it works for.
    pub fn policy(&self) -> &Rc<Gateway> {
        &self.policy
    }

    /// The models that metrics know.
    pub fn models(&self) -> &ModelNames {
        &self.models
    }

    /// The labels that metrics know.
    pub fn labels(&self) -> &LabelSets {
        &self.labels
    }

    /// How much requests keep.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What is known of budgets.
    pub fn toll(&self) -> &Toll {
        &self.toll
    }

    /// What budgets are remembered by.
    pub fn digests(&self) -> &Digests {
        &self.digests
    }

    /// An id for a request, from a number that nobody foresees: no client knows it, and no other VM has it.
    pub fn request_id(&self, random: u64) -> String {
        format!("{:032x}", self.digests.of(&random.to_string()))
    }

    /// Whether [`Arrival::address`](crate::Arrival::address) is looked at.
    pub fn asks_address(&self) -> bool {
        self.asks_address
    }

    /// What a route says of a request with these headers at this time: which models its caller may use. What
    /// `turnpike token inspect` asks.
    ///
    /// # Errors
    /// The answer to a request that is refused, or whose keys are not there.
    pub fn decide(&self, route: &Route, headers: &Headers<'_>, now: Duration) -> Result<Models, Reply> {
        let caller = match self.authenticate(&route.jwt, headers, now)? {
            Verdict::Known(caller) => caller,
            Verdict::Wait(_, otherwise) => return Err(otherwise.because("the gateway fetches the keys")),
        };
        let text = |name| headers.get(name).unwrap_or_default();
        authorize(route.rbac.as_ref(), &caller, text(":method"), text(":path"))
    }

    /// Whether there are keys to fetch, now or ever: only then is [`due`](Access::due) worth asking.
    pub fn fetches(&self) -> bool {
        self.keyrings.iter().any(Option::is_some)
    }

    /// What has to be fetched now. Each is to be answered by [`fetched`](Access::fetched).
    pub fn due(&self, now: Duration) -> Vec<Fetch> {
        let rings = self.keyrings.iter().enumerate();
        rings.filter_map(|(i, ring)| ring.as_ref()?.try_borrow_mut().ok()?.due(i, now)).collect()
    }

    /// Takes the body of a JWKS, or says why there is none. Whoever waits is to be woken afterwards.
    /// Returns a line for the log where there is something to say.
    pub fn fetched(
        &self,
        provider: usize,
        now: Duration,
        answer: Result<&str, &str>,
    ) -> Option<(Level, String)> {
        let mut ring = self.keyrings.get(provider)?.as_ref()?.try_borrow_mut().ok()?;
        let name = &self.policy.jwt_providers.get(provider)?.name;
        match ring.fetched(now, answer) {
            Ok(None) => None,
            Ok(Some(said)) => Some((Level::Info, format!("JWT provider {name}: {said}"))),
            Err(why) => Some((Level::Warn, format!("JWT provider {name}: {why}"))),
        }
    }
}

fn asks_address(policy: &Gateway) -> bool {
    let budgets = policy.routes.iter().flat_map(|route| &route.budgets);
    budgets.flat_map(|budget| &budget.key).any(|part| matches!(part.of, Source::Address))
}

#[cfg(test)]
mod access_tests;
#[cfg(test)]
mod authorize_tests;
