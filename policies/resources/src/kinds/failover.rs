//! `options.ai.failover`, which is ours: who else is asked when a model fails, and when one is left alone.

use std::time::Duration;

use policy::written::Cooldown;

use crate::node::{Node, Unknown};
use crate::problem::Place;

/// What is done when a model fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Failover {
    /// Who is asked after the route's own backends, in this order.
    pub backups: Vec<Backup>,
    /// How long an attempt may take to begin its answer.
    pub first_byte_timeout: Option<Duration>,
    /// How long a model that is in trouble is left alone.
    pub cooldown: Option<Cooldown>,
    /// Whether callers are led to models that their claims do not list.
    pub ignore_model_claim: bool,
}

/// Somebody who is asked when others have failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    /// Another Upstream, by namespace and name; the route's own first one if absent.
    pub upstream: Option<(Option<String>, String)>,
    /// Another model; that of the Upstream, or the client's, if absent.
    pub model: Option<String>,
    /// Where it is written.
    pub place: Place,
    /// The path of the field.
    pub path: String,
}

/// Reads the field.
pub fn read(node: &Node<'_>) -> Option<Failover> {
    let object = node.object()?;
    let backups = match object.get("backups") {
        Some(list) => list.list()?.iter().map(backup).collect::<Option<Vec<_>>>(),
        None => Some(Vec::new()),
    };
    let timeout = object.get("firstByteTimeout").map_or(Some(None), |it| it.proto_duration().map(Some));
    let cooldown = object.get("cooldown").map_or(Some(None), |it| cooldown(&it).map(Some));
    let ignore_model_claim = object.get("ignoreModelClaim").map_or(Some(false), |it| it.truth());
    object.finish(Unknown::Refuse);
    Some(Failover {
        backups: backups?,
        first_byte_timeout: timeout?.filter(|it| !it.is_zero()),
        cooldown: cooldown?,
        ignore_model_claim: ignore_model_claim?,
    })
}

fn backup(node: &Node<'_>) -> Option<Backup> {
    let object = node.object()?;
    let upstream = object.get("upstreamRef").map_or(Some(None), |it| reference(&it).map(Some));
    let model = object.get("model").map_or(Some(None), |it| it.text().map(Some));
    object.finish(Unknown::Refuse);
    let (upstream, model) = (upstream?, model?.filter(|it| !it.is_empty()));
    if upstream.is_none() && model.is_none() {
        node.refuse("names nobody else: expected an `upstreamRef`, a `model` or both");
        return None;
    }
    Some(Backup { upstream, model, place: node.place(), path: node.path().to_owned() })
}

fn reference(node: &Node<'_>) -> Option<(Option<String>, String)> {
    let object = node.object()?;
    let name = object.need("name").and_then(|it| it.text());
    let namespace = object.get("namespace").map_or(Some(None), |it| it.text().map(Some));
    object.finish(Unknown::Refuse);
    Some((namespace?, name?))
}

fn cooldown(node: &Node<'_>) -> Option<Cooldown> {
    let object = node.object()?;
    let failures = object.get("failures").map_or(Some(None), |it| it.number(1..=1_000_000).map(Some));
    let time = object.get("time").map_or(Some(None), |it| it.proto_duration().map(Some));
    let wait = object.get("maxRetryAfter").map_or(Some(None), |it| it.proto_duration().map(Some));
    object.finish(Unknown::Refuse);
    let milliseconds = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
    Some(Cooldown {
        failures: failures?.and_then(|it| u32::try_from(it).ok()),
        time_ms: time?.map(milliseconds),
        max_retry_after_ms: wait?.map(milliseconds),
    })
}
