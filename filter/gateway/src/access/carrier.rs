//! Where a request carries its token: found, and taken away before the provider of the model sees it.

use std::borrow::Cow;

use jwt::Refusal;
use policy::access::{Carrier, CarrierHeader, JwtProvider};

use crate::headers::Headers;
use crate::path::split_query;

/// A token and who takes tokens from there.
#[derive(Debug)]
pub struct Found<'h> {
    /// As it came.
    pub token: Cow<'h, str>,
    /// Where it was.
    pub carrier: Carrier,
}

/// The one token of a request.
///
/// # Errors
/// Where there is none, and where there are several: two readers could take a request for two callers.
pub fn find<'h>(providers: &[(usize, &JwtProvider)], headers: &Headers<'h>) -> Result<Found<'h>, Refusal> {
    let mut found = None;
    let mut asked: Vec<&Carrier> = Vec::new();
    for carrier in providers.iter().flat_map(|(_, provider)| &provider.from) {
        if asked.contains(&carrier) {
            continue;
        }
        asked.push(carrier);
        let Some(token) = carried(carrier, headers)? else { continue };
        if found.replace(Found { token, carrier: carrier.clone() }).is_some() {
            return Err(Refusal::Ambiguous);
        }
    }
    found.ok_or(Refusal::Missing)
}

fn carried<'h>(carrier: &Carrier, headers: &Headers<'h>) -> Result<Option<Cow<'h, str>>, Refusal> {
    match carrier {
        Carrier::Header(header) => in_header(header, headers),
        Carrier::Query(name) => {
            let query = split_query(headers.get(":path").unwrap_or_default()).1;
            only(parameters(query).filter(|(key, _)| key == name).map(|(_, value)| value))
        }
    }
}

/// Two values of a header that carries a token are two credentials, whatever the other one is.
fn in_header<'h>(header: &CarrierHeader, headers: &Headers<'h>) -> Result<Option<Cow<'h, str>>, Refusal> {
    let mut values = headers.all(&header.name);
    let (Some(first), second) = (values.next(), values.next()) else { return Ok(None) };
    let token = |value: &'h [u8]| {
        let (prefix, token) = value.split_at_checked(header.prefix.len())?;
        prefix.eq_ignore_ascii_case(header.prefix.as_bytes()).then_some(token)
    };
    let mut tokens = [first].into_iter().chain(second).chain(values).filter_map(token);
    let Some(token) = tokens.next() else { return Ok(None) };
    if second.is_some() {
        return Err(Refusal::Ambiguous);
    }
    // What is no text is no token either: its form is what is wrong with it.
    Ok(Some(std::str::from_utf8(token).unwrap_or_default().trim_matches(' ').into()))
}

fn only<T>(mut values: impl Iterator<Item = T>) -> Result<Option<T>, Refusal> {
    let first = values.next();
    if values.next().is_some() { Err(Refusal::Ambiguous) } else { Ok(first) }
}

/// The path without the parameters of the query that carry tokens.
pub fn without_carriers<'p>(path: &'p str, carriers: &[Carrier]) -> Cow<'p, str> {
    let (bare, query) = split_query(path);
    let carries = |pair: &&str| {
        let key = parameters(pair).next().map(|(key, _)| key);
        carriers.iter().any(|it| matches!((it, &key), (Carrier::Query(name), Some(key)) if name == key))
    };
    let pairs = query.strip_prefix('?').unwrap_or_default().split('&');
    if !pairs.clone().any(|pair| carries(&pair)) {
        return path.into();
    }
    let kept: Vec<&str> = pairs.filter(|pair| !carries(pair)).collect();
    let mark = if kept.is_empty() { "" } else { "?" };
    format!("{bare}{mark}{}", kept.join("&")).into()
}

/// The parameters of a query, decoded.
pub fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.strip_prefix('?').unwrap_or(query).as_bytes())
}
