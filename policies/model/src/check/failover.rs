//! Who is asked when a model fails.

use std::collections::HashSet;
use std::time::Duration;

use super::Report;
use crate::failover::{Backend, Cooldown, Failover, Triggers};
use crate::{Attempt, Credential, written};

/// Statuses that say something of the request and nothing of the model: another one would say the same.
const NEVER: [u16; 4] = [400, 401, 403, 404];

/// What may be said about waiting for a whole answer, in milliseconds, and what holds where nothing is said.
const TIMEOUTS: std::ops::RangeInclusive<u64> = 1..=3_600_000;
const TIMEOUT: u64 = 120_000;

/// Cooldown where nothing is said: failures, and times in milliseconds.
const FAILURES: u32 = 3;
const TIME: u64 = 30_000;
const MAX_RETRY_AFTER: u64 = 300_000;

/// The longest that a model is left alone for, in milliseconds: a day.
const MAX_COOLDOWN: u64 = 86_400_000;

impl Report<'_> {
    /// Who can be asked: the clusters of the route, or its own target and those that the module asks itself.
    pub(super) fn backends(
        &mut self,
        at: &str,
        written: Vec<written::Backend>,
        attempt: &Attempt,
        backups: Vec<written::Backup>,
    ) -> Vec<Backend> {
        let Attempt::Here(own) = attempt else {
            if !backups.is_empty() {
                let what = "without `target` the host makes the attempts: its clusters go into `backends`";
                self.refuse(format!("{at}.failover.backups"), what);
            }
            return self.clusters(at, written);
        };
        if !written.is_empty() {
            let what = "with `target` the module makes the attempts: who comes after it goes into `failover.backups`";
            self.refuse(format!("{at}.backends"), what);
        }
        let own = Backend {
            cluster: String::new(),
            provider: own.provider,
            model: own.model.clone(),
            weight: 1,
            priority: 0,
            passthrough: matches!(own.credential, Credential::Passthrough),
            target: None,
        };
        let backups = backups.into_iter().enumerate().map(|(i, it)| {
            let at = format!("{at}.failover.backups[{i}]");
            self.named(&at, &it.cluster);
            let target = self.target(&format!("{at}.target"), it.target);
            Backend {
                cluster: it.cluster,
                provider: target.provider,
                model: target.model.clone(),
                weight: 1,
                priority: u32::try_from(i).unwrap_or(u32::MAX).saturating_add(1),
                passthrough: matches!(target.credential, Credential::Passthrough),
                target: Some(target),
            }
        });
        std::iter::once(own).chain(backups.collect::<Vec<_>>()).collect()
    }

    fn clusters(&mut self, at: &str, written: Vec<written::Backend>) -> Vec<Backend> {
        let mut names = HashSet::new();
        let backend = |(i, it): (usize, written::Backend)| {
            let at = format!("{at}.backends[{i}]");
            self.named(&at, &it.cluster);
            if it.cluster.contains([',', '\n']) {
                self.refuse(format!("{at}.cluster"), "a name with a comma or a line end cannot be handed on");
            }
            if !names.insert(it.cluster.clone()) {
                self.refuse(format!("{at}.cluster"), format!("there are two backends `{}`", it.cluster));
            }
            if it.weight == 0 {
                self.refuse(format!("{at}.weight"), "a backend without a share is never asked: leave it out");
            }
            Backend {
                cluster: it.cluster,
                provider: it.provider,
                model: it.model,
                weight: it.weight,
                priority: it.priority,
                passthrough: it.passthrough,
                target: None,
            }
        };
        written.into_iter().enumerate().map(backend).collect()
    }

    fn named(&mut self, at: &str, cluster: &str) {
        if cluster.is_empty() {
            self.refuse(format!("{at}.cluster"), "a backend needs the host's name for its cluster");
        }
    }

    pub(super) fn failover(&mut self, at: &str, it: written::Failover) -> Failover {
        for (i, status) in it.on.statuses.iter().enumerate() {
            let at = format!("{at}.on.statuses[{i}]");
            if NEVER.contains(status) {
                let what =
                    format!("{status} is about the request, and no other model would say anything else");
                self.refuse(at, what);
            } else if !(400..600).contains(status) {
                self.refuse(at, format!("{status} is no failure, expected one of 402 to 599"));
            }
        }
        let counted = |this: &mut Self, field: &str, number: Option<u32>| match number {
            Some(0) => {
                this.refuse(format!("{at}.{field}"), "expected at least 1");
                1
            }
            Some(number) => usize::try_from(number).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        let timeout = it.timeout_ms.unwrap_or(TIMEOUT);
        if !TIMEOUTS.contains(&timeout) {
            let what = format!("expected {} to {} milliseconds", TIMEOUTS.start(), TIMEOUTS.end());
            self.refuse(format!("{at}.timeoutMs"), what);
        }
        Failover {
            attempts: counted(self, "attempts", it.attempts),
            attempts_per_priority: counted(self, "attemptsPerPriority", it.attempts_per_priority),
            on: Triggers {
                statuses: it.on.statuses,
                server_errors: it.on.server_errors,
                no_answer: it.on.no_answer,
            },
            cooldown: it.cooldown.map(|it| self.cooldown(&format!("{at}.cooldown"), &it)),
            ignore_model_claim: it.ignore_model_claim,
            timeout: Duration::from_millis(timeout),
        }
    }

    fn cooldown(&mut self, at: &str, it: &written::Cooldown) -> Cooldown {
        if it.failures == Some(0) {
            self.refuse(format!("{at}.failures"), "expected at least 1");
        }
        let mut time = |field: &str, given: Option<u64>, otherwise| {
            let given = given.unwrap_or(otherwise);
            if given > MAX_COOLDOWN {
                self.refuse(format!("{at}.{field}"), "a day, 86400000 milliseconds, is the longest time");
            }
            Duration::from_millis(given.min(MAX_COOLDOWN))
        };
        Cooldown {
            time: time("timeMs", it.time_ms, TIME),
            max_retry_after: time("maxRetryAfterMs", it.max_retry_after_ms, MAX_RETRY_AFTER),
            failures: it.failures.unwrap_or(FAILURES),
        }
    }
}
