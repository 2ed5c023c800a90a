//! The access half of the check: providers of JWTs, rules and principals.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Report;
use crate::access::{
    Carrier, CarrierHeader, ClaimHeader, ClaimPath, ClaimRule, JwtProvider, JwtRule, Keys, Must, Principal,
    Rbac, RbacPolicy, RemoteKeys,
};
use crate::written;

/// By how much clocks may differ where the configuration does not say, as in Envoy.
const CLOCK_SKEW_SECONDS: u64 = 60;

/// Headers whose meaning is fixed: no claim is written into them.
const FIXED_HEADERS: [&str; 6] =
    ["host", "content-length", "transfer-encoding", "connection", "authorization", "x-forwarded-proto"];

impl Report<'_> {
    pub(super) fn jwt_providers(
        &mut self,
        providers: BTreeMap<String, written::JwtProvider>,
    ) -> Vec<JwtProvider> {
        self.apart(&providers);
        let mut checked = Vec::new();
        for (name, it) in providers {
            let at = format!("downstream.jwtProviders.{name}");
            // Keys that cannot be read are a problem, and without them there is no provider to go on with.
            let Some(keys) = self.keys(&format!("{at}.keys"), it.keys) else { continue };
            let expectation = jwt::Expectation {
                issuer: it.issuer,
                audiences: it.audiences,
                clock_skew_seconds: it.clock_skew_seconds.unwrap_or(CLOCK_SKEW_SECONDS),
                require_expiry: it.require_expiry,
            };
            checked.push(JwtProvider {
                keys,
                expectation,
                from: self.carriers(&format!("{at}.from"), it.from),
                keep_token: it.keep_token,
                claims_to_headers: self.claim_headers(&format!("{at}.claimsToHeaders"), it.claims_to_headers),
                wrong_audience: match it.wrong_audience {
                    written::WrongAudience::Forbidden => 403,
                    written::WrongAudience::Unauthorized => 401,
                },
                name,
            });
        }
        checked
    }

    /// What clients send in a header that the gateway writes is removed: no token could come in it.
    fn apart(&mut self, providers: &BTreeMap<String, written::JwtProvider>) {
        let from = providers.values().flat_map(|it| &it.from);
        let carriers: Vec<&str> = from
            .filter_map(|carrier| match carrier {
                written::Carrier::Header(header) => Some(header.name.as_str()),
                written::Carrier::Query(_) => None,
            })
            .collect();
        for (name, provider) in providers {
            for (i, it) in provider.claims_to_headers.iter().enumerate() {
                if carriers.iter().any(|carrier| carrier.eq_ignore_ascii_case(&it.header)) {
                    self.refuse(
                        format!("downstream.jwtProviders.{name}.claimsToHeaders[{i}].header"),
                        format!("tokens are looked for in `{}`, so no claim can be in it", it.header),
                    );
                }
            }
        }
    }

    fn keys(&mut self, at: &str, it: written::Keys) -> Option<Keys> {
        let remote = match it {
            written::Keys::Local(text) => match jwt::KeySet::read(&text) {
                Ok(keys) => return Some(Keys::Local(keys)),
                Err(problem) => {
                    self.refuse(format!("{at}.local"), problem.to_string());
                    return None;
                }
            },
            written::Keys::Remote(remote) => remote,
        };
        self.absolute(&format!("{at}.remote.path"), &remote.path);
        let seconds = |given: Option<u64>, otherwise| Duration::from_secs(given.unwrap_or(otherwise).max(1));
        Some(Keys::Remote(RemoteKeys {
            cache: seconds(remote.cache_seconds, 300),
            timeout: seconds(remote.timeout_seconds, 5),
            cooldown: seconds(remote.cooldown_seconds, 10),
            cluster: remote.cluster,
            host: remote.host,
            path: remote.path,
        }))
    }

    fn carriers(&mut self, at: &str, from: Vec<written::Carrier>) -> Vec<Carrier> {
        if from.is_empty() {
            let (name, prefix) = ("authorization".to_owned(), "Bearer ".to_owned());
            return vec![Carrier::Header(CarrierHeader { name, prefix })];
        }
        let from = from.into_iter().enumerate();
        from.map(|(i, carrier)| match carrier {
            written::Carrier::Query(name) => {
                if name.is_empty() {
                    self.refuse(format!("{at}[{i}].query"), "the parameter needs a name");
                }
                Carrier::Query(name)
            }
            written::Carrier::Header(CarrierHeader { name, prefix }) => {
                let name = self.header_name(&format!("{at}[{i}].header.name"), &name);
                Carrier::Header(CarrierHeader { name, prefix })
            }
        })
        .collect()
    }

    fn claim_headers(&mut self, at: &str, headers: Vec<written::ClaimHeader>) -> Vec<ClaimHeader> {
        let headers = headers.into_iter().enumerate();
        headers
            .map(|(i, it)| {
                let field = format!("{at}[{i}].header");
                let header = self.header_name(&field, &it.header);
                if FIXED_HEADERS.contains(&header.as_str()) || header.starts_with("x-turnpike-") {
                    self.refuse(
                        field,
                        format!("`{header}` has a meaning of its own, and no claim can be in it"),
                    );
                }
                let claim = self.claim_path(&format!("{at}[{i}].claim"), it.claim);
                ClaimHeader { claim, header, append: it.append }
            })
            .collect()
    }

    pub(super) fn header_name(&mut self, at: &str, name: &str) -> String {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            self.refuse(at.to_owned(), format!("`{name}` is no header name"));
        }
        name.to_ascii_lowercase()
    }

    pub(super) fn claim_path(&mut self, at: &str, path: written::ClaimPath) -> ClaimPath {
        let path = match path {
            written::ClaimPath::Name(name) => vec![name],
            written::ClaimPath::Nested(path) => path,
        };
        if path.is_empty() || path.iter().any(String::is_empty) {
            self.refuse(at.to_owned(), "a claim needs a name");
        }
        path
    }

    pub(super) fn jwt_rules(
        &mut self,
        at: &str,
        rules: Vec<written::JwtRule>,
        known: &[String],
    ) -> Vec<JwtRule> {
        let rules = rules.into_iter().enumerate();
        rules
            .map(|(i, rule)| {
                let at = format!("{at}[{i}].providers");
                if rule.providers.is_empty() {
                    self.refuse(
                        at.clone(),
                        "without a provider no token is good: name one of `jwtProviders`",
                    );
                }
                let names = rule.providers.iter().enumerate();
                let providers =
                    names.filter_map(|(j, name)| self.provider(&format!("{at}[{j}]"), name, known));
                JwtRule { providers: providers.collect(), validation: rule.validation }
            })
            .collect()
    }

    fn provider(&mut self, at: &str, name: &str, known: &[String]) -> Option<usize> {
        let found = known.iter().position(|it| it == name);
        if found.is_none() {
            self.refuse(at.to_owned(), format!("there is no `{name}` in `jwtProviders`"));
        }
        found
    }

    pub(super) fn rbac(&mut self, at: &str, it: written::Rbac, known: &[String]) -> Rbac {
        let policies = it.policies.into_iter().enumerate();
        let policies = policies.map(|(i, policy)| {
            let at = format!("{at}.policies[{i}]");
            if let Some(prefix) = &policy.path_prefix {
                self.absolute(&format!("{at}.pathPrefix"), prefix);
            }
            let principals = policy.principals.into_iter().enumerate();
            let principals = principals
                .map(|(j, principal)| self.principal(&format!("{at}.principals[{j}]"), principal, known))
                .collect();
            RbacPolicy {
                name: policy.name,
                principals,
                path_prefix: policy.path_prefix,
                methods: policy.methods.iter().map(|method| method.to_ascii_uppercase()).collect(),
            }
        });
        Rbac { policies: policies.collect() }
    }

    fn principal(&mut self, at: &str, it: written::Principal, known: &[String]) -> Principal {
        let provider = match it.provider {
            Some(name) => self.provider(&format!("{at}.provider"), &name, known),
            None => None,
        };
        let claims = it.claims.into_iter().enumerate();
        let claims =
            claims.filter_map(|(i, rule)| self.claim_rule(&format!("{at}.claims[{i}]"), rule)).collect();
        let models = it.models.map(|path| self.claim_path(&format!("{at}.models"), path));
        Principal { provider, claims, models }
    }

    fn claim_rule(&mut self, at: &str, it: written::ClaimRule) -> Option<ClaimRule> {
        let claim = self.claim_path(&format!("{at}.claim"), it.claim);
        let must = match it.must {
            written::Must::Equal(text) => Must::Equal(text),
            written::Must::Be(truth) => Must::Be(truth),
            written::Must::Contain(text) => Must::Contain(text),
            written::Must::Match(pattern) => {
                Must::Match(self.anchored(&format!("{at}.must.match"), &pattern)?)
            }
        };
        Some(ClaimRule { claim, must })
    }

    /// A pattern that a text has to fit as a whole.
    pub(super) fn anchored(&mut self, at: &str, pattern: &str) -> Option<regex_lite::Regex> {
        let regex = regex_lite::Regex::new(&format!("^(?:{pattern})$"));
        regex.map_err(|error| self.refuse(at.to_owned(), format!("`{pattern}`: {error}"))).ok()
    }
}
