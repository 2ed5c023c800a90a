use super::guard_tests::{ROUTE, UPSTREAM, guard, option, said, said_of, what_is_said};

#[test]
fn an_upstream_that_cannot_moderate_is_refused() {
    let said = |upstream: &str, name: &str| {
        let other = format!(
            "kind: Upstream\nmetadata: {{name: other, namespace: ns}}\nspec: {{ai: {{{upstream}}}}}\n"
        );
        let asks =
            option("o", &format!("request: {{moderation: {{openai: {{upstream: {{name: {name}}}}}}}}}"));
        let said = said_of(&[UPSTREAM, ROUTE, &other, &asks]);
        assert_eq!(said.len(), 1, "{said:#?}");
        said[0].split_once("upstream: ").unwrap().1.to_owned()
    };
    assert_eq!(
        said("openai: {authToken: {inline: k}}", "othr"),
        "there is no Upstream ns/othr with a model, did you mean `ns/other`?"
    );
    assert_eq!(
        said("mistral: {authToken: {inline: k}}", "other"),
        "Upstream ns/other is mistral, and moderation speaks openai's API"
    );
    assert_eq!(
        said("openai: {authToken: {passthrough: {}}}", "other"),
        "Upstream ns/other has no key but the client's, which is for the provider of the route"
    );
}

#[test]
fn every_bad_pattern_is_named_with_its_place() {
    let document = "kind: RouteOption
metadata: {name: o, namespace: ns}
spec:
  targetRefs: [{kind: HTTPRoute, name: r}]
  options:
    ai:
      promptGuard:
        request:
          regex:
            action: REJECT
            matches:
            - pattern: '(a'
            - pattern: fine
            - pattern: 'a*'
        response:
          matches: ['(?=a)', b, '\\p{L}']
";
    assert_eq!(
        said_of(&[UPSTREAM, ROUTE, document]),
        [
            "a.yaml:23:24: guard.request.regex.matches[0].pattern: unclosed group, at character 1",
            "a.yaml:25:24: guard.request.regex.matches[2].pattern: it matches the empty text, which is everywhere",
            "a.yaml:27:21: guard.response.matches[0]: look-around, including look-ahead and look-behind, is not supported, at character 1",
            "a.yaml:27:33: guard.response.matches[2]: classes of Unicode such as \\p{L} are not supported, at character 1",
        ]
    );
}

#[test]
fn in_answers_a_pattern_without_a_longest_match_gets_one() {
    let endless = "has no longest match: in answers matches are looked for up to 1024 bytes; `maxLength` sets another bound";
    for (written, at) in [
        (
            "response: {regex: {matches: [{pattern: 'secret: .+'}]}}",
            "guard.response.regex.matches[0].pattern",
        ),
        ("response: {matches: ['secret: .+']}", "guard.response.matches[0]"),
    ] {
        assert_eq!(what_is_said(written), [format!("{at}: warning: {endless}")]);
        let patterns = guard(written).response.unwrap().patterns.unwrap();
        assert_eq!(patterns.matches[0].max_length, Some(1024));
    }
    assert_eq!(said("response: {regex: {matches: [{pattern: 'secret: .+', maxLength: 64}]}}"), [""; 0]);
    assert_eq!(said("request: {matches: ['secret: .+']}"), [""; 0], "prompts are looked at as a whole");
}

#[test]
fn a_request_that_is_masked_for_want_of_an_action_is_worth_a_note() {
    let note = "guard.request.regex: note: masks what is found; `action: REJECT` refuses the request";
    assert_eq!(what_is_said("request: {regex: {builtins: [SSN]}}"), [note]);
    for quiet in ["request: {regex: {builtins: [SSN], action: MASK}}", "response: {regex: {builtins: [SSN]}}"]
    {
        assert_eq!(said(quiet), [""; 0]);
    }
}

#[test]
fn a_guard_that_cannot_be_meant_is_refused() {
    let nothing = "nothing is looked for: expected";
    for (guard, expected) in [
        ("", format!("guard: {nothing} request or response")),
        ("request: {}", format!("guard.request: {nothing} regex, webhook or moderation")),
        ("request: {customResponseMessage: No.}", format!("guard.request: {nothing} regex, webhook or moderation")),
        ("request: {matches: []}", format!("guard.request: {nothing} regex, webhook or moderation")),
        ("response: {mode: monitor}", format!("guard.response: {nothing} regex or webhook")),
        ("response: {regex: {}}", format!("guard.response.regex: {nothing} matches or builtins")),
        ("request: {moderation: {}}", "guard.request.moderation: `openai` is missing".into()),
        (
            "request: {matches: [a], regex: {builtins: [SSN], action: REJECT}}",
            "guard.request: `matches` and `regex` exclude each other: one is of the older form of a guard, the other of today's".into(),
        ),
        (
            "response: {builtins: [SSN], webhook: {host: h, port: 1}}",
            "guard.response: `builtins` and `webhook` exclude each other: one is of the older form of a guard, the other of today's".into(),
        ),
    ] {
        assert_eq!(what_is_said(guard), [expected]);
    }
}

#[test]
fn values_that_cannot_be_taken_are_refused() {
    let (none, of) = ("is unknown, expected one of", "expected one of");
    for (request, expected) in [
        ("mode: off", format!("mode: `off` {none} enforce, monitor")),
        ("mode: 1", format!("mode: found a number, {of} enforce, monitor")),
        ("scope: [users]", format!("scope[0]: `users` {none} system, user, assistant, tool, tools, did you mean `user`?")),
        ("appliesTo: turn", format!("appliesTo: `turn` {none} all, last_turn, lastTurn")),
        ("customResponse: {statusCode: 100}", "customResponse.statusCode: 100 is no status of an answer, expected one from 200 to 599".into()),
        ("customResponse: {format: json}", format!("customResponse.format: `json` {none} openai, raw")),
        ("regex: {builtins: [PHONE]}", format!("regex.builtins[0]: `PHONE` {none} SSN, CREDIT_CARD, PHONE_NUMBER, EMAIL, IBAN, IP_ADDRESS, API_KEY")),
        ("regex: {builtins: [4]}", format!("regex.builtins[0]: found a number, {of} SSN, CREDIT_CARD, PHONE_NUMBER, EMAIL, IBAN, IP_ADDRESS, API_KEY")),
        ("regex: {action: reject}", format!("regex.action: `reject` {none} MASK, REJECT, did you mean `REJECT`?")),
        ("regex: {maskStyle: X}", format!("regex.maskStyle: `X` {none} placeholder, x, did you mean `x`?")),
        ("regex: {matches: [{name: a}]}", "regex.matches[0]: `pattern` is missing".into()),
        ("regex: {matches: [{pattern: a, maxLength: 20000}]}", "regex.matches[0].maxLength: found a number, expected a whole number from 1 to 16384".into()),
        ("regex: {matches: [a]}", "regex.matches[0]: found a text, expected a mapping".into()),
        ("webhook: {port: 80}", "webhook: `host` is missing".into()),
        ("webhook: {host: h}", "webhook: `port` is missing".into()),
        ("webhook: {host: 'http://h', port: 80}", "webhook.host: `http://h` is no host, expected a name or an address without scheme and path".into()),
        ("webhook: {host: h, port: 80, timeout: 61s}", "webhook.timeout: no time to wait for an answer, expected 1ms to 60s".into()),
        ("webhook: {host: h, port: 80, timeout: 5}", "webhook.timeout: found a number, expected a text".into()),
        ("webhook: {host: h, port: 80, onError: pass}", format!("webhook.onError: `pass` {none} deny, allow")),
        ("webhook: {host: h, port: 80, forwardHeaders: [{key: ''}]}", "webhook.forwardHeaders[0].key: expected the name of a header, or a part of it".into()),
        ("webhook: {host: h, port: 80, forwardHeaders: [{key: '(', matchType: REGEX}]}", "webhook.forwardHeaders[0].key: `(` is no regular expression that can be run here: found open group without closing ')'".into()),
        ("webhook: {host: h, port: 80, forwardHeaders: [{key: a, matchType: IS}]}", format!("webhook.forwardHeaders[0].matchType: `IS` {none} EXACT, PREFIX, SUFFIX, CONTAINS, REGEX")),
        ("moderation: {openai: {authToken: {passthrough: {}}}}", "moderation.openai.authToken: the client's own key is for the provider of the route, expected inline or secretRef".into()),
        ("moderation: {openai: {authToken: {inline: k}, upstream: {name: up}}}", "moderation.openai: `authToken` and `upstream` exclude each other: an Upstream has a key of its own".into()),
        ("moderation: {openai: {upstream: {}}}", "moderation.openai.upstream: `name` is missing".into()),
    ] {
        assert_eq!(what_is_said(&format!("request: {{{request}}}")), [format!("guard.request.{expected}")]);
    }
}

#[test]
fn a_slip_in_a_guard_is_never_passed_over() {
    for (guard, expected) in [
        ("reqest: {}", "reqest: unknown field, did you mean `request`?"),
        ("request: {matchs: [a]}", "request.matchs: unknown field, did you mean `matches`?"),
        ("request: {customResponse: {status: 400}}", "request.customResponse.status: unknown field"),
        (
            "request: {regex: {builtin: [SSN]}}",
            "request.regex.builtin: unknown field, did you mean `builtins`?",
        ),
        (
            "request: {regex: {matches: [{pattern: a, regex: b}]}}",
            "request.regex.matches[0].regex: unknown field",
        ),
        ("request: {webhook: {host: h, port: 80, path: /}}", "request.webhook.path: unknown field"),
        (
            "request: {webhook: {host: h, port: 80, forwardHeaders: [{name: a}]}}",
            "forwardHeaders[0].name: unknown field",
        ),
        ("request: {moderation: {openai: {modle: a}}}", "openai.modle: unknown field, did you mean `model`?"),
        ("response: {moderation: {openai: {}}}", "response.moderation: unknown field"),
        ("response: {scope: [user]}", "response.scope: unknown field"),
    ] {
        let said = said(guard);
        assert!(said.iter().any(|it| it.contains(expected)), "{expected}\n{said:#?}");
    }
}
