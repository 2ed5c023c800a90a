//! A reservation as the gateway keeps it: everything that settling needs, signed. So no sidecar remembers a reservation, any of
//! them with the same secret can settle it, and nobody else can make one up.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::digest::Key;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sidecar_api::RESERVATION_BYTES;

use crate::store::{Reserve, Settlement, Used};

const MAC_BYTES: usize = 32;

/// What tickets are signed with.
#[derive(Clone)]
pub struct Secret([u8; 64]);

impl Secret {
    /// From anything that others do not know.
    pub fn of(bytes: &[u8]) -> Secret {
        let mut block = [0; 64];
        let digest = Sha256::new().chain_update(b"turnpike reservations\0").chain_update(bytes).finalize();
        block.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Secret(block)
    }

    /// Drawn by lot: for tickets that end with the process.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn random() -> Result<Secret, String> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| format!("no randomness: {error}"))?;
        Ok(Secret::of(&bytes))
    }

    /// From a file, or else from the variable TURNPIKE_SECRET; none without either.
    ///
    /// # Errors
    /// It cannot be read, or is too short.
    pub fn read(file: Option<&Path>) -> Result<Option<Secret>, String> {
        let (from, secret) = match file {
            Some(file) => {
                let from = file.display().to_string();
                let bytes = std::fs::read(file).map_err(|error| format!("{from}: {error}"))?;
                (from, bytes)
            }
            None => match std::env::var("TURNPIKE_SECRET") {
                Ok(text) => ("TURNPIKE_SECRET".into(), text.into_bytes()),
                Err(_) => return Ok(None),
            },
        };
        match secret.trim_ascii() {
            short if short.len() < 16 => Err(format!("{from}: a secret has at least 16 bytes")),
            secret => Ok(Some(Secret::of(secret))),
        }
    }

    fn mac(&self, payload: &[u8]) -> Hmac<Sha256> {
        use hmac::digest::KeyInit;
        <Hmac<Sha256> as KeyInit>::new(&Key::<Hmac<Sha256>>::from(self.0)).chain_update(payload)
    }
}

#[derive(Serialize, Deserialize)]
struct Ticket<'a> {
    /// The request's id.
    r: &'a str,
    /// The digest of what was reserved.
    d: &'a str,
    /// Each counter, its window's index, what was reserved, and whether that is leased.
    c: Vec<(&'a str, u64, u64, bool)>,
}

pub(crate) fn write(secret: &Secret, reserve: &Reserve, indexes: &[u64]) -> Option<String> {
    let counters = reserve.takes.iter().zip(indexes);
    let c = counters
        .map(|(take, index)| (take.counter.id.as_str(), *index, take.amount, take.counter.leased))
        .collect();
    let payload = serde_json::to_vec(&Ticket { r: &reserve.request, d: &reserve.digest, c }).ok()?;
    let mut signed = secret.mac(&payload).finalize().into_bytes().to_vec();
    signed.extend(payload);
    Some(URL_SAFE_NO_PAD.encode(signed))
}

/// None unless it is one of ours and has as many counters as uses.
pub(crate) fn read(secret: &Secret, ticket: &str, used: &[u64]) -> Option<Settlement> {
    if ticket.len() > RESERVATION_BYTES {
        return None;
    }
    let signed = URL_SAFE_NO_PAD.decode(ticket).ok()?;
    let (mac, payload) = signed.split_at_checked(MAC_BYTES)?;
    secret.mac(payload).verify_slice(mac).ok()?;
    let ticket: Ticket<'_> = serde_json::from_slice(payload).ok()?;
    if ticket.c.len() != used.len() || used.iter().any(|used| *used > sidecar_api::MOST) {
        return None;
    }
    let uses = ticket.c.iter().zip(used).map(|((id, index, reserved, leased), used)| Used {
        id: (*id).to_owned(),
        leased: *leased,
        index: *index,
        reserved: *reserved,
        used: *used,
    });
    Some(Settlement { request: ticket.r.to_owned(), digest: ticket.d.to_owned(), uses: uses.collect() })
}

/// Enough of SHA-256 that nobody finds two texts with one digest by looking for them.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        // With its length, so that no two lists of parts look alike.
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    URL_SAFE_NO_PAD.encode(digest.finalize().get(..16).unwrap_or_default())
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Counter, Take, Times};

    fn reserve() -> Reserve {
        let counter = Counter { id: digest(&[b"a"]), window: 1000, sliding: false, leased: true };
        let take = Take { counter, max: 10, amount: 7, enforce: true };
        Reserve { request: "r".into(), digest: digest(&[b"d"]), takes: vec![take], times: Times::of_lease(1) }
    }

    #[test]
    fn a_ticket_comes_back_as_it_was() {
        let secret = Secret::of(b"s");
        let settlement = read(&secret, &write(&secret, &reserve(), &[5]).unwrap(), &[3]).unwrap();
        let used = Used { id: digest(&[b"a"]), leased: true, index: 5, reserved: 7, used: 3 };
        assert_eq!(settlement, Settlement { request: "r".into(), digest: digest(&[b"d"]), uses: vec![used] });
    }

    #[test]
    fn a_ticket_that_was_changed_or_made_by_others_is_none() {
        let secret = Secret::of(b"s");
        let ticket = write(&secret, &reserve(), &[5]).unwrap();
        assert!(read(&Secret::of(b"t"), &ticket, &[3]).is_none());
        for at in 0..ticket.len() {
            let mut other = ticket.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            assert!(read(&secret, &String::from_utf8(other).unwrap(), &[3]).is_none(), "{at}");
        }
        assert!(read(&secret, &ticket, &[]).is_none() && read(&secret, &ticket, &[1, 2]).is_none());
        assert!(read(&secret, &ticket, &[sidecar_api::MOST + 1]).is_none());
        for wrong in ["", "A", "%", &"A".repeat(100), &"A".repeat(10_000)] {
            assert!(read(&secret, wrong, &[3]).is_none());
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_eq!(digest(&[]).len(), 22);
    }
}
