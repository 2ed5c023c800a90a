use policy::written::{self, Carrier, ClaimPath, Keys, Must, Validation};

use crate::plan::{Plan, Route};
use crate::{Loaded, Severity, Source, load};

/// A P-256 key: the public one of RFC 7515 appendix A.3.
const KEY: &str = "local: {key: '{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}'}";

/// A gateway of two listeners and two routes with a provider each; `a` has two rules.
const BASE: &str = "kind: Gateway
metadata: {name: gw, namespace: ns}
spec: {listeners: [{name: http, port: 80}]}
---
kind: Upstream
metadata: {name: up, namespace: ns}
spec: {ai: {openai: {authToken: {inline: sk-1}}}}
---
kind: HTTPRoute
metadata: {name: a, namespace: ns}
spec:
  parentRefs: [{name: gw}]
  rules:
  - {name: one, matches: [{path: {value: /a/one}}], backendRefs: [{name: up, kind: Upstream}]}
  - {name: two, matches: [{path: {value: /a/two}}], backendRefs: [{name: up, kind: Upstream}]}
---
kind: HTTPRoute
metadata: {name: b, namespace: ns}
spec:
  parentRefs: [{name: gw}]
  rules:
  - matches: [{path: {value: /b}}]
    backendRefs: [{name: up, kind: Upstream}]
---
";

/// The base and these documents, in a file each, in this order.
fn loaded(documents: &[String]) -> Loaded {
    let base = Source { name: "base.yaml".into(), text: versions(BASE) };
    let files = documents.iter().enumerate();
    let files = files.map(|(i, it)| Source { name: format!("{}.yaml", i + 1), text: versions(it) });
    load(&[vec![base], files.collect()].concat(), &|_| None)
}

/// Each document needs an `apiVersion`.
fn versions(text: &str) -> String {
    let documents = text.trim_end_matches("---\n").split("\n---\n");
    documents.map(|it| format!("apiVersion: v1\n{it}")).collect::<Vec<_>>().join("\n---\n")
}

fn plan(documents: &[String]) -> Plan {
    let loaded = loaded(documents);
    loaded.plan.unwrap_or_else(|| panic!("{:#?}", loaded.problems))
}

/// What is said of these documents, notes included.
fn said(documents: &[String]) -> Vec<String> {
    loaded(documents).problems.iter().map(ToString::to_string).collect()
}

fn one(plan: &Plan) -> &Route {
    plan.routes.iter().find(|it| it.name == "ns/a/one").unwrap()
}

fn virtual_host(name: &str, options: &str) -> String {
    format!(
        "kind: VirtualHostOption\nmetadata: {{name: {name}, namespace: ns}}\nspec:\n  targetRefs: [{{kind: Gateway, name: gw}}]\n  options: {{{options}}}\n"
    )
}

fn route_option(name: &str, options: &str) -> String {
    format!(
        "kind: RouteOption\nmetadata: {{name: {name}, namespace: ns}}\nspec:\n  targetRefs: [{{kind: HTTPRoute, name: a}}]\n  options: {{{options}}}\n"
    )
}

fn jwt(provider: &str, more: &str) -> String {
    format!("jwt: {{providers: {{{provider}: {{jwks: {{{KEY}}}, requireExpiry: true{more}}}}}}}")
}

fn viewer(team: &str) -> String {
    format!(
        "rbac: {{policies: {{viewer: {{principals: [{{jwtPrincipal: {{claims: {{team: {team}}}}}}}]}}}}}}"
    )
}

/// The team that the first rule of a route's RBAC asks for.
fn team(plan: &Plan) -> String {
    let rbac = one(plan).rbac.as_ref().unwrap();
    match &rbac.policies[0].principals[0].claims[0].must {
        Must::Equal(team) => team.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_virtual_host_asks_for_a_token_on_every_route() {
    let plan = plan(&[virtual_host("v", &jwt("solo", ", issuer: solo.io"))]);
    for route in &plan.routes {
        assert_eq!(route.jwt.len(), 1, "{}", route.name);
        assert_eq!(route.jwt[0].providers, ["ns/v/solo"]);
        assert_eq!(route.jwt[0].validation, Validation::RequireValid);
        assert_eq!(route.rbac, None);
    }
    assert_eq!(plan.jwt_providers["ns/v/solo"].issuer.as_deref(), Some("solo.io"));
}

#[test]
fn every_field_of_a_provider_comes_through() {
    let more =
        ", issuer: i, audiences: [a, b], keepToken: true, clockSkewSeconds: 5, wrongAudience: unauthorized,
      tokenSource: {headers: [{header: X-Token, prefix: 'JWT '}, {header: x-raw}], queryParams: [token]},
      claimsToHeaders: [{claim: sub, header: x-who}, {claim: llms.openai, header: x-models, append: true}],
      attachFailedStatusToMetadata: {}";
    let plan = plan(&[virtual_host("v", &jwt("solo", more))]);
    let it = &plan.jwt_providers["ns/v/solo"];
    assert_eq!(it.audiences, ["a", "b"]);
    assert!(it.keep_token && it.require_expiry);
    assert_eq!((it.clock_skew_seconds, it.wrong_audience), (Some(5), written::WrongAudience::Unauthorized));
    let header = |name: &str, prefix: &str| {
        Carrier::Header(written::CarrierHeader { name: name.into(), prefix: prefix.into() })
    };
    assert_eq!(it.from, [header("X-Token", "JWT "), header("x-raw", ""), Carrier::Query("token".into())]);
    assert_eq!(it.claims_to_headers[0].claim, ClaimPath::Name("sub".into()));
    assert_eq!(it.claims_to_headers[1].claim, ClaimPath::Nested(vec!["llms".into(), "openai".into()]));
    assert!(it.claims_to_headers[1].append);
}

#[test]
fn what_happens_without_a_token_is_told_in_each_dialect() {
    let validation = |more: &str| {
        let options = format!("jwt: {{providers: {{solo: {{jwks: {{{KEY}}}}}}}, {more}}}");
        one(&plan(&[virtual_host("v", &options)])).jwt[0].validation
    };
    assert_eq!(validation("validationPolicy: REQUIRE_VALID"), Validation::RequireValid);
    assert_eq!(validation("validationPolicy: ALLOW_MISSING"), Validation::AllowMissing);
    assert_eq!(validation("validation_policy: 2"), Validation::AllowMissingOrFailed);
    assert_eq!(
        validation("validationPolicy: ALLOW_MISSING, allowMissingOrFailedJwt: true"),
        Validation::AllowMissingOrFailed
    );
    assert_eq!(validation("allowMissingOrFailedJwt: false"), Validation::RequireValid);
}

#[test]
fn keys_are_fetched_from_an_upstream_with_hosts() {
    let service = "kind: Upstream\nmetadata: {name: idp, namespace: sys}\nspec: {static: {hosts: [{addr: 10.0.0.1, port: 8080}]}}\n";
    let remote = |url: &str| {
        format!(
            "jwt: {{providers: {{far: {{requireExpiry: true, jwks: {{remote: {{url: '{url}', cacheDuration: 90s, asyncFetch: {{}}, upstreamRef: {{name: idp, namespace: sys}}}}}}}}}}}}"
        )
    };
    let plan = plan(&[service.into(), virtual_host("v", &remote("http://idp.example.com/keys?x=1"))]);
    let Keys::Remote(keys) = &plan.jwt_providers["ns/v/far"].keys else { panic!("not remote") };
    assert_eq!(
        (keys.cluster.as_str(), keys.host.as_str(), keys.path.as_str(), keys.cache_seconds),
        ("sys/idp", "idp.example.com", "/keys?x=1", Some(90))
    );
    assert_eq!((plan.services[0].name.as_str(), plan.services[0].hosts[0].1), ("sys/idp", 8080));
    let clear = said(&[service.into(), virtual_host("v", &remote("https://idp.example.com"))]);
    assert!(
        clear.iter().any(|it| it.contains("has no `sslConfig`: the keys would come in the clear")),
        "{clear:?}"
    );
    let lost = said(&[service.replace("idp", "idq"), virtual_host("v", &remote("http://idp.example.com"))]);
    assert!(
        lost.iter().any(
            |it| it.contains("there is no Upstream sys/idp with `static` hosts, did you mean `sys/idq`?")
        ),
        "{lost:?}"
    );
    let kube = service.replace(
        "static: {hosts: [{addr: 10.0.0.1, port: 8080}]}",
        "kube: {serviceName: idp, serviceNamespace: auth, servicePort: 80}",
    );
    let of_cluster = self::plan(&[kube, virtual_host("v", &remote("http://idp.auth"))]);
    assert_eq!(of_cluster.services[0].hosts, [("idp.auth.svc.cluster.local".to_owned(), 80)]);
    let no_url = said(&[service.into(), virtual_host("v", &remote("idp.example.com"))]);
    assert!(no_url.iter().any(|it| it.contains("is no URL")), "{no_url:?}");
}

#[test]
fn a_route_asks_for_other_tokens_or_for_none() {
    let host = virtual_host("v", &jwt("solo", ""));
    let off = plan(&[host.clone(), route_option("r", "jwt: {disable: true}")]);
    assert_eq!(one(&off).jwt, []);
    assert_eq!(off.routes.iter().find(|it| it.name == "ns/b").unwrap().jwt.len(), 1, "only this route");
    let own = format!("jwtProvidersStaged: {{beforeExtAuth: {{providers: {{own: {{jwks: {{{KEY}}}}}}}}}}}");
    let other = plan(&[host.clone(), route_option("r", &own)]);
    assert_eq!(one(&other).jwt[0].providers, ["ns/r/own"]);
    let staged = format!(
        "jwtStaged: {{beforeExtAuth: {{providers: {{a: {{jwks: {{{KEY}}}}}}}}}, afterExtAuth: {{providers: {{b: {{jwks: {{{KEY}}}}}}}}}}}"
    );
    let both = plan(&[virtual_host("v", &staged)]);
    let names: Vec<&String> = one(&both).jwt.iter().flat_map(|it| &it.providers).collect();
    assert_eq!(names, ["ns/v/a", "ns/v/afterExtAuth/b"]);
    let half =
        plan(&[virtual_host("v", &staged), route_option("r", "jwtStaged: {afterExtAuth: {disable: true}}")]);
    assert_eq!(one(&half).jwt.len(), 1);
}

#[test]
fn claims_are_read_with_their_matcher_and_delimiter() {
    let rbac = "rbac: {policies: {p: {nestedClaimDelimiter: '/', permissions: {pathPrefix: /v1, methods: [get, POST]}, principals: [
        {jwtPrincipal: {claims: {llms/openai: m, team: dev}, matcher: LIST_CONTAINS, provider: solo}},
        {jwtPrincipal: {claims: {admin: 'true'}, matcher: BOOLEAN}},
        {jwtPrincipal: {claims: {sub: 'a.*'}, matcher: 3}},
        {jwtPrincipal: {claims: {a.b: c}}}]}}}";
    let plan = plan(&[virtual_host("v", &format!("{}, {rbac}", jwt("solo", "")))]);
    let policy = &one(&plan).rbac.as_ref().unwrap().policies[0];
    assert_eq!((policy.path_prefix.as_deref(), policy.methods.len()), (Some("/v1"), 2));
    let principals = &policy.principals;
    let nested = ClaimPath::Nested(vec!["llms".into(), "openai".into()]);
    assert_eq!(principals[0].claims[0].claim, nested);
    assert_eq!(principals[0].claims[0].must, Must::Contain("m".into()));
    assert_eq!(principals[0].claims.len(), 2);
    assert_eq!(principals[0].provider.as_deref(), Some("ns/v/solo"));
    assert_eq!(principals[0].models, Some(nested), "a list of models is one that bodies are checked against");
    assert_eq!(principals[1].claims[0].must, Must::Be(true));
    assert_eq!(principals[2].claims[0].must, Must::Match("a.*".into()));
    assert_eq!(principals[3].claims[0].claim, ClaimPath::Name("a.b".into()));
    assert_eq!(principals[3].models, None);
}

#[test]
fn which_claim_lists_models_can_be_said_and_switched_off() {
    let models = |more: &str| {
        let rbac = format!(
            "rbac: {{{more} policies: {{p: {{nestedClaimDelimiter: ., principals: [{{jwtPrincipal: {{claims: {{llms.openai: m}}, matcher: LIST_CONTAINS}}}}]}}}}}}"
        );
        let plan = plan(&[virtual_host("v", &format!("{}, {rbac}", jwt("solo", "")))]);
        one(&plan).rbac.as_ref().unwrap().policies[0].principals[0].models.clone()
    };
    let path = |claim: &str| Some(ClaimPath::Nested(claim.split('.').map(str::to_owned).collect()));
    assert_eq!(models(""), path("llms.openai"));
    assert_eq!(models("modelClaim: '',"), None);
    assert_eq!(models("modelClaim: allowed.models,"), path("allowed.models"));
}

#[test]
fn rbac_can_be_off_for_a_route_and_on_for_all() {
    let host = virtual_host("v", &format!("{}, {}", jwt("solo", ""), viewer("dev")));
    let off = plan(&[host, route_option("r", "rbac: {disable: true}")]);
    assert_eq!(one(&off).rbac, None);
    let settings = "kind: Settings\nmetadata: {name: default, namespace: ns}\nspec: {rbac: {requireRbac: true}, discovery: {fdsMode: x}}\n";
    let all = plan(&[settings.into()]);
    assert_eq!(one(&all).rbac.as_ref().unwrap().policies, [], "nobody passes where nothing is said");
}

#[test]
fn of_several_options_on_a_route_the_older_one_keeps_its_keys_and_the_younger_adds_its_own() {
    let host = virtual_host("v", &jwt("solo", ""));
    let older = route_option("older", &viewer("dev"));
    let younger = route_option("younger", &format!("{}, jwt: {{disable: true}}", viewer("ops")));
    let documents = [host.clone(), older.clone(), younger.clone()];
    let merged = plan(&documents);
    assert_eq!(team(&merged), "dev");
    assert_eq!(one(&merged).jwt, [], "the younger one adds what the older one does not say");
    let notes = said(&documents);
    let lost = "3.yaml:6:19: spec.options.rbac: note: is not used: RouteOption ns/older says it already, and comes first";
    assert!(notes.iter().any(|it| it == lost), "{notes:#?}");
    assert_eq!(team(&plan(&[host, younger, older])), "ops", "the order of the files is that of their age");
}

#[test]
fn a_resource_of_the_same_name_replaces_the_whole_other_and_keeps_its_age() {
    let host = virtual_host("v", &jwt("solo", ""));
    let replaced = plan(&[
        host,
        route_option("first", &viewer("dev")),
        route_option("second", &viewer("ops")),
        route_option("first", &viewer("qa")),
    ]);
    assert_eq!(team(&replaced), "qa");
    let said = said(&[
        virtual_host("v", &jwt("solo", "")),
        route_option("r", &viewer("dev")),
        route_option("r", "jwt: {disable: true}"),
    ]);
    let lost = "2.yaml:1:1: warning: RouteOption ns/r is replaced by the one in 3.yaml:1:1, and its rules with it: options.rbac no longer holds";
    assert!(said.iter().any(|it| it == lost), "{said:#?}");
}

#[test]
fn options_for_one_rule_come_before_those_for_the_route_and_those_a_rule_names_before_both() {
    let host = virtual_host("v", &jwt("solo", ""));
    let all = route_option("all", &viewer("all"));
    let section = route_option("own", &viewer("own")).replace("name: a}", "name: a, sectionName: one}");
    let plan_of = plan(&[host.clone(), all.clone(), section]);
    assert_eq!(team(&plan_of), "own");
    let two = plan_of.routes.iter().find(|it| it.name == "ns/a/two").unwrap();
    assert_eq!(
        two.rbac.as_ref().unwrap().policies[0].principals[0].claims[0].must,
        Must::Equal("all".into())
    );
    let named =
        route_option("named", &viewer("named")).replace("  targetRefs: [{kind: HTTPRoute, name: a}]\n", "");
    let route = "kind: HTTPRoute\nmetadata: {name: a, namespace: ns}\nspec:\n  parentRefs: [{name: gw}]\n  rules:\n  - name: one\n    matches: [{path: {value: /a/one}}]\n    filters: [{type: ExtensionRef, extensionRef: {group: gateway.solo.io, kind: RouteOption, name: named}}]\n    backendRefs: [{name: up, kind: Upstream}]\n";
    let named = plan(&[host, all, named, route.into()]);
    let only = named.routes.iter().find(|it| it.name == "ns/a").unwrap();
    assert_eq!(
        only.rbac.as_ref().unwrap().policies[0].principals[0].claims[0].must,
        Must::Equal("named".into())
    );
}

#[test]
fn an_option_that_would_protect_nothing_is_said_to() {
    for (document, expected) in [
        (
            route_option("r", &viewer("dev")).replace("name: a}", "name: c}"),
            "spec.targetRefs[0]: there is no HTTPRoute ns/c",
        ),
        (
            route_option("r", &viewer("dev")).replace("name: a}", "name: a, sectionName: tow}"),
            "spec.targetRefs[0]: HTTPRoute ns/a has no `tow`, did you mean `two`?",
        ),
        (
            route_option("r", &viewer("dev")).replace("name: a}", "name: a, namespace: other}"),
            "a RouteOption and its HTTPRoute have to be in one namespace, here `ns`",
        ),
        (
            route_option("r", &viewer("dev")).replace("HTTPRoute, name: a", "Gateway, name: gw"),
            "this kind of options can only hang on a resource of kind HTTPRoute",
        ),
        (
            route_option("r", &viewer("dev")).replace("[{kind: HTTPRoute, name: a}]", "[]"),
            "warning: hangs on nothing: `spec.targetRefs` names no HTTPRoute",
        ),
        (
            route_option("r", &viewer("dev")),
            "a route of these rules asks for no JWT, so no caller has claims there",
        ),
        (route_option("r", "rbac: {policies: {}}"), "warning: there is no policy, so nobody passes"),
        (
            route_option("r", "extauth: {disable: true}"),
            "extauth is not supported by this version; remove it",
        ),
        (virtual_host("v", "jwt: {providers: {}}"), "`providers` is empty"),
        (virtual_host("v", &jwt("solo", ", isuer: x")), "isuer: unknown field, did you mean `issuer`?"),
        (virtual_host("v", &jwt("solo", ", audiences: x")), "audiences: found a text, expected a list"),
        (
            virtual_host("v", "jwt: {providers: {s: {jwks: {local: {key: x}}}}}"),
            "jwks.local.key: this is no key",
        ),
        (virtual_host("v", "jwt: {providers: {s: {jwks: {}}}}"), "jwks: expected one of local and remote"),
        (
            virtual_host("v", &format!("jwt: {{providers: {{s: {{jwks: {{{KEY}}}}}}}}}")),
            "warning: tokens without `exp` never expire; `requireExpiry: true` refuses them",
        ),
        (
            virtual_host("v", &format!("{}, jwtStaged: {{}}", jwt("solo", ""))),
            "`options.jwt` and `options.jwtStaged` exclude each other",
        ),
        (
            route_option(
                "r",
                "rbac: {policies: {p: {principals: [{jwtPrincipal: {claims: {a: '(?=b)'}, matcher: REGEX_MATCH}}]}}}",
            ),
            "`(?=b)` is no regular expression that can be run here: look-around is not supported",
        ),
        (
            route_option(
                "r",
                "rbac: {policies: {p: {principals: [{jwtPrincipal: {claims: {a: b}, matcher: LIST_CONTAIN}}]}}}",
            ),
            "`LIST_CONTAIN` is unknown, expected one of EXACT_STRING, BOOLEAN, LIST_CONTAINS, REGEX_MATCH, did you mean `LIST_CONTAINS`?",
        ),
    ] {
        let said = said(std::slice::from_ref(&document));
        assert!(said.iter().any(|it| it.contains(expected)), "{expected}\n{said:#?}\n{document}");
    }
}

#[test]
fn a_principal_s_provider_has_to_be_one_that_is_asked() {
    let rbac = "rbac: {policies: {p: {principals: [{jwtPrincipal: {claims: {a: b}, provider: sola}}]}}}";
    let said = said(&[virtual_host("v", &format!("{}, {rbac}", jwt("solo", "")))]);
    assert!(
        said.iter().any(|it| it.contains("policy p: no provider `sola` is asked here, did you mean `solo`?")),
        "{said:#?}"
    );
}

#[test]
fn the_tour_s_shapes_need_no_change() {
    let pem = "-----BEGIN PUBLIC KEY-----\n                MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n                6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n                -----END PUBLIC KEY-----";
    let document = format!(
        "\n\nkind: VirtualHostOption\nmetadata:\n  name: jwt-provider\n  namespace: ns\nspec:\n  targetRefs:\n  - group: gateway.networking.k8s.io\n    kind: Gateway\n    name: gw\n  options:\n    jwt:\n      providers:\n        selfminted:\n          issuer: solo.io\n          jwks:\n            local:\n              key: |\n                {pem}"
    );
    let loaded = loaded(&[document]);
    assert!(loaded.problems.iter().all(|it| it.severity < Severity::Error), "{:#?}", loaded.problems);
    assert_eq!(one(&loaded.plan.unwrap()).jwt[0].providers, ["ns/jwt-provider/selfminted"]);
}

#[test]
fn the_example_s_key_is_known_to_be_everybody_s() {
    let tour = concat!(env!("CARGO_MANIFEST_DIR"), "/../jwt-provider-vho.yaml");
    let document =
        std::fs::read_to_string(tour).unwrap().replace("gloo-system", "ns").replace("ai-gateway", "gw");
    let loaded = load(
        &[
            Source { name: "base.yaml".into(), text: versions(BASE) },
            Source { name: "tour.yaml".into(), text: document },
        ],
        &|_| None,
    );
    let said: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said.iter().any(|it| it.contains("everybody has its private half")), "{said:#?}");
}
