//! What is remembered of a model that has failed. It is a record of facts; for how long a model is left alone because of
//! them, the policy of each route says.
//!
//! All workers of a host share the records (the host's shared data), so that one worker's failure spares the others theirs.

use std::fmt;
use std::time::Duration;

use policy::failover::Cooldown;

use crate::headers::Headers;

/// What is remembered of a model. Nothing is known of one that works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Failures since its last answer.
    failures: u32,
    /// When the last of them was, in milliseconds since the Unix epoch.
    last: u64,
    /// Until when it has asked to be left alone, in milliseconds since the Unix epoch.
    until: u64,
}

/// What an attempt has taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lesson {
    /// The model works.
    Worked,
    /// It does not.
    Failed {
        /// When that was seen, since the Unix epoch.
        now: Duration,
        /// For how long it has asked to be left alone.
        wait: Option<Duration>,
    },
}

/// Looks up what is remembered of a cluster.
#[derive(Clone, Copy)]
pub struct Recall<'a>(pub &'a dyn Fn(&str) -> Option<Trouble>);

impl fmt::Debug for Recall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recall")
    }
}

impl Trouble {
    /// Under which key the host shares the record of a cluster.
    pub fn key(cluster: &str) -> String {
        format!("turnpike.trouble.{cluster}")
    }

    /// Reads a record. Nothing is known where it is none.
    pub fn read(bytes: &[u8]) -> Option<Trouble> {
        let (failures, times) = bytes.split_first_chunk::<4>()?;
        let (last, until) = times.split_first_chunk::<8>()?;
        let until: &[u8; 8] = until.try_into().ok()?;
        Some(Trouble {
            failures: u32::from_le_bytes(*failures),
            last: u64::from_le_bytes(*last),
            until: u64::from_le_bytes(*until),
        })
    }

    /// The record as bytes; none where nothing is worth remembering.
    pub fn bytes(&self) -> Vec<u8> {
        if *self == Trouble::default() {
            return Vec::new();
        }
        let Trouble { failures, last, until } = self;
        [failures.to_le_bytes().as_slice(), &last.to_le_bytes(), &until.to_le_bytes()].concat()
    }

    /// The record after something more has been learnt.
    pub fn after(self, lesson: Lesson) -> Trouble {
        match lesson {
            Lesson::Worked => Trouble::default(),
            Lesson::Failed { now, wait } => {
                let now = milliseconds(now);
                let asked = wait.map_or(0, |wait| now.saturating_add(milliseconds(wait)));
                Trouble {
                    failures: self.failures.saturating_add(1),
                    last: now.max(self.last),
                    until: asked.max(self.until),
                }
            }
        }
    }

    /// Until when the model is left alone, by what a policy says; a time that has passed where it is not.
    pub fn cools_until(&self, cooldown: &Cooldown) -> Duration {
        let by_failures = if self.failures >= cooldown.failures {
            self.last.saturating_add(milliseconds(cooldown.time))
        } else {
            0
        };
        // What a model asks for is bounded by what the policy believes.
        let asked = self.until.min(self.last.saturating_add(milliseconds(cooldown.max_retry_after)));
        Duration::from_millis(by_failures.max(asked))
    }
}

/// For how long an answer asks to be left alone: `retry-after-ms`, or `retry-after` in seconds or as a date (RFC 9110
/// section 10.2.3).
pub fn retry_after(headers: &Headers<'_>, now: Duration) -> Option<Duration> {
    let text = |name| headers.get(name).map(str::trim);
    if let Some(milliseconds) = text("retry-after-ms").and_then(|it| it.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(milliseconds / 1000.0).ok();
    }
    let text = text("retry-after")?;
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(date.saturating_sub(now))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "trouble_tests.rs"]
mod tests;
