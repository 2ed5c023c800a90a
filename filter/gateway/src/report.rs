//! A request in the access log: one JSON object. It says who has asked whom, what it has cost and how it ended, and never
//! what was said, nor with which token or key.

use std::fmt::Write as _;
use std::time::Duration;

use policy::budget::NANOS;
use serde_json::Value;

use crate::reply::Outcome;
use crate::usage::Usage;

/// What is known of a request at its end.
#[derive(Debug)]
pub struct Report<'a> {
    /// When it began, since the Unix epoch.
    pub began: Duration,
    /// How long it took.
    pub took: Duration,
    /// How long it took until the first event of a stream with data in it.
    pub first_token: Option<Duration>,
    /// The route's name.
    pub route: Option<&'a str>,
    /// Who has called, as a claim says it.
    pub caller: Option<&'a str>,
    /// The model that the client has asked for.
    pub asked: Option<&'a str>,
    /// The model that has answered.
    pub answered: Option<&'a str>,
    /// Who has answered.
    pub provider: Option<&'a str>,
    /// What the provider has said of tokens, or what was seen of them.
    pub usage: Option<Usage>,
    /// Whether it is only what was seen.
    pub estimated: bool,
    /// What it has cost, in billionths of a dollar, where the model has a price.
    pub cost: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// What the client was told. Nothing where it left before.
    pub status: Option<u16>,
    /// How many providers were asked.
    pub attempts: u32,
}

impl Report<'_> {
    /// The line.
    pub fn json(&self) -> String {
        let mut line = format!("{{\"time\":\"{}\"", rfc3339(self.began));
        let texts = [
            ("route", self.route),
            ("caller", self.caller),
            ("model", self.asked),
            ("answered_model", self.answered),
            ("provider", self.provider),
        ];
        for (name, text) in texts {
            add(&mut line, name, Value::from(text));
        }
        let usage = self.usage.as_ref();
        let tokens = [
            ("input_tokens", usage.map(|it| it.input)),
            ("cached_tokens", usage.map(|it| it.cached)),
            ("output_tokens", usage.map(|it| it.output)),
            ("reasoning_tokens", usage.map(|it| it.reasoning)),
        ];
        for (name, count) in tokens {
            add(&mut line, name, Value::from(count));
        }
        add(&mut line, "estimated", Value::from(self.estimated));
        if let Some(cost) = self.cost {
            let _ = write!(line, ",\"cost\":{}.{:09}", cost / NANOS, cost % NANOS);
        }
        add(&mut line, "outcome", Value::from(self.outcome.code()));
        let numbers = [
            ("status", self.status.map(u64::from)),
            ("attempts", Some(u64::from(self.attempts))),
            ("duration_ms", Some(millis(self.took))),
            ("first_token_ms", self.first_token.map(millis)),
        ];
        for (name, number) in numbers {
            add(&mut line, name, Value::from(number));
        }
        line.push('}');
        line
    }
}

/// Adds a member.
#[inline(never)]
#[allow(clippy::needless_pass_by_value, reason = "made for this")]
fn add(line: &mut String, name: &str, value: Value) {
    // Writing to a String cannot fail.
    let _ = write!(line, ",\"{name}\":{value}");
}

/// So many whole milliseconds.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A time in UTC, to the millisecond (RFC 3339): `2026-01-31T23:59:59.001Z`.
fn rfc3339(time: Duration) -> String {
    let seconds = time.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let millis = time.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The date of a day since 1970, in years that begin in March, so that the odd day is the last (H. Hinnant,
/// `civil_from_days`).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Report, rfc3339};
    use crate::reply::{Outcome, Reason};
    use crate::testing::test;
    use crate::usage::Usage;

    #[test]
    fn times_are_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_399, "2000-02-28T23:59:59.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (951_868_800, "2000-03-01T00:00:00.007Z"),
            (1_704_067_199, "2023-12-31T23:59:59.007Z"),
            (1_800_000_000, "2027-01-15T08:00:00.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_millis(seconds * 1000 + 7)), text);
        }
    }

    #[test]
    fn a_line_is_one_json_object() {
        let usage = Usage { input: 3, cached: 1, output: 4, reasoning: 2, audio_input: 0, audio_output: 0 };
        let mut report = Report {
            began: Duration::from_secs(1_800_000_000),
            took: Duration::from_micros(12_900),
            first_token: Some(Duration::from_millis(8)),
            route: Some("ns/r"),
            caller: Some("al\"ice\n"),
            asked: Some("gpt"),
            answered: Some("big"),
            provider: Some("openai"),
            usage: Some(usage),
            estimated: false,
            cost: Some(1_200_000_034),
            outcome: Outcome::Ok,
            status: Some(200),
            attempts: 2,
        };
        assert_eq!(
            report.json(),
            r#"{"time":"2027-01-15T08:00:00.000Z","route":"ns/r","caller":"al\"ice\n","model":"gpt","answered_model":"big","provider":"openai","input_tokens":3,"cached_tokens":1,"output_tokens":4,"reasoning_tokens":2,"estimated":false,"cost":1.200000034,"outcome":"ok","status":200,"attempts":2,"duration_ms":12,"first_token_ms":8}"#
        );
        (report.usage, report.first_token, report.status, report.caller) = (None, None, None, None);
        report.outcome = Outcome::Replied(Reason::InvalidJson);
        let line: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert!(line["input_tokens"].is_null() && line["status"].is_null() && line["caller"].is_null());
        assert_eq!(line["outcome"], "invalid_json");
    }
}
