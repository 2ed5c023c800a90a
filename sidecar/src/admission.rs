//! From what the gateway asks to what a store is asked, and back. Everything is checked here, once; a store gets numbers that
//! are exact in all of them.

use serde_json::value::RawValue;
use sidecar_api::{
    Admit, Admitted, Input, KEY_BYTES, LIMITS, Limit, MOST, Mode, REQUEST_BYTES, State, TEXT_BYTES,
    WINDOW_SECONDS, Window,
};

use crate::error::Error;
use crate::store::{Count, Counter, Reserve, Reserved, Take, Times};
use crate::ticket::{self, Secret};
use crate::tokens;

/// What was asked, checked and counted.
#[derive(Debug)]
pub(crate) struct Asked {
    pub reserve: Reserve,
    names: Vec<String>,
    tokens: Option<u64>,
}

/// Takes time in proportion to the prompt.
pub(crate) fn read(body: &[u8], times: Times) -> Result<Asked, Error> {
    let admit: Admit<&RawValue> =
        serde_json::from_slice(body).map_err(|error| Error::Invalid(error.to_string()))?;
    check(&admit).map_err(Error::Invalid)?;
    let tokens = input(admit.input).map_err(Error::Invalid)?;
    let mut takes: Vec<Take> = Vec::new();
    let mut names = Vec::new();
    for (at, limit) in admit.limits.into_iter().enumerate() {
        let take = take(&limit, tokens.unwrap_or(0), times)
            .map_err(|problem| Error::Invalid(format!("limits[{at}].{problem}")))?;
        if takes.iter().any(|other| other.counter.id == take.counter.id) {
            return Err(Error::Invalid(format!("limits[{at}]: counts what a limit before it counts")));
        }
        takes.push(take);
        names.push(limit.name);
    }
    let reserve = Reserve { request: admit.request, digest: digest(&takes), takes, times };
    Ok(Asked { reserve, names, tokens })
}

/// What the gateway is told.
pub(crate) fn answer(asked: &Asked, reserved: &Reserved, secret: &Secret) -> Result<Admitted, Error> {
    let (reservation, counts) = match reserved {
        Reserved::Held(indexes, counts) => {
            let ticket = ticket::write(secret, &asked.reserve, indexes);
            (Some(ticket.ok_or(Error::Internal)?), counts)
        }
        Reserved::Denied(counts) => (None, counts),
        Reserved::Conflict => return Err(Error::Conflict),
    };
    let limits = counts.iter().filter_map(|count| state(asked, count)).collect();
    Ok(Admitted { allowed: reservation.is_some(), input_tokens: asked.tokens, reservation, limits })
}

fn check(admit: &Admit<&RawValue>) -> Result<(), String> {
    let id = &admit.request;
    if !(1..=REQUEST_BYTES).contains(&id.len())
        || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        return Err(format!("request: expected 1 to {REQUEST_BYTES} of A-Z, a-z, 0-9 and -"));
    }
    if !(1..=LIMITS).contains(&admit.limits.len()) {
        return Err(format!("limits: expected 1 to {LIMITS}, got {}", admit.limits.len()));
    }
    Ok(())
}

fn input(input: Option<Input<&RawValue>>) -> Result<Option<u64>, String> {
    match input {
        None => Ok(None),
        Some(Input { tokens: Some(tokens), .. }) => at_most("input.tokens", tokens, MOST).map(Some),
        Some(Input { prompt: Some(prompt), .. }) => Ok(Some(tokens::count(prompt.get()))),
        Some(Input { prompt: None, tokens: None }) => Err("input: expected a prompt or tokens".into()),
    }
}

fn take(limit: &Limit, tokens: u64, times: Times) -> Result<Take, String> {
    if !(1..=TEXT_BYTES).contains(&limit.name.len()) {
        return Err(format!("name: expected 1 to {TEXT_BYTES} bytes"));
    }
    if limit.key.len() > KEY_BYTES {
        return Err(format!("key: expected at most {KEY_BYTES} bytes"));
    }
    if limit.window_seconds == 0 {
        return Err(format!("windowSeconds: expected 1 to {WINDOW_SECONDS}"));
    }
    at_most("windowSeconds", limit.window_seconds, WINDOW_SECONDS)?;
    at_most("max", limit.max, MOST)?;
    let amount = limit.amount;
    for (name, value) in
        [("constant", amount.constant), ("perInput", amount.per_input), ("estimate", amount.estimate)]
    {
        at_most(&format!("amount.{name}"), value, MOST)?;
    }
    let exact = amount.constant.saturating_add(amount.per_input.saturating_mul(tokens));
    at_most("amount: with this input", exact, MOST)?;
    let counter = Counter {
        id: id(limit),
        window: limit.window_seconds * 1000,
        sliding: limit.window == Window::Sliding,
        leased: limit.window_seconds * 1000 > times.lease,
    };
    // A guess alone keeps nobody out of an untouched budget.
    let amount = exact.saturating_add(amount.estimate).min(limit.max).max(exact);
    Ok(Take { counter, max: limit.max, amount, enforce: limit.mode == Mode::Enforce })
}

fn at_most(name: &str, value: u64, most: u64) -> Result<u64, String> {
    if value > most { Err(format!("{name}: expected at most {most}, got {value}")) } else { Ok(value) }
}

fn id(limit: &Limit) -> String {
    let kind: &[u8] = match limit.window {
        Window::Fixed => b"fixed",
        Window::Sliding => b"sliding",
    };
    ticket::digest(&[limit.name.as_bytes(), limit.key.as_bytes(), &limit.window_seconds.to_le_bytes(), kind])
}

fn digest(takes: &[Take]) -> String {
    let amounts: Vec<[u8; 8]> = takes.iter().map(|take| take.amount.to_le_bytes()).collect();
    let parts = takes.iter().zip(&amounts).flat_map(|(take, amount)| [take.counter.id.as_bytes(), amount]);
    ticket::digest(&parts.collect::<Vec<_>>())
}

fn state(asked: &Asked, count: &Count) -> Option<State> {
    let (take, name) = asked.reserve.takes.get(count.of).zip(asked.names.get(count.of))?;
    Some(State {
        name: name.clone(),
        max: take.max,
        remaining: take.max.saturating_sub(count.used),
        reset_seconds: count.reset.div_ceil(1000),
        exceeded: count.exceeded,
        // Only what is settled for less than was reserved, or given back, makes a fixed window's count less.
        spent: !take.counter.sliding && count.open == 0 && count.used >= take.max,
    })
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
