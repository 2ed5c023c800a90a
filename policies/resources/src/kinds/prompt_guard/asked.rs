//! Whom a guard asks: webhooks, and OpenAI's moderation.

use std::time::Duration;

use policy::written::{HeaderMatch, Moderation, OnError, Webhook};

use super::{every, field};
use crate::kinds::Id;
use crate::kinds::upstream::{AuthToken, auth_token, authority};
use crate::node::{Node, Object, Unknown};
use crate::problem::Place;

/// Whom a guard asks.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Where webhooks are.
    pub webhooks: Vec<Address>,
    /// Who moderates.
    pub moderator: Option<Moderator>,
}

/// Where a webhook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Name or address.
    pub host: String,
    /// As everywhere, 443 is with TLS and every other port without.
    pub port: u16,
}

/// Who moderates.
#[derive(Debug, Clone)]
pub enum Moderator {
    /// OpenAI, at its public API.
    Openai {
        /// How the gateway pays. Absent: with the key that the environment has.
        token: Option<AuthToken>,
        /// Where it is written.
        place: Place,
        /// The path of the field.
        path: String,
    },
    /// A provider among the files.
    Upstream {
        /// Its name.
        name: String,
        /// Its namespace; the resource's own if absent.
        namespace: Option<String>,
        /// Where it is named.
        place: Place,
        /// The path of the field.
        path: String,
    },
}

/// The longest time that somebody may be waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What the name of a header has to be.
const MATCH_TYPES: [&str; 5] = ["EXACT", "PREFIX", "SUFFIX", "CONTAINS", "REGEX"];

impl Address {
    /// The name of its cluster.
    pub fn cluster(&self) -> String {
        format!("webhook/{}:{}", self.host, self.port)
    }

    /// Whether the connection is protected.
    pub fn has_tls(&self) -> bool {
        self.port == 443
    }
}

impl Asked {
    /// Reads `{host, port, forwardHeaders, timeout, onError}`.
    pub(super) fn webhook(&mut self, node: &Node<'_>) -> Option<Webhook> {
        let object = node.object()?;
        let (host, port) = (object.need("host"), object.need("port"));
        let forward_headers = field(&object, "forwardHeaders", |it| every(it, header));
        let (timeout_ms, on_error) = patience(&object);
        object.finish(Unknown::Refuse);
        let port = port.and_then(|it| u16::try_from(it.number(1..=65535)?).ok());
        let address = Address { host: host.and_then(|it| host_name(&it))?, port: port? };
        let webhook = Webhook {
            cluster: address.cluster(),
            host: authority(&address.host, address.port, address.has_tls()),
            forward_headers: forward_headers?.unwrap_or_default(),
            timeout_ms: timeout_ms?,
            on_error: on_error?.unwrap_or_default(),
        };
        self.webhooks.push(address);
        Some(webhook)
    }

    /// Reads `{openai: {model, authToken, upstream, timeout, onError}}` of a resource.
    pub(super) fn moderation(&mut self, node: &Node<'_>, id: &Id) -> Option<Moderation> {
        let object = node.object()?;
        let openai = object.need("openai");
        object.finish(Unknown::Refuse);
        let node = openai?;
        let object = node.object()?;
        let model = field(&object, "model", Node::text);
        let token =
            field(&object, "authToken", |it| Some((own_token(it, id)?, it.place(), it.path().to_owned())));
        let upstream = field(&object, "upstream", upstream);
        let (timeout_ms, on_error) = patience(&object);
        object.finish(Unknown::Refuse);
        self.moderator = Some(match (token?, upstream?) {
            (Some(_), Some(_)) => {
                node.refuse(
                    "`authToken` and `upstream` exclude each other: an Upstream has a key of its own",
                );
                return None;
            }
            (None, Some(upstream)) => upstream,
            (Some((token, place, path)), None) => Moderator::Openai { token: Some(token), place, path },
            (None, None) => {
                Moderator::Openai { token: None, place: node.place(), path: node.path().to_owned() }
            }
        });
        Some(Moderation {
            cluster: String::new(),
            model: model?.filter(|it| !it.is_empty()),
            timeout_ms: timeout_ms?,
            on_error: on_error?.unwrap_or_default(),
        })
    }
}

/// A key that is the gateway's own: clients bring one for the route's provider, and that is somebody else.
fn own_token(node: &Node<'_>, id: &Id) -> Option<AuthToken> {
    match auth_token(node, id)? {
        AuthToken::Passthrough => {
            node.refuse(
                "the client's own key is for the provider of the route, expected inline or secretRef",
            );
            None
        }
        token @ (AuthToken::Inline(_) | AuthToken::Secret { .. }) => Some(token),
    }
}

fn upstream(node: &Node<'_>) -> Option<Moderator> {
    let object = node.object()?;
    let name = object.need("name").and_then(|it| it.text());
    let namespace = field(&object, "namespace", Node::text);
    object.finish(Unknown::Refuse);
    let (place, path) = (node.place(), node.path().to_owned());
    Some(Moderator::Upstream { name: name?, namespace: namespace?, place, path })
}

fn host_name(node: &Node<'_>) -> Option<String> {
    let host = node.text()?;
    if host.is_empty() || host.contains(|c: char| c == '/' || c.is_whitespace()) {
        node.refuse(format!("`{host}` is no host, expected a name or an address without scheme and path"));
        return None;
    }
    Some(host)
}

/// Names of headers have no case, and hosts show them in lower case.
fn header(node: &Node<'_>) -> Option<HeaderMatch> {
    let object = node.object()?;
    let key = object.need("key");
    let kind = field(&object, "matchType", |it| it.choice(&MATCH_TYPES));
    object.finish(Unknown::Refuse);
    let (key, kind) = (key?, kind?.unwrap_or("EXACT"));
    let text = key.text()?;
    if text.is_empty() {
        key.refuse("expected the name of a header, or a part of it");
        return None;
    }
    let name = text.to_ascii_lowercase();
    Some(match kind {
        "PREFIX" => HeaderMatch::Prefix(name),
        "SUFFIX" => HeaderMatch::Suffix(name),
        "CONTAINS" => HeaderMatch::Contains(name),
        "REGEX" => HeaderMatch::Regex(header_pattern(&key, &text)?),
        _ => HeaderMatch::Exact(name),
    })
}

fn header_pattern(node: &Node<'_>, pattern: &str) -> Option<String> {
    match regex_lite::Regex::new(pattern) {
        Ok(_) => Some(format!("(?i){pattern}")),
        Err(error) => {
            node.refuse(format!("`{pattern}` is no regular expression that can be run here: {error}"));
            None
        }
    }
}

/// `timeout`, in milliseconds, and `onError`.
fn patience(object: &Object<'_>) -> (Option<Option<u64>>, Option<Option<OnError>>) {
    let timeout = field(object, "timeout", |it| {
        let timeout = it.duration()?;
        if timeout.is_zero() || timeout > LONGEST_WAIT {
            it.refuse("no time to wait for an answer, expected 1ms to 60s");
            return None;
        }
        u64::try_from(timeout.as_millis()).ok()
    });
    let on_error = field(object, "onError", |it| match it.choice_or(&[], &["deny", "allow"])? {
        "allow" => Some(OnError::Allow),
        _ => Some(OnError::Deny),
    });
    (timeout, on_error)
}
