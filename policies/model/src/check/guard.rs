//! Guards: patterns compiled, defaults filled in.

use std::ops::RangeInclusive;
use std::time::Duration;

use guard::{Purpose, Rule, Rules, What};

use super::Report;
use crate::guard::{
    Guard, HeaderMatch, MaskStyle, Moderation, Patterns, Refusal, RequestGuard, ResponseGuard, Webhook,
};
use crate::written::{self, Builtin};

/// What is said where a policy says nothing, for prompts and for answers.
const MESSAGES: [&str; 2] = [
    "The request was rejected due to inappropriate content",
    "The response was rejected due to inappropriate content",
];
const STATUS: u16 = 403;
const STATUSES: RangeInclusive<u16> = 200..=599;
const MODERATION_MODEL: &str = "omni-moderation-latest";
/// What may be said about how long a match can be, in bytes.
const LENGTHS: RangeInclusive<usize> = 1..=16384;
/// What may be said about waiting, in milliseconds.
const TIMEOUTS: RangeInclusive<u64> = 1..=60_000;
const TIMEOUT: u64 = 5_000;
/// More than one policy needs.
const MAX_PATTERNS: usize = 1000;

impl Report<'_> {
    pub(super) fn guard(&mut self, at: &str, it: written::Guard) -> Guard {
        Guard {
            request: it.request.map(|it| self.request_guard(&format!("{at}.request"), it)),
            response: it.response.map(|it| self.response_guard(&format!("{at}.response"), it)),
        }
    }

    fn request_guard(&mut self, at: &str, it: written::RequestGuard) -> RequestGuard {
        if it.webhook.is_none() && it.patterns.is_none() && it.moderation.is_none() {
            self.refuse(at.to_owned(), "nothing is looked for: expected webhook, patterns or moderation");
        }
        RequestGuard {
            webhook: it.webhook.map(|it| self.webhook(&format!("{at}.webhook"), it)),
            patterns: it
                .patterns
                .and_then(|it| self.patterns(&format!("{at}.patterns"), it, Purpose::Prompts)),
            moderation: it.moderation.map(|it| self.moderation(&format!("{at}.moderation"), it)),
            refusal: self.refusal(at, it.refusal, Purpose::Prompts),
            mode: it.mode,
            scope: it.scope,
            applies_to: it.applies_to,
        }
    }

    fn response_guard(&mut self, at: &str, it: written::ResponseGuard) -> ResponseGuard {
        if it.webhook.is_none() && it.patterns.is_none() {
            self.refuse(at.to_owned(), "nothing is looked for: expected webhook or patterns");
        }
        ResponseGuard {
            webhook: it.webhook.map(|it| self.webhook(&format!("{at}.webhook"), it)),
            patterns: it
                .patterns
                .and_then(|it| self.patterns(&format!("{at}.patterns"), it, Purpose::Answers)),
            refusal: self.refusal(at, it.refusal, Purpose::Answers),
            mode: it.mode,
        }
    }

    fn refusal(&mut self, at: &str, it: written::Refusal, purpose: Purpose) -> Refusal {
        let [prompts, answers] = MESSAGES;
        let usual = if purpose == Purpose::Prompts { prompts } else { answers };
        let status = it.status.unwrap_or(STATUS);
        if !STATUSES.contains(&status) {
            let (low, high) = (STATUSES.start(), STATUSES.end());
            let what = format!("{status} is no status of an answer, expected one from {low} to {high}");
            self.refuse(format!("{at}.refusal.status"), what);
        }
        Refusal { message: it.message.unwrap_or_else(|| usual.into()), status, format: it.format }
    }

    fn patterns(&mut self, at: &str, it: written::Patterns, purpose: Purpose) -> Option<Patterns> {
        let before = self.problems.len();
        if it.matches.is_empty() && it.builtins.is_empty() {
            self.refuse(at.to_owned(), "nothing is looked for: expected matches or builtins");
        }
        if it.matches.len() > MAX_PATTERNS {
            self.refuse(format!("{at}.matches"), format!("there are more than {MAX_PATTERNS} patterns"));
        }
        let custom = it.matches.len();
        let mut rules = Vec::new();
        for (i, written) in it.matches.into_iter().enumerate() {
            if written.max_length.is_some_and(|length| !LENGTHS.contains(&length)) {
                let what = format!("expected {} to {} bytes", LENGTHS.start(), LENGTHS.end());
                self.refuse(format!("{at}.matches[{i}].maxLength"), what);
            }
            let name = written.name.unwrap_or_else(|| format!("pattern-{}", i + 1));
            rules.push(Rule {
                name,
                what: What::Pattern { pattern: written.pattern, longest: written.max_length },
            });
        }
        rules.extend(it.builtins.iter().map(|it| {
            let builtin = recogniser(*it);
            Rule { name: builtin.name().into(), what: What::Builtin(builtin) }
        }));
        let placeholders = (it.mask_style == MaskStyle::Placeholder).then(|| {
            let builtins = it.builtins.iter().map(|it| recogniser(*it).placeholder());
            std::iter::repeat_n("<CUSTOM>", custom).chain(builtins).map(str::to_owned).collect()
        });
        match Rules::compile(rules, purpose) {
            Ok(rules) if self.problems.len() == before => {
                Some(Patterns { rules, placeholders, action: it.action })
            }
            Ok(_) => None,
            Err(problems) => {
                for (i, what) in problems {
                    let what = if what.contains("no longest length") {
                        format!("{what}: say `maxLength`")
                    } else {
                        what
                    };
                    self.refuse(format!("{at}.matches[{i}].pattern"), what);
                }
                None
            }
        }
    }

    fn webhook(&mut self, at: &str, it: written::Webhook) -> Webhook {
        if it.cluster.is_empty() {
            self.refuse(format!("{at}.cluster"), "a webhook needs the name of its cluster");
        }
        let headers = it.forward_headers.into_iter().enumerate();
        let headers = headers.filter_map(|(i, it)| self.header(&format!("{at}.forwardHeaders[{i}]"), it));
        Webhook {
            forward_headers: headers.collect(),
            timeout: self.patience(at, it.timeout_ms),
            cluster: it.cluster,
            host: it.host,
            on_error: it.on_error,
        }
    }

    fn header(&mut self, at: &str, it: written::HeaderMatch) -> Option<HeaderMatch> {
        Some(match it {
            written::HeaderMatch::Exact(it) => HeaderMatch::Exact(it),
            written::HeaderMatch::Prefix(it) => HeaderMatch::Prefix(it),
            written::HeaderMatch::Suffix(it) => HeaderMatch::Suffix(it),
            written::HeaderMatch::Contains(it) => HeaderMatch::Contains(it),
            written::HeaderMatch::Regex(it) => match regex_lite::Regex::new(&format!("^(?:{it})$")) {
                Ok(regex) => HeaderMatch::Regex(regex),
                Err(error) => {
                    self.refuse(format!("{at}.regex"), error.to_string());
                    return None;
                }
            },
        })
    }

    fn moderation(&mut self, at: &str, it: written::Moderation) -> Moderation {
        if it.cluster.is_empty() {
            self.refuse(format!("{at}.cluster"), "moderation needs the name of the provider's cluster");
        }
        Moderation {
            timeout: self.patience(at, it.timeout_ms),
            cluster: it.cluster,
            model: it.model.unwrap_or_else(|| MODERATION_MODEL.into()),
            on_error: it.on_error,
        }
    }

    fn patience(&mut self, at: &str, milliseconds: Option<u64>) -> Duration {
        let milliseconds = milliseconds.unwrap_or(TIMEOUT);
        if !TIMEOUTS.contains(&milliseconds) {
            let what = format!("expected {} to {} milliseconds", TIMEOUTS.start(), TIMEOUTS.end());
            self.refuse(format!("{at}.timeoutMs"), what);
        }
        Duration::from_millis(milliseconds)
    }
}

fn recogniser(it: Builtin) -> guard::Builtin {
    match it {
        Builtin::CreditCard => guard::Builtin::CreditCard,
        Builtin::Ssn => guard::Builtin::Ssn,
        Builtin::Email => guard::Builtin::Email,
        Builtin::PhoneNumber => guard::Builtin::PhoneNumber,
        Builtin::Iban => guard::Builtin::Iban,
        Builtin::IpAddress => guard::Builtin::IpAddress,
        Builtin::ApiKey => guard::Builtin::ApiKey,
    }
}
