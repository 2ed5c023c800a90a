//! Who may pass, as written: providers of JWTs, what a route asks of a token, and what its claims allow.

use serde::{Deserialize, Serialize};

/// Somebody whose JWTs are believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JwtProvider {
    /// The keys that its tokens are signed with.
    pub keys: Keys,
    /// What `iss` has to be, exactly. Absent: anything, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// One of these has to be in `aud`. Absent: `aud` is not looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Where the token is looked for. Absent: `authorization: Bearer <token>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Carrier>,
    /// Whether the token goes on to the provider of the model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_token: bool,
    /// Claims that the gateway writes into request headers. Clients' headers of these names are removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims_to_headers: Vec<ClaimHeader>,
    /// By how much clocks may differ, in seconds. 60 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew_seconds: Option<u64>,
    /// Whether a token without `exp` is refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_expiry: bool,
    /// What a token for somebody else is answered: `forbidden` (403, as Envoy does; the default) or `unauthorized` (401,
    /// RFC 6750 section 3.1).
    #[serde(default, skip_serializing_if = "WrongAudience::is_default")]
    pub wrong_audience: WrongAudience,
}

/// What a token for another audience is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WrongAudience {
    /// 403.
    #[default]
    Forbidden,
    /// 401.
    Unauthorized,
}

impl WrongAudience {
    fn is_default(&self) -> bool {
        *self == WrongAudience::default()
    }
}

/// Where the keys of a provider are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Keys {
    /// Here: a PEM public key, a JWK or a JWKS.
    Local(String),
    /// A JWKS that is fetched.
    Remote(RemoteKeys),
}

/// A JWKS that is fetched, kept when fetching fails, and fetched again on time and when a token names a key that is
/// not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemoteKeys {
    /// The host's name for the cluster that has it.
    pub cluster: String,
    /// The `:authority` of the request for it.
    pub host: String,
    /// The path of the request for it.
    pub path: String,
    /// After how many seconds it is fetched again. 300 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_seconds: Option<u64>,
    /// How long fetching may take, and how long a request waits for the first keys, in seconds. 5 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// How long after a fetch, in seconds, an unknown key in a token leads to no other. 10 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown_seconds: Option<u64>,
}

/// Where a token is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Carrier {
    /// In a header.
    Header(CarrierHeader),
    /// In this parameter of the query. URLs are logged by many: a header is the better place.
    Query(String),
}

/// A header that carries a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CarrierHeader {
    /// Its name.
    pub name: String,
    /// What stands before the token, the space included. A header that begins otherwise carries none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
}

/// A claim that is written into a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimHeader {
    /// The claim.
    pub claim: ClaimPath,
    /// The header.
    pub header: String,
    /// Whether it stands beside another claim's header of that name instead of in its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub append: bool,
}

/// A claim, or one inside it: `"team"`, `["llms", "openai"]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClaimPath {
    /// A claim of the token.
    Name(String),
    /// From the outside in.
    Nested(Vec<String>),
}

/// What a route asks of a token. Where there are several, each is asked on its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JwtRule {
    /// Names in `jwtProviders`. A token of any of them will do.
    pub providers: Vec<String>,
    /// What happens without a good one.
    #[serde(default, skip_serializing_if = "Validation::is_default")]
    pub validation: Validation,
}

/// What happens to a request without a good token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Validation {
    /// 401.
    #[default]
    RequireValid,
    /// It passes, as nobody; a bad token is refused.
    AllowMissing,
    /// It passes, as nobody.
    AllowMissingOrFailed,
}

impl Validation {
    fn is_default(&self) -> bool {
        *self == Validation::default()
    }
}

/// Who may use a route. Any of the policies will do; without any, nobody may.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rbac {
    /// Each says who may do what.
    pub policies: Vec<RbacPolicy>,
}

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RbacPolicy {
    /// Its name in the log.
    pub name: String,
    /// Any of these.
    pub principals: Vec<Principal>,
    /// Where the path has to begin. Absent: anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// What the method has to be. Absent: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
}

/// A caller with a good token whose claims are as they are said to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Principal {
    /// Whose token it has to be, a name in `jwtProviders`. Absent: anybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// All of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimRule>,
    /// The claim that lists the models the caller may name, a string or a list of them. Absent: any model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<ClaimPath>,
}

/// What a claim has to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimRule {
    /// The claim.
    pub claim: ClaimPath,
    /// What it has to be: `{"equal": "dev"}`.
    pub must: Must,
}

/// What a claim must do to fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Must {
    /// Be this string.
    Equal(String),
    /// Be this truth value.
    Be(bool),
    /// Be a list with this string in it.
    Contain(String),
    /// Be a string that this regular expression fits as a whole.
    Match(String),
}
