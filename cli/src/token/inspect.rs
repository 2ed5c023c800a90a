//! `turnpike token inspect`: what a token says, what is wrong with it, and what policies make of it.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use gateway::{Access, Headers, Models};
use jwt::Token;
use policy::{PathMatch, Plugin, Route};
use serde_json::Value;

use super::standard_input;
use crate::args::{Inspect, Policies};
use crate::{Failure, inputs};

/// Shows a token.
pub fn inspect(args: &Inspect) -> Result<(), Failure> {
    let text = match args.token.as_deref() {
        None | Some("-") => standard_input()?,
        Some(token) => token.to_owned(),
    };
    let text = text.trim();
    let text = text.strip_prefix("Bearer ").unwrap_or(text).trim();
    let token =
        Token::parse(text).map_err(|refusal| format!("{} ({})", refusal.message(), refusal.code()))?;
    println!("header {}", pretty(&Value::Object(token.header().clone())));
    println!("claims {}", pretty(token.claims().as_value()));
    let now = SystemTime::UNIX_EPOCH.elapsed().map_err(|error| error.to_string())?;
    println!("{}", times(&token, now));
    if args.files.is_empty() {
        println!("signature: not checked; `-f` names the policies that have the key");
        return Ok(());
    }
    let loaded = inputs::policies(&Policies { files: args.files.clone() })?;
    let Some(plan) = loaded.plan else {
        return Err("the policies have errors: `turnpike check` says which".into());
    };
    let plugin = Plugin::check(plan.downstream(), &|_| None);
    let Ok(Plugin::Downstream(gateway)) = plugin else {
        return Err("the policies come to no configuration: `turnpike check` says why".into());
    };
    let access = Access::new(Rc::new(gateway), [0; 16]);
    for route in &access.policy().routes {
        println!("route {}: {}", route.name, verdict(&access, route, text, now));
    }
    Ok(())
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

fn times(token: &Token, now: Duration) -> String {
    let at = |seconds: f64| {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds as u64);
        humantime::format_rfc3339_seconds(time).to_string()
    };
    let now = now.as_secs_f64();
    let end = match token.claims().expires_at() {
        None => "never expires: it has no `exp`".to_owned(),
        Some(end) if end < now => format!("expired at {}", at(end)),
        Some(end) => format!("expires at {}", at(end)),
    };
    match token.claims().not_before() {
        Some(from) if from > now => format!("{end}; not valid before {}", at(from)),
        _ => end,
    }
}

/// What a route says of a caller with this token, who brings it where the first carrier of each provider is.
fn verdict(access: &Access, route: &Route, token: &str, now: Duration) -> String {
    if route.jwt.is_empty() {
        return "asks for no token".to_owned();
    }
    let path = match route.matches.first().map(|it| &it.path) {
        Some(PathMatch::Exact(path) | PathMatch::Prefix(path)) => path.as_str(),
        None => "/",
    };
    let (carriers, path) = carried(access, route, token, path);
    let mut pairs: Vec<(&str, &[u8])> = vec![(":method", b"POST"), (":authority", b"")];
    pairs.push((":path", path.as_bytes()));
    pairs.extend(carriers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    match access.decide(route, &Headers::new(pairs), now) {
        Ok(Models::Any) => "passes, with any model".to_owned(),
        Ok(Models::Listed(models)) if models.is_empty() => "passes, but may use no model".to_owned(),
        Ok(Models::Listed(models)) => format!("passes, with {}", models.join(", ")),
        Err(reply) => {
            let cause = if reply.cause.is_empty() { String::new() } else { format!(" ({})", reply.cause) };
            format!("{} {}{cause}", reply.status, reply.message)
        }
    }
}

/// The headers, and the path, by which the token comes to the first provider of each rule.
fn carried(access: &Access, route: &Route, token: &str, path: &str) -> (Vec<(String, String)>, String) {
    use policy::access::Carrier;
    let (mut headers, mut path) = (Vec::new(), path.to_owned());
    for rule in &route.jwt {
        let provider = rule.providers.first().and_then(|i| access.policy().jwt_providers.get(*i));
        match provider.and_then(|it| it.from.first()) {
            Some(Carrier::Header(it)) => {
                let header = (it.name.clone(), format!("{}{token}", it.prefix));
                if !headers.contains(&header) {
                    headers.push(header);
                }
            }
            Some(Carrier::Query(name)) => path = format!("{path}?{name}={token}"),
            None => {}
        }
    }
    (headers, path)
}
