use std::rc::Rc;

use super::Access;
use crate::event::Event;
use crate::exchange::Exchange;
use crate::testing::{SEED, gateway, local_key, request, show, test, token};

const ALICE: &str = r#"{"iss":"solo.io","sub":"alice","team":"dev","admin":true,"llms":{"openai":["gpt-4o-mini","org/small"]}}"#;

/// A gateway with one route of these RBAC policies.
fn access(policies: &str) -> Rc<Access> {
    let policy = format!(
        r#"{{"jwtProviders": {{"solo": {{"keys": {key}, "issuer": "solo.io"}}, "other": {{"keys": {key}, "issuer": "other"}}}},
            "routes": [{{"name": "openai", "matches": [{{"path": {{"prefix": "/openai"}}}}],
                "jwt": [{{"providers": ["solo", "other"], "validation": "allowMissing"}}], "rbac": {{"policies": [{policies}]}}}}]}}"#,
        key = local_key()
    );
    Rc::new(Access::new(gateway(&policy), SEED))
}

/// One policy of this name for callers of these claims, and further fields.
fn viewer(claims: &str, more: &str) -> String {
    format!(r#"{{"name": "viewer", "principals": [{{"claims": [{claims}]}}]{more}}}"#)
}

fn says(access: &Rc<Access>, request_line: &str, claims: &str) -> String {
    let (method, path) = request_line.split_once(' ').unwrap();
    let lines = format!(
        ":method: {method}\n:path: {path}\n:authority: h\nauthorization: Bearer {}\nend: true",
        token(claims)
    );
    let shown =
        show(&request(&lines, |arrival| Exchange::new(Rc::clone(access)).on(Event::Request(arrival))));
    match shown.split_once("reply ") {
        Some((_, reply)) => reply.lines().next().unwrap().to_owned(),
        None => "passes".into(),
    }
}

const DENIED: &str = "403 rbac_access_denied: RBAC: access denied";
const LIST: &str = "GET /openai/v1/models";

#[test]
fn claims_are_compared_as_the_policy_says() {
    for (rule, passes) in [
        (r#"{"claim": "team", "must": {"equal": "dev"}}"#, true),
        (r#"{"claim": "team", "must": {"equal": "de"}}"#, false),
        (r#"{"claim": "admin", "must": {"be": true}}"#, true),
        (r#"{"claim": "admin", "must": {"be": false}}"#, false),
        (r#"{"claim": "admin", "must": {"equal": "true"}}"#, false),
        (r#"{"claim": ["llms", "openai"], "must": {"contain": "gpt-4o-mini"}}"#, true),
        (r#"{"claim": ["llms", "openai"], "must": {"contain": "gpt-4o"}}"#, false),
        (r#"{"claim": ["llms", "mistralai"], "must": {"contain": "gpt-4o-mini"}}"#, false),
        (r#"{"claim": "llms.openai", "must": {"contain": "gpt-4o-mini"}}"#, false),
        (r#"{"claim": "team", "must": {"contain": "dev"}}"#, false),
        (r#"{"claim": "team", "must": {"match": "d.*"}}"#, true),
        (r#"{"claim": "team", "must": {"match": "d"}}"#, false),
        (r#"{"claim": "team", "must": {"match": "ops|dev"}}"#, true),
        (r#"{"claim": "nothing", "must": {"match": ".*"}}"#, false),
        (r#"{"claim": "team", "must": {"equal": "dev"}}, {"claim": "sub", "must": {"equal": "bob"}}"#, false),
        (
            r#"{"claim": "team", "must": {"equal": "dev"}}, {"claim": "sub", "must": {"equal": "alice"}}"#,
            true,
        ),
    ] {
        let expected = if passes { "passes" } else { DENIED };
        assert_eq!(says(&access(&viewer(rule, "")), LIST, ALICE), expected, "{rule}");
    }
}

#[test]
fn without_a_policy_nobody_passes_and_without_a_token_nobody_is_anybody() {
    assert_eq!(says(&access(""), LIST, ALICE), DENIED);
    let open = access(&viewer("", ""));
    assert_eq!(says(&open, LIST, ALICE), "passes");
    let lines = ":method: GET\n:path: /openai/v1/models\n:authority: h\nend: true";
    let shown = show(&request(lines, |arrival| Exchange::new(open).on(Event::Request(arrival))));
    assert!(shown.contains(DENIED), "{shown}");
}

#[test]
fn any_policy_and_any_principal_will_do() {
    let team = |team: &str| format!(r#"{{"claims": [{{"claim": "team", "must": {{"equal": "{team}"}}}}]}}"#);
    let one = format!(r#"{{"name": "one", "principals": [{}, {}]}}"#, team("ops"), team("dev"));
    assert_eq!(says(&access(&one), LIST, ALICE), "passes");
    let two = format!(
        r#"{{"name": "one", "principals": [{}]}}, {{"name": "two", "principals": [{}]}}"#,
        team("ops"),
        team("dev")
    );
    assert_eq!(says(&access(&two), LIST, ALICE), "passes");
    let provider = r#"{"name": "p", "principals": [{"provider": "other"}]}"#;
    assert_eq!(says(&access(provider), LIST, ALICE), DENIED);
    assert_eq!(says(&access(provider), LIST, r#"{"iss":"other"}"#), "passes");
}

#[test]
fn a_policy_may_be_for_some_paths_and_methods() {
    let below = access(&viewer("", r#", "pathPrefix": "/openai/v1/models", "methods": ["get"]"#));
    assert_eq!(says(&below, LIST, ALICE), "passes");
    assert_eq!(says(&below, "POST /openai/v1/models", ALICE), DENIED);
    assert_eq!(says(&below, "GET /openai/v1/files", ALICE), DENIED);
    for path in
        ["/openai/v1/models/../files", "/openai/v1/models/%2e%2e/files", "/openai/v1/models%2f..%2ffiles"]
    {
        assert_eq!(says(&below, &format!("GET {path}"), ALICE), DENIED, "{path}");
    }
}

#[test]
fn the_log_knows_what_would_have_been_let_through_and_the_answer_does_not() {
    let access = access(&viewer(r#"{"claim": "team", "must": {"equal": "ops"}}"#, ""));
    let lines = format!(
        ":method: GET\n:path: /openai/v1/models\n:authority: h\nauthorization: Bearer {}",
        token(ALICE)
    );
    let shown = show(&request(&lines, |arrival| Exchange::new(access).on(Event::Request(arrival))));
    assert_eq!(
        shown,
        format!(
            "log Info route openai: 403 rbac_access_denied at stage Authorize: policy viewer asks for `team` to be `ops`\nreply {DENIED}\npass"
        )
    );
}

fn restricted() -> Rc<Access> {
    access(r#"{"name": "v", "principals": [{"models": ["llms", "openai"]}]}"#)
}

/// What becomes of a body sent to a path.
fn posts(access: &Rc<Access>, path: &str, body: &str) -> String {
    let lines = format!(
        ":method: POST\n:path: {path}\n:authority: h\ncontent-type: application/json\nauthorization: Bearer {}",
        token(ALICE)
    );
    let mut exchange = Exchange::new(Rc::clone(access));
    let begun = show(&request(&lines, |arrival| exchange.on(Event::Request(arrival))));
    if begun.contains("reply ") {
        return begun.split_once("reply ").unwrap().1.lines().next().unwrap().to_owned();
    }
    assert!(begun.ends_with("hold"), "{begun}");
    let read = show(&exchange.on(Event::RequestBody(body.as_bytes().to_vec())));
    match read.split_once("reply ") {
        Some((_, reply)) => reply.lines().next().unwrap().to_owned(),
        None => "passes".into(),
    }
}

#[test]
fn a_body_may_name_the_caller_s_models_only() {
    let access = restricted();
    for body in [
        r#"{"model":"gpt-4o-mini"}"#,
        r#"{"model":"org\/small","models":["gpt-4o-mini"]}"#,
        r#"{"model":"gpt-4o-mini","models":null,"fallbacks":[{"model":"org/small"},"gpt-4o-mini",{"gpt-4o-mini":["org/small"]}]}"#,
        r#"{"model":"gpt-4o-mini","tools":[{"type":"function","function":{"parameters":{"properties":{"model":{}}}}},{"type":"image_generation","model":"org/small"}]}"#,
    ] {
        assert_eq!(posts(&access, "/openai", body), "passes", "{body}");
    }
    for (body, says) in [
        (
            r#"{"model":"gpt-4o"}"#,
            "the model `gpt-4o` is not one that this caller may use; its token lists gpt-4o-mini, org/small",
        ),
        (r#"{"model":"gpt-4o-mini "}"#, "the model `gpt-4o-mini ` is not"),
        (r#"{"model":"gpt-4o-mini","models":["gpt-4o"]}"#, "the model `gpt-4o` is not"),
        (r#"{"model":"gpt-4o-mini","models":"gpt-4o"}"#, "the model `gpt-4o` is not"),
        (r#"{"model":"gpt-4o-mini","fallbacks":["gpt-4o"]}"#, "the model `gpt-4o` is not"),
        (r#"{"model":"gpt-4o-mini","fallbacks":[{"model":"gpt-4o"}]}"#, "the model `gpt-4o` is not"),
        (r#"{"model":"gpt-4o-mini","fallbacks":[{"gpt-4o-mini":["gpt-4o"]}]}"#, "the model `gpt-4o` is not"),
        (r#"{"model":"gpt-4o-mini","fallbacks":[{"Model":"gpt-4o"}]}"#, "the model `gpt-4o` is not"),
        (
            r#"{"model":"gpt-4o-mini","fallbacks":[7]}"#,
            "`fallbacks` names a model in a way that is not known here",
        ),
        (r#"{"model":"gpt-4o-mini","tools":[{"model":"gpt-image-1"}]}"#, "the model `gpt-image-1` is not"),
        (
            r#"{"model":"gpt-4o-mini","tools":[{"model":["gpt-image-1"]}]}"#,
            "a model has to be named by a string",
        ),
        (r#"{"model":"gpt-4o-mini","Model":"gpt-4o"}"#, "the request has to write `model` in lower case"),
        (
            r#"{"model":"gpt-4o-mini","model\u017f":["gpt-4o"]}"#,
            "the request has to write `models` in lower case",
        ),
        ("{}", "the request has to name a model"),
        (r#"{"model":null}"#, "the request has to name a model"),
    ] {
        for path in [
            "/openai",
            "/openai/v1/embeddings",
            "/openai/v1/completions",
            "/openai/v1/responses",
            "/openai/v1/batches",
        ] {
            let said = posts(&access, path, body);
            assert!(said.starts_with(&format!("403 model_not_allowed: {says}")), "{path} {body}: {said}");
        }
    }
    let twice = r#"{"model":"gpt-4o-mini","tools":[{"model":"gpt-4o-mini","m\u006fdel":"gpt-4o"}]}"#;
    assert_eq!(
        posts(&access, "/openai", twice),
        "400 duplicate_field: an object in `tools` has a name twice"
    );
}

#[test]
fn there_is_an_end_to_what_models_are_looked_for_in() {
    let access = restricted();
    let tools = |count: usize| {
        format!(r#"{{"model":"gpt-4o-mini","tools":[{}]}}"#, vec![r#"{"a":0}"#; count].join(","))
    };
    assert_eq!(posts(&access, "/openai", &tools(100_000)), "passes");
    let said = posts(&access, "/openai", &tools(140_000));
    assert_eq!(
        said,
        "413 body_too_large: `tools` is longer than 1048576 bytes, and models are looked for in it"
    );
    assert_eq!(
        posts(&self::access(&viewer("", "")), "/openai", &tools(140_000)),
        "passes",
        "any model may be used"
    );
}

#[test]
fn a_body_that_is_not_read_could_name_any_model() {
    let access = restricted();
    let lines = |more: &str| {
        format!(
            ":method: POST\n:path: /openai/v1/audio/transcriptions\n:authority: h\nauthorization: Bearer {}\n{more}",
            token(ALICE)
        )
    };
    let send = |lines: &str| {
        show(&request(lines, |arrival| Exchange::new(Rc::clone(&access)).on(Event::Request(arrival))))
    };
    let shown = send(&lines("content-type: multipart/form-data"));
    assert!(shown.contains("reply 403 model_not_allowed: this caller may use some models only"), "{shown}");
    assert!(send(&lines("content-type: application/json\ncontent-encoding: gzip")).contains("reply 415"));
    assert!(!send(&lines("end: true")).contains("reply"), "what has no body names no model");
    let open = self::access(&viewer("", ""));
    let shown = show(&request(&lines("content-type: multipart/form-data"), |arrival| {
        Exchange::new(open).on(Event::Request(arrival))
    }));
    assert!(shown.ends_with("pass"), "who may use any model sends what they like: {shown}");
}

#[test]
fn a_url_may_name_the_caller_s_models_only() {
    let access = restricted();
    for path in [
        "/v1/models",
        "/v1/models/",
        "/v1/models/gpt-4o-mini",
        "/v1/models/org/small",
        "/v1/models/gpt%2D4o-mini",
        "/v1beta/models/gpt-4o-mini:generateContent",
        "/v1/deployments/gpt-4o-mini/chat/completions?api-version=1",
        "/v1/model/org/small/converse",
        "/v1/realtime?model=gpt-4o-mini",
        "/v1/files?after=model",
    ] {
        assert_eq!(says(&access, &format!("GET /openai{path}"), ALICE), "passes", "{path}");
    }
    for path in [
        "/v1/models/gpt-4o",
        "/v1/models/gpt-4o-mini/gpt-4o",
        "/v1beta/models/gpt-4o:generateContent",
        "/v1/deployments/gpt-4o/chat/completions",
        "/v1/engines/gpt-4o/completions",
        "/v1/model/gpt-4o/invoke",
        "/v1/realtime?model=gpt-4o",
        "/v1/realtime?a=b&mo%64el=gpt-4o",
        "/v1/models/gpt-4o-mini/../gpt-4o",
        "/v1/models/%2e%2e/models/gpt-4o",
        "/v1//models/gpt-4o",
        "/v1/x%2fmodels%2fgpt-4o",
    ] {
        let said = says(&access, &format!("GET /openai{path}"), ALICE);
        assert!(said.starts_with("403 model_not_allowed: "), "{path}: {said}");
    }
}

#[test]
fn what_several_principals_allow_is_added_up() {
    let claim = |name: &str| format!(r#"{{"models": ["llms", "{name}"]}}"#);
    let both = access(&format!(r#"{{"name": "v", "principals": [{}, {}]}}"#, claim("openai"), claim("none")));
    assert_eq!(posts(&both, "/openai", r#"{"model":"gpt-4o-mini"}"#), "passes");
    let nothing = access(&format!(r#"{{"name": "v", "principals": [{}]}}"#, claim("none")));
    assert_eq!(
        posts(&nothing, "/openai", r#"{"model":"gpt-4o-mini"}"#),
        "403 model_not_allowed: the model `gpt-4o-mini` is not one that this caller may use; its token lists none"
    );
    let any = access(&format!(r#"{{"name": "v", "principals": [{}, {{}}]}}"#, claim("none")));
    assert_eq!(posts(&any, "/openai", r#"{"model":"gpt-4o"}"#), "passes");
}
