use serde_json::{Value, json};

use crate::access::{Carrier, Keys};
use crate::{Gateway, Plugin};

/// A P-256 key: the public one of RFC 7515 appendix A.3.
const KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

/// A gateway with one provider of tokens and one route, each with these further fields.
fn read(provider: Value, route: Value) -> Result<Gateway, Vec<String>> {
    let mut solo = json!({"keys": {"local": KEY}});
    let mut openai = json!({"name": "openai", "jwt": [{"providers": ["solo"]}]});
    for (object, more) in [(&mut solo, provider), (&mut openai, route)] {
        object.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    }
    let json = json!({"downstream": {"jwtProviders": {"solo": solo}, "routes": [openai]}}).to_string();
    match Plugin::read(json.as_bytes(), &|_| None) {
        Ok(Plugin::Downstream(gateway)) => Ok(gateway),
        Ok(Plugin::Upstream(_)) => panic!("not downstream"),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

fn problems(provider: Value, route: Value) -> Vec<String> {
    read(provider, route).unwrap_err()
}

#[test]
fn what_is_not_said_is_as_in_envoy() {
    let gateway = read(json!({}), json!({})).unwrap();
    let provider = &gateway.jwt_providers[0];
    assert_eq!(provider.expectation.clock_skew_seconds, 60);
    assert!(!provider.expectation.require_expiry && !provider.keep_token);
    assert_eq!(provider.wrong_audience, 403);
    let [Carrier::Header(header)] = provider.from.as_slice() else { panic!("{:?}", provider.from) };
    assert_eq!((header.name.as_str(), header.prefix.as_str()), ("authorization", "Bearer "));
}

#[test]
fn remote_keys_have_bounds_that_are_not_zero() {
    let keys = |more: Value| {
        let mut remote = json!({"cluster": "c", "host": "h", "path": "/p"});
        remote.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let gateway = read(json!({"keys": {"remote": remote}}), json!({})).unwrap();
        let Keys::Remote(remote) = &gateway.jwt_providers[0].keys else { panic!("not remote") };
        (remote.cache.as_secs(), remote.timeout.as_secs(), remote.cooldown.as_secs())
    };
    assert_eq!(keys(json!({})), (300, 5, 10));
    assert_eq!(keys(json!({"cacheSeconds": 0, "timeoutSeconds": 0, "cooldownSeconds": 0})), (1, 1, 1));
}

#[test]
fn a_key_that_cannot_be_used_is_refused_with_its_provider() {
    let said = problems(json!({"keys": {"local": "nonsense"}}), json!({}));
    assert_eq!(said.len(), 1, "the route's mention of the provider is no second problem: {said:?}");
    assert!(said[0].starts_with("downstream.jwtProviders.solo.keys.local: this is no key"), "{said:?}");
    let said =
        problems(json!({"keys": {"remote": {"cluster": "c", "host": "h", "path": "keys"}}}), json!({}));
    assert!(
        said[0].starts_with("downstream.jwtProviders.solo.keys.remote.path: `keys` is no path"),
        "{said:?}"
    );
}

#[test]
fn headers_are_names_and_have_one_meaning() {
    let claim = |header: &str| json!({"claimsToHeaders": [{"claim": "team", "header": header}]});
    for header in ["", "x team", "x:team", ":path", "tëam"] {
        let said = problems(claim(header), json!({}));
        assert_eq!(
            said,
            [format!("downstream.jwtProviders.solo.claimsToHeaders[0].header: `{header}` is no header name")]
        );
    }
    for header in ["Authorization", "content-length", "X-Turnpike-Path", "host"] {
        let said = problems(claim(header), json!({}));
        assert!(said[0].contains("has a meaning of its own"), "{said:?}");
    }
    let mut both = claim("X-Who");
    both["from"] = json!([{"header": {"name": "x-who"}}]);
    assert_eq!(
        problems(both, json!({})),
        [
            "downstream.jwtProviders.solo.claimsToHeaders[0].header: tokens are looked for in `X-Who`, so no claim can be in it"
        ]
    );
    let said = problems(json!({"from": [{"query": ""}, {"header": {"name": "a b"}}]}), json!({}));
    assert_eq!(said.len(), 2, "{said:?}");
}

#[test]
fn a_rule_names_providers_and_claims_that_there_are() {
    let said = problems(
        json!({}),
        json!({
            "jwt": [{"providers": []}, {"providers": ["solo", "sole"]}],
            "rbac": {"policies": [{"name": "p", "pathPrefix": "v1", "principals": [
                {"provider": "other", "models": [], "claims": [
                    {"claim": "", "must": {"equal": "a"}},
                    {"claim": ["llms", ""], "must": {"contain": "a"}},
                    {"claim": "team", "must": {"match": "(?=a)"}},
                ]},
            ]}]},
        }),
    );
    let expected = [
        "downstream.routes[0].jwt[0].providers: without a provider no token is good: name one of `jwtProviders`",
        "downstream.routes[0].jwt[1].providers[1]: there is no `sole` in `jwtProviders`",
        "downstream.routes[0].rbac.policies[0].pathPrefix: `v1` is no path: expected one that begins with `/`",
        "downstream.routes[0].rbac.policies[0].principals[0].provider: there is no `other` in `jwtProviders`",
        "downstream.routes[0].rbac.policies[0].principals[0].claims[0].claim: a claim needs a name",
        "downstream.routes[0].rbac.policies[0].principals[0].claims[1].claim: a claim needs a name",
        "downstream.routes[0].rbac.policies[0].principals[0].claims[2].must.match: `(?=a)`: look-around is not supported",
        "downstream.routes[0].rbac.policies[0].principals[0].models: a claim needs a name",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_slip_in_a_rule_is_never_passed_over() {
    for (provider, route) in [
        (json!({"requireExp": true}), json!({})),
        (json!({"keys": {"remote": {"cluster": "c", "host": "h", "path": "/", "ttl": 1}}}), json!({})),
        (json!({}), json!({"jwt": [{"providers": ["solo"], "optional": true}]})),
        (json!({}), json!({"rbac": {"policies": [], "disabled": true}})),
        (json!({}), json!({"rbac": {"policies": [{"name": "p", "principals": [{"claim": "team"}]}]}})),
        (json!({}), json!({"rbac": {"policies": [{"name": "p", "principals": [], "paths": []}]}})),
    ] {
        let said = problems(provider, route);
        assert!(said[0].contains("unknown field"), "{said:?}");
    }
}
