//! What the gateway and its sidecar say to each other: JSON over HTTP, in camelCase. A request with a field that is not
//! here is refused, so that a limit is never lost to a misspelling.
//!
//! `POST /v1/admit` reserves before a request goes to a model, `POST /v1/settle` puts what was really used in place of what
//! was reserved. The sidecar holds nothing between the two: a reservation is a text that the gateway keeps.

use serde::{Deserialize, Serialize};

/// The path of [`Admit`].
pub const ADMIT: &str = "/v1/admit";
/// The path of [`Settle`].
pub const SETTLE: &str = "/v1/settle";
/// The header, with the value `1`, that every answer of the sidecar carries: what comes without it comes from something
/// that stands in between.
pub const OURS: &str = "x-turnpike-sidecar";
/// The longest id of a request, in bytes.
pub const REQUEST_BYTES: usize = 64;
/// The most limits of one request.
pub const LIMITS: usize = 32;
/// The longest name of a limit, in bytes.
pub const TEXT_BYTES: usize = 512;
/// The longest subject, in bytes: as long as all headers of a request may be.
pub const KEY_BYTES: usize = 64 << 10;
/// The longest window, in seconds: 365 days.
pub const WINDOW_SECONDS: u64 = 31_536_000;
/// The greatest number that can be counted: 2^53, beyond which the numbers of Redis' scripts are not exact.
pub const MOST: u64 = 1 << 53;
/// The longest reservation, in bytes.
pub const RESERVATION_BYTES: usize = 4096;
/// The most items of one [`Settle`].
pub const ITEMS: usize = 1000;
/// The longest body of a request, in bytes.
pub const BODY_BYTES: usize = 12 << 20;

/// May this request go on? All of its enforced limits are asked in one step, and it takes from all of them or from none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Admit<P> {
    /// The request's id, 1 to 64 of `A-Z a-z 0-9 -`. The same id again is the same reservation, taken once, so that an
    /// answer that was lost can be asked for again. It must not be one that a client has chosen.
    pub request: String,
    /// What goes to the model. None is an input of no tokens.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub input: Option<Input<P>>,
    /// What it is counted against, 1 to 32. No two with the same name, key and window.
    pub limits: Vec<Limit>,
}

/// What goes to the model: something to count, or its count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input<P> {
    /// A JSON object with the field that counts: `messages`, without it `prompt`, without that `input`. Other fields are
    /// not looked at, so it may be the whole body. What cannot be read as a prompt counts as the text that it is. `P` is any type that is written as JSON, such as serde_json's `RawValue`.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub prompt: Option<P>,
    /// How many tokens it has, where that is known. Then the prompt is not counted.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

/// One limit, and what the request takes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limit {
    /// The limit's own name, 1 to 512 bytes.
    pub name: String,
    /// Who or what is counted, at most 64 KiB: an opaque text, which is digested before it is stored anywhere.
    pub key: String,
    /// How much there is in a window, at most 2^53.
    pub max: u64,
    /// The window's length, 1 to 31536000.
    pub window_seconds: u64,
    /// How windows follow each other.
    pub window: Window,
    /// How much the request takes.
    pub amount: Amount,
    /// What becomes of a request that would go beyond.
    pub mode: Mode,
}

/// How windows follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Window {
    /// They begin at multiples of their length since 1970, in UTC: an hour at the full hour.
    Fixed,
    /// What the last fixed window had counts too, for the part of it that lies within one length of now.
    Sliding,
}

/// What becomes of a request that would go beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// It is denied.
    Enforce,
    /// It is counted, and `exceeded` says so.
    Monitor,
}

/// How much a request takes, in the unit of its limit: requests, tokens, billionths of a dollar. Each at most 2^53.
///
/// `constant + per_input * tokens` is exact. What is reserved is that and the estimate, but not more than `max`: a guess
/// alone keeps no request out of an untouched budget. A request whose exact part is above `max` is always denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Amount {
    /// For the request itself.
    pub constant: u64,
    /// For each token of the input.
    pub per_input: u64,
    /// A guess of what comes besides: the answer.
    pub estimate: u64,
}

/// What became of an [`Admit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Admitted {
    /// Whether the request may go on. If not, nothing has been taken from any limit.
    pub allowed: bool,
    /// The tokens of the input, as counted or as told.
    #[serde(default = "none")]
    pub input_tokens: Option<u64>,
    /// What [`Settle`] wants back, where the request may go on. Opaque, and signed.
    #[serde(default = "none")]
    pub reservation: Option<String>,
    /// The limits, in the order of the request. A denial may leave out those that it did not depend on.
    pub limits: Vec<State>,
}

/// How a limit stands, after the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The limit's name.
    pub name: String,
    /// How much there is in a window.
    pub max: u64,
    /// How much of it is neither used nor reserved.
    pub remaining: u64,
    /// Seconds until the present window ends, rounded up.
    pub reset_seconds: u64,
    /// Whether this limit denied the request, or would have if it were enforced.
    pub exceeded: bool,
    /// Whether all of it is used and not merely reserved, in a fixed window: nothing more comes free before it ends.
    #[serde(default)]
    pub spent: bool,
}

/// What was really used, for up to 1000 reservations. Each counts once, however often it is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settle {
    /// One for each reservation.
    pub items: Vec<Item>,
}

/// What was used of one reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Item {
    /// As it came with [`Admitted`].
    pub reservation: String,
    /// For each limit of the request, in its order and unit. Each at most 2^53; 0 gives everything back.
    pub used: Vec<u64>,
}

/// What became of a [`Settle`]. The three add up to its items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settled {
    /// Counted now.
    pub settled: u64,
    /// Counted before, or so long ago that nothing is left to be changed.
    pub known: u64,
    /// Not a reservation of ours, or with another number of limits.
    pub refused: u64,
}

/// Without it serde would ask `P: Default`.
fn none<T>() -> Option<T> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIT: &str = r#"{"request":"r-1","input":{"prompt":"hi"},"limits":[{"name":"n","key":"k","max":70,"windowSeconds":3600,"window":"fixed","amount":{"constant":0,"perInput":1,"estimate":16},"mode":"enforce"}]}"#;

    #[test]
    fn what_is_written_is_what_is_read() {
        let admit: Admit<String> = serde_json::from_str(ADMIT).unwrap();
        assert_eq!(admit.input.as_ref().unwrap().prompt.as_deref(), Some("hi"));
        assert_eq!(serde_json::to_string(&admit).unwrap(), ADMIT);
    }

    #[test]
    fn a_misspelt_field_is_refused_wherever_it_stands() {
        for (right, wrong) in
            [("\"limits\"", "\"limit\""), ("windowSeconds", "window_seconds"), ("perInput", "perinput")]
        {
            assert!(serde_json::from_str::<Admit<String>>(&ADMIT.replace(right, wrong)).is_err(), "{wrong}");
        }
        let more = ADMIT.replace("\"mode\"", "\"burst\":1,\"mode\"");
        assert!(serde_json::from_str::<Admit<String>>(&more).is_err());
    }

    #[test]
    fn numbers_below_zero_or_with_fractions_are_refused() {
        for wrong in ["-1", "1.5", "18446744073709551616", "\"1\""] {
            let text = ADMIT.replace(":70,", &format!(":{wrong},"));
            assert!(serde_json::from_str::<Admit<String>>(&text).is_err(), "{wrong}");
        }
    }
}
