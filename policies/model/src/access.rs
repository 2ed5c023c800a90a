//! Who may pass, as checked.

use std::fmt;
use std::time::Duration;

pub use crate::written::{CarrierHeader, Validation};

/// Somebody whose JWTs are believed.
#[derive(Debug)]
pub struct JwtProvider {
    /// Its name in the configuration and in logs.
    pub name: String,
    /// The keys that its tokens are signed with.
    pub keys: Keys,
    /// What issuer, audience and times of a token have to be.
    pub expectation: jwt::Expectation,
    /// Where the token is looked for. Never empty.
    pub from: Vec<Carrier>,
    /// Whether the token goes on to the provider of the model.
    pub keep_token: bool,
    /// Claims that the gateway writes into request headers.
    pub claims_to_headers: Vec<ClaimHeader>,
    /// The status that a token for another audience is answered with.
    pub wrong_audience: u16,
}

/// Where the keys of a provider are.
#[derive(Debug)]
pub enum Keys {
    /// Here.
    Local(jwt::KeySet),
    /// Fetched.
    Remote(RemoteKeys),
}

/// A JWKS that is fetched.
#[derive(Debug, Clone)]
pub struct RemoteKeys {
    /// The host's name for the cluster that has it.
    pub cluster: String,
    /// The `:authority` of the request for it.
    pub host: String,
    /// The path of the request for it.
    pub path: String,
    /// After what time it is fetched again.
    pub cache: Duration,
    /// How long fetching may take, and how long a request waits for the first keys.
    pub timeout: Duration,
    /// How long after a fetch an unknown key in a token leads to no other.
    pub cooldown: Duration,
}

/// Where a token is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carrier {
    /// In a header, its name in lower case.
    Header(CarrierHeader),
    /// In this parameter of the query.
    Query(String),
}

/// From the outside in; never empty.
pub type ClaimPath = Vec<String>;

/// A claim that is written into a header.
#[derive(Debug)]
pub struct ClaimHeader {
    /// The claim.
    pub claim: ClaimPath,
    /// The header, in lower case.
    pub header: String,
    /// Whether it stands beside another claim's header of that name.
    pub append: bool,
}

/// What a route asks of a token.
#[derive(Debug)]
pub struct JwtRule {
    /// Indices into the gateway's providers. Never empty.
    pub providers: Vec<usize>,
    /// What happens without a good one.
    pub validation: Validation,
}

/// Who may use a route: any of the policies will do.
#[derive(Debug)]
pub struct Rbac {
    /// Each says who may do what.
    pub policies: Vec<RbacPolicy>,
}

/// Who may do what.
#[derive(Debug)]
pub struct RbacPolicy {
    /// Its name in the log.
    pub name: String,
    /// Any of these.
    pub principals: Vec<Principal>,
    /// Where the path has to begin.
    pub path_prefix: Option<String>,
    /// What the method has to be, in upper case; empty takes any.
    pub methods: Vec<String>,
}

/// A caller whose claims are as they are said to be.
#[derive(Debug)]
pub struct Principal {
    /// Whose token it has to be: an index into the gateway's providers.
    pub provider: Option<usize>,
    /// All of these.
    pub claims: Vec<ClaimRule>,
    /// The claim that lists the models the caller may name.
    pub models: Option<ClaimPath>,
}

/// What a claim has to be.
#[derive(Debug)]
pub struct ClaimRule {
    /// The claim.
    pub claim: ClaimPath,
    /// What it has to be.
    pub must: Must,
}

/// What a claim must do to fit.
#[derive(Debug)]
pub enum Must {
    /// Be this string.
    Equal(String),
    /// Be this truth value.
    Be(bool),
    /// Be a list with this string in it.
    Contain(String),
    /// Be a string that this fits. It is anchored on both sides.
    Match(regex_lite::Regex),
}

/// As in "asks for `team` to be `dev`".
impl fmt::Display for ClaimRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let claim = self.claim.join(".");
        match &self.must {
            Must::Equal(text) => write!(f, "`{claim}` to be `{text}`"),
            Must::Be(truth) => write!(f, "`{claim}` to be {truth}"),
            Must::Contain(text) => write!(f, "`{claim}` to contain `{text}`"),
            Must::Match(regex) => write!(f, "`{claim}` to match `{regex}`"),
        }
    }
}
