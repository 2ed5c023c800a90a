//! The attempts that the module makes itself, by calls: on hosts that cannot, and where a host gives up. An answer to a
//! call comes in one piece, so a stream does too.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use policy::failover::Backend;

use crate::attempt::{self, Place};
use crate::document::Document;
use crate::edits::Edits;
use crate::event::{CallOut, Effect, Said};
use crate::headers::Headers;
use crate::path::Call;
use crate::reply::Reply;

/// As much as all requests of a VM keep of their bodies for another attempt, in bytes. What is beyond goes without.
const MOST_KEPT: usize = 64 << 20;

/// Headers of one connection or one message.
const OWN: [&str; 7] =
    ["connection", "content-length", "expect", "host", "te", "transfer-encoding", "upgrade"];

/// How much all requests of a VM keep.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Rc<Cell<usize>>);

/// What is needed to ask once more. It holds a prompt, and is never shown.
pub struct Spare {
    headers: Vec<(String, String)>,
    body: Option<Kept>,
}

/// A body, entered in a ledger for as long as it is kept.
struct Kept(Vec<u8>, Ledger);

impl Ledger {
    fn keep(&self, body: Vec<u8>) -> Option<Kept> {
        let sum = self.0.get().saturating_add(body.len());
        (sum <= MOST_KEPT).then(|| {
            self.0.set(sum);
            Kept(body, self.clone())
        })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.1.0.set(self.1.0.get().saturating_sub(self.0.len()));
    }
}

impl fmt::Debug for Spare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spare")
    }
}

impl Spare {
    /// The headers of a request as some effects leave them.
    pub fn of(headers: &Headers<'_>, effects: &[Effect]) -> Spare {
        let text = |value: &[u8]| Some(std::str::from_utf8(value).ok()?.to_owned());
        let stays = |name: &str| !OWN.contains(&name) && !name.starts_with(crate::INTERNAL_PREFIX);
        let pairs = headers.pairs().filter(|(name, _)| stays(name));
        let mut list = pairs.filter_map(|(name, value)| Some((name.to_owned(), text(value)?))).collect();
        apply(effects, &mut list);
        Spare { headers: list, body: None }
    }

    /// Keeps the body, if there is room for it.
    pub fn keep(&mut self, body: Vec<u8>, ledger: &Ledger) {
        self.body = ledger.keep(body);
    }

    /// Whether the body is there to be sent once more.
    pub fn is_whole(&self) -> bool {
        self.body.is_some()
    }
}

/// The call that asks somebody for what a request asks.
///
/// # Errors
/// None that a body could lead to that has been read before.
pub fn ask(backend: &Backend, call: &Call, spare: &Spare, timeout: Duration) -> Result<CallOut, Reply> {
    let mut headers = spare.headers.clone();
    let mut body = spare.body.as_ref().map(|kept| kept.0.clone()).unwrap_or_default();
    match &backend.target {
        // The module is among the cluster's filters, and does the rest.
        None => headers.push((crate::HANDOVER_HEADER.to_owned(), call.path.clone())),
        Some(target) => {
            let mut effects = Vec::new();
            let pairs = spare.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            let read = Headers::new(pairs.collect());
            attempt::write_headers(target, call, &read, Place::Cluster, &mut effects);
            apply(&effects, &mut headers);
            if call.operation.is_understood() {
                let mut edits = Edits::default();
                let document = Document::parse(body)?;
                let fields = attempt::fields(target, call.operation, true, &document);
                document.set(fields.iter().map(|(name, json)| (*name, json.as_str())), &mut edits);
                body = edits.applied(document.body());
            }
        }
    }
    if !headers.iter().any(|(name, _)| name == ":scheme") {
        headers.push((":scheme".to_owned(), "http".to_owned()));
    }
    Ok(CallOut { cluster: backend.cluster.clone(), headers, body, timeout })
}

fn apply(effects: &[Effect], headers: &mut Vec<(String, String)>) {
    for effect in effects {
        match effect {
            Effect::SetRequestHeader(name, value) => {
                headers.retain(|(other, _)| other != name);
                headers.push((name.to_string(), value.clone()));
            }
            Effect::RemoveRequestHeader(name) => headers.retain(|(other, _)| other != name),
            // Nothing else changes a header.
            _ => {}
        }
    }
}

/// Whether an answer to a call is the host's own: nobody has answered (H7). A provider that answers in so few words, and
/// as text, is taken for one that has not.
pub fn is_hosts(said: &Said<'_>) -> bool {
    let terse = ["upstream ", "no healthy upstream"].iter().any(|it| said.body.starts_with(it.as_bytes()));
    let text = said.headers.media_type() == Some("text/plain");
    matches!(said.status, 503 | 504) && text && terse
}

#[cfg(test)]
#[path = "inline_tests.rs"]
mod tests;
