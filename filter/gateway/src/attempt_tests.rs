use super::Attempt;
use crate::event::{Appetite, Event};
use crate::testing::{request, show, target, test};

const PLAIN: &str = r#"{"provider": "openai", "credential": "injected"}"#;
const CHAT: &str = ":method: POST\n:path: /openai\n:authority: h\ncontent-type: application/json\nhandover: /v1/chat/completions";

fn first(config: &str, lines: &str) -> String {
    let mut attempt = Attempt::new(target(config));
    show(&request(lines, |arrival| attempt.on(Event::Request(arrival))))
}

#[test]
fn the_target_s_host_and_the_call_s_path_go_to_the_provider() {
    assert_eq!(first(PLAIN, CHAT), "set :path: /v1/chat/completions\nset :authority: api.openai.com\npass");
}

#[test]
fn a_request_that_passed_no_policy_gets_no_key() {
    let lines = ":method: POST\n:path: /v1/chat/completions\n:authority: h";
    assert!(first(PLAIN, lines).starts_with("reply 500 not_admitted"));
}

#[test]
fn a_call_of_the_module_s_own_says_in_a_header_what_is_asked() {
    let lines = ":method: POST\n:path: /x\n:authority: h\ncontent-type: application/json\nx-turnpike-path: /v1/chat/completions";
    let step = first(PLAIN, lines);
    assert!(step.starts_with("remove x-turnpike-path\nset :path: /v1/chat/completions\n"), "{step}");
}

#[test]
fn nothing_private_goes_to_the_provider() {
    let lines = format!(
        "{CHAT}\nauthorization: Bearer alice\nx-api-key: k\napi-key: k\nx-goog-api-key: k\nproxy-authorization: x\n\
         cookie: a\nforwarded: for=1\nx-forwarded-for: 1.2.3.4\nx-envoy-attempt-count: 1\nx-turnpike-x: 1\n\
         accept-encoding: gzip\nopenai-organization: org\nx-request-id: 1"
    );
    let step = first(PLAIN, &lines);
    let removed: Vec<&str> = step.lines().filter_map(|line| line.strip_prefix("remove ")).collect();
    assert_eq!(
        removed,
        [
            "authorization",
            "x-api-key",
            "api-key",
            "x-goog-api-key",
            "proxy-authorization",
            "cookie",
            "forwarded",
            "x-forwarded-for",
            "x-envoy-attempt-count",
            "x-turnpike-x",
            "accept-encoding"
        ]
    );
}

#[test]
fn a_header_that_stands_twice_is_removed_once() {
    let step = first(PLAIN, &format!("{CHAT}\ncookie: a\ncookie: b"));
    assert_eq!(step.matches("remove cookie").count(), 1, "{step}");
}

#[test]
fn passthrough_sends_the_client_s_own_credential_and_no_other() {
    let config = r#"{"provider": "openai", "credential": "passthrough"}"#;
    let step = first(config, &format!("{CHAT}\nauthorization: Bearer alice\nx-api-key: k"));
    assert!(!step.contains("authorization:") && !step.contains("remove authorization"), "{step}");
    assert!(step.contains("remove x-api-key"));
}

#[test]
fn a_key_of_our_own_replaces_whatever_was_there() {
    let config = r#"{"provider": "mistral", "credential": {"env": "KEY"}}"#;
    let step = first(config, &format!("{CHAT}\nauthorization: Bearer first-target"));
    assert!(step.starts_with("remove authorization\n"), "{step}");
    assert!(step.contains("set :authority: api.mistral.ai\nset authorization: Bearer sk-1\npass"), "{step}");
}

#[test]
fn a_body_without_a_media_type_is_json() {
    let step = first(PLAIN, &CHAT.replace("application/json", "application/x-www-form-urlencoded"));
    assert!(step.contains("set content-type: application/json"), "{step}");
}

#[test]
fn an_api_elsewhere_is_found_elsewhere() {
    let moved = |field: &str| {
        first(&format!(r#"{{"provider":"openai","credential":"none",{field}}}"#), &format!("{CHAT}?a=b"))
    };
    assert!(moved(r#""basePath":"/openai/v1/""#).starts_with("set :path: /openai/v1/chat/completions?a=b\n"));
    assert!(moved(r#""fullPath":"/x""#).starts_with("set :path: /x\n"));
}

#[test]
fn a_target_s_model_replaces_the_one_in_the_body() {
    let mut attempt = Attempt::new(target(r#"{"provider": "openai", "model": "b", "credential": "none"}"#));
    assert!(show(&request(CHAT, |arrival| attempt.on(Event::Request(arrival)))).ends_with("hold"));
    assert_eq!(attempt.appetite(), Appetite::RequestBody);
    assert_eq!(show(&attempt.on(Event::RequestGrew(5))), "hold");
    let step = attempt.on(Event::RequestBody(br#"{"model":"gpt-4o"}"#.to_vec()));
    assert_eq!(show(&step), "edit body, growth -5\npass");
    assert_eq!(attempt.appetite(), Appetite::Nothing);
}
