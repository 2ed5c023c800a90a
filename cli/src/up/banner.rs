//! What a person sees when the gateway is up: where it is, what it reaches, and something to paste.

use std::fmt::Write;
use std::net::SocketAddr;

use mock_provider::Mock;
use policy::written::Carrier;
use policy::{PathMatch, Provider};
use resources::{Plan, Route, Target};

use super::{Beside, Serving};

/// At most so many routes are listed: the rest is in the policies.
const MAX_ROUTES: usize = 4;

/// The lines to print.
pub fn banner(plan: &Plan, host: &Serving, beside: &Beside) -> String {
    let mock = beside.mock.as_ref().map(Mock::address);
    let (address, admin, kind) = (host.address(), host.admin(), host.name());
    // Writing to a String cannot fail.
    let mut out = format!("listening on http://{address} (in {kind})\n");
    let served: Vec<(&Route, &Target)> =
        plan.routes.iter().filter_map(|route| Some((route, route.targets(plan).next()?))).collect();
    for (route, target) in served.iter().take(MAX_ROUTES) {
        let asks = if route.jwt.is_empty() { "" } else { "; asks for a JWT" };
        let _ = writeln!(out, "  {} -> {}{asks}", door(route), provider(target, mock));
    }
    if let Some(more) = served.len().checked_sub(MAX_ROUTES + 1) {
        let _ = writeln!(out, "  and {} more", more + 1);
    }
    for (i, (route, target)) in served.iter().take(2).enumerate() {
        let _ = writeln!(out, "{}", curl(plan, address, (route, target), false));
        if i == 0 {
            let _ = writeln!(out, "{}", curl(plan, address, (route, target), true));
        }
    }
    if let Some(sidecar) = &beside.sidecar {
        let _ = writeln!(out, "budgets: counters are {}", sidecar.counters);
    }
    let _ = writeln!(out, "metrics: http://{admin}/stats/prometheus");
    out.push_str("stop: Ctrl-C");
    out
}

fn door(route: &Route) -> String {
    let (host, path) = first_match(route);
    format!("{}{path}", host.unwrap_or_default())
}

fn provider(target: &Target, mock: Option<SocketAddr>) -> String {
    let name = target.provider.name();
    match mock {
        Some(mock) if mock.port() == target.port => {
            format!("{name}, played by the bundled mock (no key is set)")
        }
        _ => format!("{name} at {}", target.authority),
    }
}

fn curl(plan: &Plan, address: SocketAddr, (route, target): (&Route, &Target), stream: bool) -> String {
    let (host, path) = first_match(route);
    let (token, query) = token(plan, route);
    let model = target.model.as_deref().unwrap_or(match target.provider {
        Provider::Openai => "gpt-4o-mini",
        Provider::Mistral => "open-mistral-nemo",
    });
    let host = host.map(|host| format!(" -H 'host: {}'", host.replace('*', "www"))).unwrap_or_default();
    let (flags, streams) = if stream { ("-sN", r#","stream":true"#) } else { ("-s", "") };
    format!(
        "curl {flags} {address}{path}{query}{host}{token} -H 'content-type: application/json' \
         -d '{{\"model\":\"{model}\"{streams},\"messages\":[{{\"role\":\"user\",\"content\":\"Say hello.\"}}]}}'"
    )
}

/// The header, or the query, that brings a token to a route, with `$TOKEN` in the place of the token.
fn token(plan: &Plan, route: &Route) -> (String, String) {
    let named = route.jwt.first().and_then(|rule| rule.providers.first());
    let Some(provider) = named.and_then(|name| plan.jwt_providers.get(name)) else {
        return (String::new(), String::new());
    };
    match provider.from.first() {
        None => (" -H \"Authorization: Bearer $TOKEN\"".to_owned(), String::new()),
        Some(Carrier::Header(it)) => (format!(" -H \"{}: {}$TOKEN\"", it.name, it.prefix), String::new()),
        Some(Carrier::Query(name)) => (String::new(), format!("?{name}=$TOKEN")),
    }
}

fn first_match(route: &Route) -> (Option<&str>, &str) {
    match route.matches.first() {
        Some((host, PathMatch::Prefix(path) | PathMatch::Exact(path))) => (host.as_deref(), path),
        None => (None, "/"),
    }
}
