use std::time::Duration;

use super::{Ledger, MOST_KEPT, Spare, ask, is_hosts};
use crate::event::{Effect, Said};
use crate::headers::Headers;
use crate::path::{Call, Operation};
use crate::testing::{gateway, test};

const HERE: &str = r#"{"routes": [{"name": "r", "target": {"provider": "openai", "credential": {"env": "KEY"}},
    "failover": {"backups": [{"cluster": "m", "target": {"provider": "mistral", "model": "small", "credential": "none"}}]}}]}"#;
const HOST: &str = r#"{"routes": [{"name": "r", "backends": [{"cluster": "a", "provider": "openai"}, {"cluster": "b", "provider": "openai"}],
    "failover": {}}]}"#;

/// The call to the second of two, as lines.
fn asked(policy: &str, lines: &[(&str, &str)]) -> String {
    let policy = gateway(policy);
    let headers = Headers::new(lines.iter().map(|(name, value)| (*name, value.as_bytes())).collect());
    let changes = [
        Effect::RemoveRequestHeader("x-token".into()),
        Effect::SetRequestHeader("x-team".into(), "dev".into()),
    ];
    let mut spare = Spare::of(&headers, &changes);
    spare.keep(br#"{"model":"big","n":1}"#.to_vec(), &Ledger::default());
    let call = Call { operation: Operation::ChatCompletions, path: "/v1/chat/completions".into() };
    let call = ask(&policy.routes[0].backends[1], &call, &spare, Duration::from_secs(1)).unwrap();
    let headers: String = call.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    format!("{}\n{headers}{}", call.cluster, String::from_utf8(call.body).unwrap())
}

const CLIENT: [(&str, &str); 9] = [
    (":method", "POST"),
    (":path", "/openai"),
    (":authority", "gw"),
    (":scheme", "https"),
    ("content-length", "9"),
    ("authorization", "Bearer alice"),
    ("x-token", "t"),
    ("x-turnpike-path", "forged"),
    ("openai-organization", "org"),
];

#[test]
fn a_target_of_the_module_s_own_gets_its_host_path_model_and_key() {
    assert_eq!(
        asked(HERE, &CLIENT),
        "m\n:method: POST\n:scheme: https\nopenai-organization: org\nx-team: dev\n:path: /v1/chat/completions\n\
         :authority: api.mistral.ai\ncontent-type: application/json\n{\"model\":\"small\",\"n\":1}"
    );
}

#[test]
fn where_the_module_is_among_the_cluster_s_filters_it_is_told_the_path() {
    let call = asked(HOST, &CLIENT);
    assert!(call.contains("\nx-turnpike-path: /v1/chat/completions\n"), "{call}");
    assert!(!call.contains("forged") && !call.contains("x-token"), "{call}");
    assert!(call.ends_with(r#"{"model":"big","n":1}"#), "{call}");
}

#[test]
fn what_is_kept_has_a_bound_and_is_given_back() {
    let (ledger, headers) = (Ledger::default(), Headers::default());
    let mut spares = [Spare::of(&headers, &[]), Spare::of(&headers, &[])];
    spares[0].keep(vec![0; MOST_KEPT], &ledger);
    spares[1].keep(vec![0; 1], &ledger);
    assert!(spares[0].is_whole() && !spares[1].is_whole());
    spares[0].body = None;
    spares[1].keep(vec![0; 1], &ledger);
    assert!(spares[1].is_whole());
}

#[test]
fn the_host_s_words_are_told_from_a_provider_s() {
    let hosts = |status: u16, kind: &str, body: &str| {
        let headers = Headers::new(vec![("content-type", kind.as_bytes())]);
        is_hosts(&Said { status, headers: &headers, body: body.as_bytes() })
    };
    assert!(hosts(503, "text/plain", "upstream connect error or disconnect/reset before headers"));
    assert!(hosts(503, "text/plain", "no healthy upstream"));
    assert!(hosts(504, "text/plain", "upstream request timeout"));
    assert!(!hosts(503, "application/json", "upstream"));
    assert!(!hosts(503, "text/plain", "we are sorry"));
    assert!(!hosts(500, "text/plain", "upstream x"));
}
