//! Stage `authenticate`: from a token to a caller.

use std::rc::Rc;
use std::time::Duration;

use jwt::{Claims, Refusal, Token};
use policy::access::{Carrier, JwtProvider, JwtRule, Keys, Validation};

use super::Access;
use super::carrier::{self, Found};
use super::keyring::Objection;
use super::verified::Digest;
use crate::headers::Headers;
use crate::path::split_query;
use crate::reply::{Reason, Reply};

/// As much of a URL as a challenge repeats, in characters.
const REALM_LIMIT: usize = 256;

/// A token that has been found good.
#[derive(Debug)]
pub struct Pass {
    /// Whose: an index into the gateway's providers.
    pub provider: usize,
    pub claims: Claims,
    /// The claims as JSON.
    pub json: String,
}

/// Who is calling. Without a pass: anybody.
#[derive(Debug, Default)]
pub struct Caller {
    /// One for each rule of the route at most.
    pub passes: Vec<Rc<Pass>>,
    /// What the passes were carried by, as far as it is not to go on to the provider of the model.
    pub spent: Vec<Carrier>,
}

/// What can be said of a request's tokens now.
#[derive(Debug)]
pub enum Verdict {
    /// They are good, or need not be there.
    Known(Caller),
    /// Keys have to come first. It is worth waiting for them for so long; then this is the answer.
    Wait(Duration, Reply),
}

/// Why a rule has not been met.
enum Unmet {
    Refused(Refusal, u16),
    Wait(Duration, Reason, u16),
}

impl From<Refusal> for Unmet {
    fn from(refusal: Refusal) -> Unmet {
        // RFC 6750 section 3.1: several credentials are a bad request, everything else is a bad credential.
        Unmet::Refused(refusal, if refusal == Refusal::Ambiguous { 400 } else { 401 })
    }
}

impl Access {
    /// Asks each rule of a route on its own.
    ///
    /// # Errors
    /// The answer to a request that does not meet one of them.
    pub fn authenticate(
        &self,
        rules: &[JwtRule],
        headers: &Headers<'_>,
        now: Duration,
    ) -> Result<Verdict, Reply> {
        let mut caller = Caller::default();
        for rule in rules {
            match self.ask(rule, headers, now, &mut caller.spent) {
                Ok(pass) => caller.passes.push(pass),
                Err(Unmet::Refused(Refusal::Missing, _)) if rule.validation != Validation::RequireValid => {}
                Err(Unmet::Refused(..)) if rule.validation == Validation::AllowMissingOrFailed => {}
                Err(Unmet::Refused(refusal, status)) => {
                    return Err(challenge(status, Reason::Jwt(refusal), headers));
                }
                Err(Unmet::Wait(patience, reason, status)) => {
                    return Ok(Verdict::Wait(patience, challenge(status, reason, headers)));
                }
            }
        }
        Ok(Verdict::Known(caller))
    }

    fn ask(
        &self,
        rule: &JwtRule,
        headers: &Headers<'_>,
        now: Duration,
        spent: &mut Vec<Carrier>,
    ) -> Result<Rc<Pass>, Unmet> {
        let provider = |i: &usize| Some((*i, self.policy.jwt_providers.get(*i)?));
        let providers: Vec<_> = rule.providers.iter().filter_map(provider).collect();
        let Found { token, carrier } = carrier::find(&providers, headers)?;
        if providers.iter().all(|(_, provider)| !provider.keep_token) {
            spent.push(carrier.clone());
        }
        let judges = providers.into_iter().filter(|(_, provider)| provider.from.contains(&carrier));
        self.judge(judges, &token, now)
    }

    /// Whether a token convinces one of the providers. The cheap questions come first.
    fn judge<'p>(
        &self,
        judges: impl Iterator<Item = (usize, &'p JwtProvider)> + Clone,
        text: &str,
        now: Duration,
    ) -> Result<Rc<Pass>, Unmet> {
        if text.len() > jwt::MAX_BYTES {
            return Err(Refusal::TooLong.into());
        }
        let digest = self.digests.of(text);
        if let Some(verdict) = self.remembered(judges.clone(), digest, now) {
            return verdict;
        }
        let token = Token::parse(text)?;
        let mut unmet = Unmet::from(Refusal::IssuerUnknown);
        for (i, provider) in judges {
            let objection = match self.believe(i, provider, &token, now) {
                Ok(generation) => return Ok(self.remember(i, &token, digest, generation)),
                Err(objection) => objection,
            };
            unmet = match objection {
                Objection::NoKeys(patience) => Unmet::Wait(patience, Reason::KeysUnavailable, 503),
                Objection::KeyMissed(patience) => {
                    Unmet::Wait(patience, Reason::Jwt(Refusal::UnknownKey), 401)
                }
                // Whoever may still be convinced is worth more than whoever is not, and whoever knows the issuer more
                // than whoever does not.
                Objection::Refused(_) if matches!(unmet, Unmet::Wait(..)) => unmet,
                Objection::Refused(Refusal::IssuerUnknown) => unmet,
                Objection::Refused(refusal) => refused(refusal, provider),
            };
        }
        Err(unmet)
    }

    /// What is said of a token whose signature has been found good before: only the times can have changed.
    fn remembered<'p>(
        &self,
        mut judges: impl Iterator<Item = (usize, &'p JwtProvider)>,
        digest: Digest,
        now: Duration,
    ) -> Option<Result<Rc<Pass>, Unmet>> {
        let (i, provider, pass) = judges.find_map(|(i, it)| Some((i, it, self.known(i, digest)?)))?;
        Some(provider.expectation.check(&pass.claims, now.as_secs()).map(|()| pass).map_err(|refusal| {
            if let Ok(mut verified) = self.verified.try_borrow_mut() {
                verified.forget(i, digest);
            }
            refused(refusal, provider)
        }))
    }

    fn remember(&self, provider: usize, token: &Token, digest: Digest, generation: u32) -> Rc<Pass> {
        let claims = token.claims().clone();
        let json = claims.as_value().to_string();
        let pass = Rc::new(Pass { provider, claims, json });
        if let Ok(mut verified) = self.verified.try_borrow_mut() {
            verified.put(digest, generation, Rc::clone(&pass));
        }
        pass
    }

    /// Whether a provider believes a token; gives the generation of the keys that say so.
    fn believe(
        &self,
        i: usize,
        provider: &JwtProvider,
        token: &Token,
        now: Duration,
    ) -> Result<u32, Objection> {
        provider.expectation.check(token.claims(), now.as_secs()).map_err(Objection::Refused)?;
        if let Keys::Local(keys) = &provider.keys {
            return keys.verify(token).map(|()| 0).map_err(Objection::Refused);
        }
        let ring = self.keyrings.get(i).and_then(Option::as_ref).and_then(|ring| ring.try_borrow_mut().ok());
        let Some(mut ring) = ring else { return Err(Objection::Refused(Refusal::UnknownKey)) };
        ring.verify(token, now).map(|()| ring.generation())
    }

    fn known(&self, i: usize, digest: Digest) -> Option<Rc<Pass>> {
        let ring = self.keyrings.get(i)?;
        let generation = ring.as_ref().and_then(|ring| Some(ring.try_borrow().ok()?.generation()));
        self.verified.try_borrow_mut().ok()?.get(i, digest, generation.unwrap_or(0))
    }
}

fn refused(refusal: Refusal, provider: &JwtProvider) -> Unmet {
    let status = if refusal == Refusal::AudienceNotAllowed { provider.wrong_audience } else { 401 };
    Unmet::Refused(refusal, status)
}

/// A refusal that says what would have been taken (RFC 6750 section 3).
fn challenge(status: u16, reason: Reason, headers: &Headers<'_>) -> Reply {
    let reply = |message: &str| Reply::new(status, reason, message);
    let Reason::Jwt(refusal) = reason else { return reply("Jwks remote fetch is failed") };
    let error = match refusal {
        Refusal::Missing => "",
        Refusal::Ambiguous => ", error=\"invalid_request\"",
        _ => ", error=\"invalid_token\"",
    };
    reply(refusal.message()).challenging(format!("Bearer realm=\"{}\"{error}", realm(headers)))
}

/// The URL that was asked for, as far as it can stand between quotes, without its query.
fn realm(headers: &Headers<'_>) -> String {
    let scheme = headers.get(":scheme").unwrap_or("http");
    let host = headers.get(":authority").unwrap_or_default();
    let path = split_query(headers.get(":path").unwrap_or_default()).0;
    let url = [scheme, "://", host, path].concat();
    url.chars().filter(|c| !matches!(c, '"' | '\\') && c.is_ascii_graphic()).take(REALM_LIMIT).collect()
}
