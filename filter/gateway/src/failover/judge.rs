//! Which answers are failures, and which of them lead on.

use policy::failover::{NoAnswer, Triggers};

use crate::event::Answer;

/// Who made the attempts so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The host, in so much time as the route gives all of them.
    Host,
    /// The module: what the host gives to one it gives to this one only.
    Module,
}

/// Whether an answer leads to the next model.
pub fn fails(on: &Triggers, answer: &Answer<'_>, by: By) -> bool {
    match answer.local {
        None => on.takes(answer.status()),
        Some(details) => leads_on(on.no_answer, details, by),
    }
}

/// Whether an answer of the host's own does. What it says are Envoy's response code details (H9).
fn leads_on(no_answer: NoAnswer, details: &str, by: By) -> bool {
    let is = |what: &str| details.starts_with(what);
    let connect = is_hopeless(details) || is("upstream_reset") && details.contains("connect");
    let none = is("upstream_reset") || is("upstream_per_try_timeout");
    match no_answer {
        NoAnswer::Never => false,
        NoAnswer::Connect => connect,
        NoAnswer::Any => connect || none || (by == By::Module && is("response_timeout")),
    }
}

/// Whether nobody was there to be asked, of which no filter of the cluster has heard.
pub fn is_hopeless(details: &str) -> bool {
    details.starts_with("no_healthy_upstream") || details.starts_with("cluster_not_found")
}

#[cfg(test)]
mod tests {
    use policy::failover::{NoAnswer, Triggers};

    use super::{By, fails};
    use crate::testing::{read_answer, test};

    fn leads_on(no_answer: NoAnswer, lines: &str) -> bool {
        let on = Triggers { statuses: vec![429, 503], server_errors: false, no_answer };
        read_answer(lines, |answer| fails(&on, answer, By::Host))
    }

    #[test]
    fn a_provider_s_status_is_looked_up() {
        assert!(leads_on(NoAnswer::Never, ":status: 429"));
        assert!(!leads_on(NoAnswer::Any, ":status: 500"));
        assert!(!leads_on(NoAnswer::Any, ":status: 200"));
    }

    #[test]
    fn the_host_s_own_answers_say_why_there_is_none() {
        let of = |details: &str| {
            let lines = format!(":status: 503\nlocal: {details}");
            [NoAnswer::Never, NoAnswer::Connect, NoAnswer::Any].map(|it| leads_on(it, &lines))
        };
        assert_eq!(of("no_healthy_upstream"), [false, true, true]);
        assert_eq!(of("cluster_not_found"), [false, true, true]);
        let refused =
            "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error}";
        assert_eq!(of(refused), [false, true, true]);
        assert_eq!(of("upstream_reset_before_response_started{protocol_error}"), [false, false, true]);
        assert_eq!(of("upstream_per_try_timeout"), [false, false, true]);
        // The time for all attempts is over.
        assert_eq!(of("response_timeout"), [false; 3]);
        assert_eq!(of("request_payload_too_large"), [false; 3]);
    }
}
