use std::rc::Rc;
use std::time::Duration;

use super::Access;
use crate::event::{Appetite, Event, Step};
use crate::exchange::Exchange;
use crate::testing::{NOW, SEED, gateway, local_key, request, show, test, token, token_of};

const CHAT: &str = ":method: POST\n:scheme: http\n:path: /openai\n:authority: h";
const ALICE: &str =
    r#"{"iss":"solo.io","org":"solo.io","sub":"alice","team":"dev","llms":{"openai":["gpt-4o-mini"]}}"#;

/// A gateway with one route; `provider` and `route` are further fields.
fn access(provider: &str, route: &str) -> Rc<Access> {
    let policy = format!(
        r#"{{"jwtProviders": {{"solo": {{"keys": {}, "issuer": "solo.io"{provider}}}}},
            "routes": [{{"name": "openai", "matches": [{{"path": {{"prefix": "/openai"}}}}], "jwt": [{{"providers": ["solo"]}}]{route}}}]}}"#,
        local_key()
    );
    Rc::new(Access::new(gateway(&policy), SEED))
}

fn send(access: &Rc<Access>, lines: &str) -> String {
    show(&arrive(&mut Exchange::new(Rc::clone(access)), lines))
}

fn arrive(exchange: &mut Exchange, lines: &str) -> Step {
    request(lines, |arrival| exchange.on(Event::Request(arrival)))
}

fn bearer(claims: &str) -> String {
    format!("{CHAT}\nauthorization: Bearer {}", token(claims))
}

const PASSES: &str = "hand over /v1/chat/completions\nhold";

#[test]
fn a_good_token_opens_the_way_and_stays_behind() {
    let shown = send(&access("", ""), &bearer(ALICE));
    assert!(shown.starts_with("remove authorization\npublish {\"solo\":{"), "{shown}");
    assert!(shown.ends_with(PASSES), "{shown}");
}

#[test]
fn without_a_token_the_client_is_told_what_to_bring() {
    let access = access("", "");
    let missing = "reply 401 jwt_missing: Jwt is missing [Bearer realm=\"http://h/openai\"]\npass";
    assert!(send(&access, CHAT).ends_with(missing), "{}", send(&access, CHAT));
    assert!(send(&access, &format!("{CHAT}\nauthorization: Basic YTpi")).ends_with(missing));
    let query = CHAT.replace("/openai", &format!("/openai?access_token={}", token(ALICE)));
    assert!(send(&access, &query).contains("Jwt is missing"), "only where the policy names it");
}

#[test]
fn a_bad_token_is_refused_in_envoy_s_words() {
    let access = access("", "");
    let bad = |token: &str| send(&access, &format!("{CHAT}\nauthorization: Bearer {token}"));
    let mut forged = token(ALICE);
    forged.replace_range(forged.len() - 8..forged.len() - 4, "AAAA");
    for (token, says) in [
        ("abc", "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"),
        (&forged, "Jwt verification fails"),
        (&token(&ALICE.replace("\"iss\":\"solo.io\"", "\"iss\":\"else\"")), "Jwt issuer is not configured"),
        (&token(&ALICE.replace("{\"iss\"", "{\"exp\":1000,\"iss\"")), "Jwt is expired"),
        (&token(&ALICE.replace("{\"iss\"", "{\"nbf\":1900000000,\"iss\"")), "Jwt not yet valid"),
        (&token_of("two", ALICE), "Jwks doesn't have key to match kid or alg from Jwt"),
    ] {
        let shown = bad(token);
        assert!(
            shown.contains(&format!(": {says} [Bearer realm=\"http://h/openai\", error=\"invalid_token\"]")),
            "{shown}"
        );
        assert!(shown.contains("reply 401 jwt_"), "{shown}");
    }
}

#[test]
fn a_token_for_somebody_else_is_forbidden_or_unauthorized() {
    let elsewhere = bearer(&ALICE.replace("{\"iss\"", "{\"aud\":[\"b\"],\"iss\""));
    let shown = send(&access(r#", "audiences": ["a"]"#, ""), &elsewhere);
    assert!(
        shown.contains("reply 403 jwt_audience_not_allowed: Audiences in Jwt are not allowed"),
        "{shown}"
    );
    let shown = send(&access(r#", "audiences": ["a"], "wrongAudience": "unauthorized""#, ""), &elsewhere);
    assert!(shown.contains("reply 401 jwt_audience_not_allowed"), "{shown}");
    assert!(send(&access(r#", "audiences": ["a", "b"]"#, ""), &elsewhere).ends_with(PASSES));
}

#[test]
fn a_token_that_never_ends_is_refused_where_the_policy_says_so() {
    let shown = send(&access(r#", "requireExpiry": true"#, ""), &bearer(ALICE));
    assert!(shown.contains("reply 401 jwt_expiry_required"), "{shown}");
    let ends = bearer(&ALICE.replace("{\"iss\"", &format!("{{\"exp\":{},\"iss\"", NOW + 1)));
    assert!(send(&access(r#", "requireExpiry": true"#, ""), &ends).ends_with(PASSES));
}

#[test]
fn a_verified_token_still_expires() {
    let access = access("", "");
    let ends = bearer(&ALICE.replace("{\"iss\"", &format!("{{\"exp\":{NOW},\"iss\"")));
    let at = |seconds: u64| send(&access, &format!("{ends}\nnow: {}", NOW + seconds));
    assert!(at(0).ends_with(PASSES));
    assert!(at(60).ends_with(PASSES), "within what clocks may differ");
    assert!(at(61).contains("Jwt is expired"));
    assert!(at(62).contains("Jwt is expired"));
}

#[test]
fn two_credentials_are_none() {
    let provider = r#", "from": [{"header": {"name": "authorization", "prefix": "Bearer "}}, {"header": {"name": "x-jwt"}}, {"query": "token"}]"#;
    let access = access(provider, "");
    let (good, bad) = (token(ALICE), "a.b.c");
    for lines in [
        format!("{CHAT}\nauthorization: Bearer {good}\nauthorization: Bearer {good}"),
        format!("{CHAT}\nauthorization: Bearer {good}\nauthorization: Bearer {bad}"),
        format!("{CHAT}\nauthorization: Basic YTpi\nauthorization: Bearer {good}"),
        format!("{CHAT}\nauthorization: Bearer {good}\nx-jwt: {bad}"),
        format!("{CHAT}\nx-jwt: {good}").replace("/openai", &format!("/openai?token={good}")),
        CHAT.replace("/openai", &format!("/openai?token={good}&to%6ben={good}")),
    ] {
        let shown = send(&access, &lines);
        assert!(
            shown.contains("reply 400 jwt_ambiguous") && shown.contains("error=\"invalid_request\""),
            "{shown}"
        );
    }
    let shown = send(&access, &CHAT.replace("/openai", &format!("/openai?a=b&to%6ben={good}&c=d")));
    assert!(shown.ends_with("hand over /v1/chat/completions?a=b&c=d\nhold"), "{shown}");
    let shown = send(&access, &format!("{CHAT}\nx-jwt: {good}"));
    assert!(shown.starts_with("remove x-jwt\n") && shown.ends_with(PASSES), "{shown}");
}

#[test]
fn a_token_is_kept_where_the_policy_says_so() {
    let provider = r#", "keepToken": true, "from": [{"header": {"name": "x-jwt"}}, {"query": "token"}]"#;
    let access = access(provider, "");
    let good = token(ALICE);
    assert!(!send(&access, &format!("{CHAT}\nx-jwt: {good}")).contains("remove"));
    let shown = send(&access, &CHAT.replace("/openai", &format!("/openai?token={good}")));
    assert!(shown.ends_with(&format!("completions?token={good}\nhold")), "{shown}");
}

#[test]
fn claims_become_headers_and_nobody_else_can_set_them() {
    let provider = r#", "claimsToHeaders": [
        {"claim": "team", "header": "X-Team"}, {"claim": "sub", "header": "x-who", "append": true}, {"claim": "org", "header": "x-who", "append": true},
        {"claim": ["llms", "openai"], "header": "x-models"}, {"claim": "none", "header": "x-none"}]"#;
    let access = access(provider, "");
    let shown = send(&access, &format!("{}\nx_team: admin\nx-none: me\nx-turnpike_path: /", bearer(ALICE)));
    assert!(
        shown.starts_with(
            "remove x_team\nremove x-none\nremove x-turnpike_path\nremove authorization\n\
             set x-team: dev\nset x-who: alice,solo.io\nset x-models: WyJncHQtNG8tbWluaSJd\npublish "
        ),
        "{shown}"
    );
    let odd = ALICE.replace("\"dev\"", "\"dev\\r\\nx-admin: yes\"");
    assert!(!send(&access, &bearer(&odd)).contains("x-team"), "what would break the header is no value");
}

#[test]
fn a_policy_may_let_people_pass_as_nobody() {
    let with = |validation: &str| {
        let policy = format!(
            r#"{{"jwtProviders": {{"solo": {{"keys": {}}}}}, "routes": [{{"name": "r", "matches": [{{"path": {{"prefix": "/openai"}}}}], "jwt": [{{"providers": ["solo"], "validation": "{validation}"}}]}}]}}"#,
            local_key()
        );
        Rc::new(Access::new(gateway(&policy), SEED))
    };
    let bad = format!("{CHAT}\nauthorization: Bearer x");
    assert!(send(&with("allowMissing"), CHAT).ends_with("hold"));
    assert!(send(&with("allowMissing"), &bad).contains("reply 401"));
    assert!(send(&with("allowMissingOrFailed"), &bad).ends_with("hold"));
    assert!(send(&with("requireValid"), CHAT).contains("reply 401"));
}

#[test]
fn any_provider_of_a_rule_will_do() {
    let policy = format!(
        r#"{{"jwtProviders": {{"a": {{"keys": {key}, "issuer": "a"}}, "b": {{"keys": {key}, "issuer": "b", "audiences": ["x"]}}}},
            "routes": [{{"name": "r", "jwt": [{{"providers": ["a", "b"]}}]}}]}}"#,
        key = local_key()
    );
    let access = Rc::new(Access::new(gateway(&policy), SEED));
    assert!(send(&access, &bearer(r#"{"iss":"a"}"#)).contains(r#"publish {"a":{"iss":"a"}}"#));
    assert!(send(&access, &bearer(r#"{"iss":"b","aud":"x"}"#)).contains(r#"publish {"b":"#));
    assert!(send(&access, &bearer(r#"{"iss":"b","aud":"y"}"#)).contains("Audiences in Jwt are not allowed"));
    assert!(send(&access, &bearer(r#"{"iss":"c"}"#)).contains("Jwt issuer is not configured"));
}

const REMOTE: &str = r#"{"jwtProviders": {"far": {"keys": {"remote": {"cluster": "c", "host": "keys.example.com", "path": "/jwks"}}}},
    "routes": [{"name": "r", "matches": [{"path": {"prefix": "/openai"}}], "jwt": [{"providers": ["far"]}]}]}"#;

fn far() -> Rc<Access> {
    Rc::new(Access::new(gateway(REMOTE), SEED))
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(NOW + seconds)
}

fn wake(exchange: &mut Exchange, seconds: u64, lines: &str) -> String {
    let lines = format!("{lines}\nnow: {}", NOW + seconds);
    show(&request(&lines, |arrival| exchange.on(Event::Woken(arrival))))
}

#[test]
fn a_request_that_comes_before_the_keys_waits_for_them() {
    let access = far();
    assert!(access.fetches());
    let fetch = access.due(at(0)).pop().unwrap();
    assert_eq!(
        (fetch.cluster.as_str(), fetch.host.as_str(), fetch.path.as_str()),
        ("c", "keys.example.com", "/jwks")
    );
    assert_eq!(access.due(at(0)), []);
    let mut exchange = Exchange::new(Rc::clone(&access));
    assert_eq!(show(&arrive(&mut exchange, &bearer(ALICE))), "hold");
    assert_eq!(exchange.appetite(), Appetite::Keys { until: at(5) });
    assert_eq!(wake(&mut exchange, 1, &bearer(ALICE)), "hold");
    access.fetched(0, at(2), Ok(crate::testing::KEY));
    assert!(wake(&mut exchange, 2, &bearer(ALICE)).ends_with(PASSES));
    assert_eq!(exchange.appetite(), Appetite::RequestBody);
}

#[test]
fn keys_that_have_not_come_keep_nobody_waiting_whom_another_provider_believes() {
    let policy = format!(
        r#"{{"jwtProviders": {{"a": {{"keys": {{"remote": {{"cluster": "c", "host": "h", "path": "/"}}}}}}, "b": {{"keys": {}}}}},
            "routes": [{{"name": "r", "jwt": [{{"providers": ["a", "b"]}}]}}]}}"#,
        local_key()
    );
    let access = Rc::new(Access::new(gateway(&policy), SEED));
    assert!(send(&access, &bearer(ALICE)).contains(r#"publish {"b":"#));
    let stranger = format!("{CHAT}\nauthorization: Bearer {}", token_of("two", ALICE));
    assert_eq!(send(&access, &stranger), "hold", "the other one's keys may still be the right ones");
}

#[test]
fn keys_are_not_waited_for_for_ever() {
    let access = far();
    access.due(at(0));
    let mut exchange = Exchange::new(Rc::clone(&access));
    arrive(&mut exchange, &bearer(ALICE));
    let (_, line) = access.fetched(0, at(1), Err("the answer has status 500")).unwrap();
    assert_eq!(
        line,
        "JWT provider far: its keys did not come from c: the answer has status 500; and there are none yet, so its tokens cannot be checked"
    );
    assert_eq!(access.due(at(1)), [], "not at once");
    assert_eq!(access.due(at(2)).len(), 1, "but soon");
    let shown = wake(&mut exchange, 5, &bearer(ALICE));
    assert!(shown.contains("reply 503 jwks_unavailable: Jwks remote fetch is failed"), "{shown}");
}

#[test]
fn an_unknown_key_is_asked_for_once_a_cool_down() {
    let access = far();
    access.due(at(0));
    access.fetched(0, at(0), Ok(crate::testing::KEY));
    let rotated = format!("{CHAT}\nauthorization: Bearer {}", token_of("two", ALICE));
    let mut exchange = Exchange::new(Rc::clone(&access));
    assert_eq!(show(&arrive(&mut exchange, &rotated)), "hold");
    assert_eq!(access.due(at(1)).len(), 1);
    access.fetched(0, at(1), Ok(&crate::testing::KEY.replace("one", "two")));
    assert!(wake(&mut exchange, 1, &rotated).ends_with(PASSES), "rotation loses no request");
    let old = send(&access, &format!("{}\nnow: {}", bearer(ALICE), NOW + 2));
    assert!(old.contains("Jwks doesn't have key"), "the second miss of this cool-down: {old}");
    assert_eq!(access.due(at(3)), []);
    assert!(send(&access, &format!("{}\nnow: {}", bearer(ALICE), NOW + 12)).ends_with("hold"));
    assert_eq!(access.due(at(12)).len(), 1);
}

#[test]
fn keys_are_fetched_again_on_time_and_kept_when_that_fails() {
    let access = far();
    access.due(at(0));
    access.fetched(0, at(0), Ok(crate::testing::KEY));
    assert_eq!(access.due(at(299)), []);
    assert_eq!(access.due(at(300)).len(), 1);
    let (_, line) = access.fetched(0, at(301), Ok("{}")).unwrap();
    assert!(line.ends_with("the old ones go on"), "{line}");
    assert!(send(&access, &bearer(ALICE)).ends_with(PASSES));
    assert_eq!(access.due(at(311)).len(), 1);
    assert_eq!(access.fetched(0, at(311), Ok(crate::testing::KEY)), None, "nothing new");
}

#[test]
fn a_key_that_is_withdrawn_no_longer_opens_for_tokens_it_has_opened_for() {
    let access = far();
    access.due(at(0));
    access.fetched(0, at(0), Ok(crate::testing::KEY));
    assert!(send(&access, &bearer(ALICE)).ends_with(PASSES));
    access.due(at(300));
    access.fetched(0, at(300), Ok(&crate::testing::KEY.replace("one", "two")));
    let mut exchange = Exchange::new(Rc::clone(&access));
    arrive(&mut exchange, &format!("{}\nnow: {}", bearer(ALICE), NOW + 301));
    access.due(at(301));
    access.fetched(0, at(301), Ok(&crate::testing::KEY.replace("one", "two")));
    assert!(wake(&mut exchange, 301, &bearer(ALICE)).contains("reply 401 jwt_key_unknown"));
}

#[test]
fn a_request_that_waits_for_keys_can_be_given_up_by_the_host() {
    let access = far();
    let mut exchange = Exchange::new(Rc::clone(&access));
    arrive(&mut exchange, &bearer(ALICE));
    let grown = exchange.on(Event::RequestGrew(9 << 20));
    assert!(show(&grown).contains("reply 413 body_too_large"));
    let mut exchange = Exchange::new(access);
    arrive(&mut exchange, &bearer(ALICE));
    let gone = crate::testing::answer(":status: 408\nlocal: stream_idle_timeout", |event| exchange.on(event));
    assert!(show(&gone).contains("reply 408 request_timeout"));
}
