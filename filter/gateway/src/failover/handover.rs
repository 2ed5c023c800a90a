//! What the module in the listener's filter chain tells the one in the cluster's, as a text: a line for the path, one for
//! the clusters of the request's chain, one for the failures that lead on, one that says whether anything is remembered, one
//! that says whether a stream is to report its usage, and one that says whose credential the request carries. Lines at the end
//! that say nothing are left out.

use policy::failover::{NoAnswer, Triggers};

/// What is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// Path and query that are asked of the provider.
    pub path: String,
    /// Who is asked, in order. Empty where the host's own routing decides.
    pub chain: Vec<String>,
    /// Which failures lead to the next of the chain.
    pub on: Triggers,
    /// Whether failures are remembered.
    pub remembers: bool,
    /// Whether a stream is to report its usage, which it would not do by itself.
    pub reports: bool,
    /// Whether every one of the chain is shown the client's own credential, so that none has been put in its place.
    pub own_key: bool,
}

impl Handover {
    /// Of a request that has no chain.
    pub fn plain(path: &str) -> Handover {
        let on = Triggers { statuses: Vec::new(), server_errors: false, no_answer: NoAnswer::Never };
        Handover {
            path: path.to_owned(),
            chain: Vec::new(),
            on,
            remembers: false,
            reports: false,
            own_key: false,
        }
    }

    /// The text.
    pub fn text(&self) -> String {
        let mut on: Vec<String> = self.on.statuses.iter().map(u16::to_string).collect();
        on.extend(self.on.server_errors.then(|| "5xx".to_owned()));
        let remembers = if self.remembers { "remember" } else { "" };
        let reports = if self.reports { "report" } else { "" };
        let own_key = if self.own_key { "own" } else { "" };
        let text = [&self.path, &self.chain.join(","), &on.join(","), remembers, reports, own_key].join("\n");
        text.trim_end_matches('\n').to_owned()
    }

    /// Reads the text.
    pub fn read(text: &str) -> Handover {
        let mut lines = text.split('\n');
        let mut line = || lines.next().unwrap_or_default();
        let mut it = Handover::plain(line());
        it.chain = line().split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        for word in line().split(',') {
            match word.parse() {
                Ok(status) => it.on.statuses.push(status),
                Err(_) => it.on.server_errors |= word == "5xx",
            }
        }
        it.remembers = line() == "remember";
        it.reports = line() == "report";
        it.own_key = line() == "own";
        it
    }
}

#[cfg(test)]
mod tests {
    use policy::failover::{NoAnswer, Triggers};

    use super::Handover;
    use crate::testing::test;

    #[test]
    fn what_is_handed_over_is_what_arrives() {
        let plain = Handover::plain("/v1/chat/completions?a=b,c");
        assert_eq!(plain.text(), "/v1/chat/completions?a=b,c");
        assert_eq!(Handover::read(&plain.text()), plain);
        let on = Triggers { statuses: vec![429, 503], server_errors: true, no_answer: NoAnswer::Never };
        let chain = vec!["ns/a".to_owned(), "ns/b".to_owned()];
        let reports = Handover { reports: true, ..plain.clone() };
        assert_eq!(Handover::read(&reports.text()), reports);
        let own = Handover { own_key: true, ..plain.clone() };
        assert_eq!(Handover::read(&own.text()), own);
        let whole = Handover { chain, on, remembers: true, ..plain };
        assert_eq!(whole.text(), "/v1/chat/completions?a=b,c\nns/a,ns/b\n429,503,5xx\nremember");
        assert_eq!(Handover::read(&whole.text()), whole);
    }
}
