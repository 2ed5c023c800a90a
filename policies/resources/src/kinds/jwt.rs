//! Whose JWTs are believed: `options.jwt` and its relatives.

use std::time::Duration;

use policy::written::{
    Carrier, CarrierHeader, ClaimHeader, ClaimPath, JwtProvider, Keys, RemoteKeys, Validation, WrongAudience,
};

use crate::node::{Node, Object, Unknown};
use crate::problem::{Place, Severity};

/// What is asked before, and what after, another authority would have been asked. There is none here, so these are
/// two questions, one after the other.
#[derive(Debug, Clone, Default)]
pub struct Staged {
    /// `beforeExtAuth`.
    pub before: Option<Jwt>,
    /// `afterExtAuth`.
    pub after: Option<Jwt>,
}

/// Which questions are not asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Switch {
    /// `beforeExtAuth`.
    pub before: bool,
    /// `afterExtAuth`.
    pub after: bool,
}

/// A question: whose token has to be there.
#[derive(Debug, Clone)]
pub struct Jwt {
    /// Any of these.
    pub providers: Vec<Provider>,
    /// What happens without a good one.
    pub validation: Validation,
}

/// Somebody whose JWTs are believed.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Its name among those beside it.
    pub name: String,
    /// As the module takes it. The cluster of remote keys is still to be named.
    pub written: JwtProvider,
    /// Where remote keys are fetched from.
    pub upstream: Option<UpstreamRef>,
}

/// The Upstream that has the keys.
#[derive(Debug, Clone)]
pub struct UpstreamRef {
    /// Its name.
    pub name: String,
    /// Its namespace; the resource's own if absent.
    pub namespace: Option<String>,
    /// Whether the URL asks for TLS.
    pub https: bool,
    /// Where it is written.
    pub place: Place,
    /// The path of the field.
    pub path: String,
}

/// How the public key of the tour's example begins, without PEM's lines. Its private half is in the project.
pub const EXAMPLE_KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0/jvoi5SxSjo6+pbhUyAxClCjZj7dN8zrzKara50PBugtBmbTAeENI0Fyou/4wPe";

const VALIDATIONS: [&str; 3] = ["REQUIRE_VALID", "ALLOW_MISSING", "ALLOW_MISSING_OR_FAILED"];

/// Reads `{beforeExtAuth, afterExtAuth}`.
pub fn read_staged(node: &Node<'_>) -> Option<Staged> {
    let object = node.object()?;
    let stage = |name| object.get(name).map_or(Some(None), |it| read(&it).map(Some));
    let staged = Staged { before: stage("beforeExtAuth")?, after: stage("afterExtAuth")? };
    object.finish(Unknown::Refuse);
    Some(staged)
}

/// Reads `{beforeExtAuth: {disable}, afterExtAuth: {disable}}`.
pub fn read_switch(node: &Node<'_>) -> Option<Switch> {
    let object = node.object()?;
    let stage = |name| object.get(name).map_or(Some(false), |it| read_disable(&it));
    let switch = Switch { before: stage("beforeExtAuth")?, after: stage("afterExtAuth")? };
    object.finish(Unknown::Refuse);
    Some(switch)
}

/// Reads `{disable}`.
pub fn read_disable(node: &Node<'_>) -> Option<bool> {
    let object = node.object()?;
    let disable = object.get("disable").map_or(Some(false), |it| it.truth())?;
    object.finish(Unknown::Refuse);
    Some(disable)
}

/// Reads `{providers, validationPolicy, allowMissingOrFailedJwt}`.
pub fn read(node: &Node<'_>) -> Option<Jwt> {
    let object = node.object()?;
    let providers = object.need("providers")?.object()?.all();
    let lenient = object.get("allowMissingOrFailedJwt").map_or(Some(false), |it| it.truth())?;
    let named = object.get("validationPolicy").map_or(Some("REQUIRE_VALID"), |it| it.choice(&VALIDATIONS))?;
    object.finish(Unknown::Refuse);
    let validation = match named {
        _ if lenient => Validation::AllowMissingOrFailed,
        "ALLOW_MISSING" => Validation::AllowMissing,
        "ALLOW_MISSING_OR_FAILED" => Validation::AllowMissingOrFailed,
        _ => Validation::RequireValid,
    };
    if providers.is_empty() {
        node.refuse("`providers` is empty: without one no token would be good");
    }
    let providers = providers.into_iter().map(|(name, node)| provider(name, &node));
    Some(Jwt { providers: providers.collect::<Option<_>>()?, validation })
}

fn provider(name: String, node: &Node<'_>) -> Option<Provider> {
    let object = node.object()?;
    let text = |name| object.get(name).map_or(Some(None), |it| it.text().map(Some));
    let truth = |name| object.get(name).map_or(Some(false), |it| it.truth());
    let (keys, upstream) = jwks(&object.need("jwks")?)?;
    let skew = object.get("clockSkewSeconds").map_or(Some(None), |it| it.number(0..=86_400).map(Some))?;
    if let Some(status) = object.get("attachFailedStatusToMetadata") {
        status.say(Severity::Note, "why a token is refused is in the log and in the answer");
    }
    let require_expiry = truth("requireExpiry")?;
    if !require_expiry {
        let what = "tokens without `exp` never expire; `requireExpiry: true` refuses them";
        node.say(Severity::Warning, what);
    }
    let wrong = object
        .get("wrongAudience")
        .map_or(Some("forbidden"), |it| it.choice(&["forbidden", "unauthorized"]))?;
    let written = JwtProvider {
        keys,
        issuer: text("issuer")?.filter(|it| !it.is_empty()),
        audiences: object.get("audiences").map_or(Some(Vec::new()), |it| it.texts())?,
        from: object.get("tokenSource").map_or(Some(Vec::new()), |it| token_source(&it))?,
        keep_token: truth("keepToken")?,
        claims_to_headers: list(&object, "claimsToHeaders", claim_header)?,
        clock_skew_seconds: skew.and_then(|it| u64::try_from(it).ok()),
        require_expiry,
        wrong_audience: if wrong == "forbidden" {
            WrongAudience::Forbidden
        } else {
            WrongAudience::Unauthorized
        },
    };
    object.finish(Unknown::Refuse);
    Some(Provider { name, written, upstream })
}

fn list<T>(object: &Object<'_>, name: &'static str, read: fn(&Node<'_>) -> Option<T>) -> Option<Vec<T>> {
    object.get(name).map_or(Some(Vec::new()), |it| it.list()?.iter().map(read).collect())
}

fn jwks(node: &Node<'_>) -> Option<(Keys, Option<UpstreamRef>)> {
    let object = node.object()?;
    let (local, remote) = (object.get("local"), object.get("remote"));
    object.finish(Unknown::Refuse);
    match (local, remote) {
        (Some(local), None) => Some((local_keys(&local)?, None)),
        (None, Some(remote)) => remote_keys(&remote).map(|(keys, upstream)| (keys, Some(upstream))),
        _ => {
            node.refuse("expected one of local and remote");
            None
        }
    }
}

fn local_keys(node: &Node<'_>) -> Option<Keys> {
    let object = node.object()?;
    let key = object.need("key")?;
    let text = key.text()?;
    object.finish(Unknown::Refuse);
    match jwt::KeySet::read(&text) {
        Ok(keys) => {
            if text.split_whitespace().collect::<String>().contains(EXAMPLE_KEY) {
                key.say(
                    Severity::Warning,
                    "this is the example's key, and everybody has its private half: put a key of your own here \
                     (`turnpike token keygen`, `turnpike token public`)",
                );
            }
            for skipped in keys.skipped() {
                key.say(Severity::Warning, format!("{skipped}: it is left out"));
            }
            Some(Keys::Local(text))
        }
        Err(problem) => {
            key.refuse(problem.to_string());
            None
        }
    }
}

fn remote_keys(node: &Node<'_>) -> Option<(Keys, UpstreamRef)> {
    let object = node.object()?;
    let url = object.need("url")?;
    let (https, host, path) = split_url(&url)?;
    let cache = object.get("cacheDuration").map_or(Some(None), |it| it.duration().map(Some))?;
    if let Some(ahead) = object.get("asyncFetch") {
        ahead.say(Severity::Note, "keys are always fetched ahead");
    }
    let upstream = object.need("upstreamRef")?;
    object.finish(Unknown::Refuse);
    let reference = upstream.object()?;
    let upstream = UpstreamRef {
        name: reference.need("name")?.text()?,
        namespace: reference.get("namespace").and_then(|it| it.text()),
        https,
        place: upstream.place(),
        path: upstream.path().to_owned(),
    };
    reference.finish(Unknown::Refuse);
    let keys = RemoteKeys {
        cluster: String::new(),
        host,
        path,
        cache_seconds: cache.filter(|it| !it.is_zero()).map(|it: Duration| it.as_secs().max(1)),
        timeout_seconds: None,
        cooldown_seconds: None,
    };
    Some((Keys::Remote(keys), upstream))
}

/// Whether it is for TLS, the authority, the path.
fn split_url(node: &Node<'_>) -> Option<(bool, String, String)> {
    let url = node.text()?;
    let split = url.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme));
    let Some((scheme, rest)) = split else {
        node.refuse(format!("`{url}` is no URL, expected one such as https://idp.example.com/jwks.json"));
        return None;
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    Some((scheme == "https", host.to_owned(), path.to_owned()))
}

fn token_source(node: &Node<'_>) -> Option<Vec<Carrier>> {
    let object = node.object()?;
    let mut from = list(&object, "headers", header)?;
    let parameters = object.get("queryParams").map_or(Some(Vec::new()), |it| it.texts())?;
    from.extend(parameters.into_iter().map(Carrier::Query));
    object.finish(Unknown::Refuse);
    Some(from)
}

fn header(node: &Node<'_>) -> Option<Carrier> {
    let object = node.object()?;
    let name = object.need("header")?.text()?;
    let prefix = object.get("prefix").map_or(Some(String::new()), |it| it.text())?;
    object.finish(Unknown::Refuse);
    Some(Carrier::Header(CarrierHeader { name, prefix }))
}

/// As in Envoy, dots lead into a claim.
fn claim_header(node: &Node<'_>) -> Option<ClaimHeader> {
    let object = node.object()?;
    let claim = object.need("claim")?.text()?;
    let header = object.need("header")?.text()?;
    let append = object.get("append").map_or(Some(false), |it| it.truth())?;
    object.finish(Unknown::Refuse);
    Some(ClaimHeader { claim: claim_path(&claim, "."), header, append })
}

/// A claim, where a delimiter leads into it.
pub fn claim_path(claim: &str, delimiter: &str) -> ClaimPath {
    if delimiter.is_empty() || !claim.contains(delimiter) {
        return ClaimPath::Name(claim.to_owned());
    }
    ClaimPath::Nested(claim.split(delimiter).map(str::to_owned).collect())
}
