//! A request goes through: what the provider gets of it, and what the client gets back.

use labs::policies::{keyed, route, simple, upstream};
use labs::{Ask, Gateway, Host, lab};
use mock_provider::{Mock, Script};

fn mock() -> Mock {
    Mock::start("127.0.0.1:0".parse().unwrap(), Script::default()).unwrap()
}

lab!(a_chat_completion_reaches_its_provider_with_the_gateway_s_key, |host| {
    let provider = mock();
    let gateway = Gateway::up(host, &simple(provider.address()));
    let reply = gateway.send(&Ask::chat("/openai").header("authorization", "Bearer alice"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(
        reply.json()["choices"][0]["message"]["content"],
        "This is the mock provider. You said: Say hello."
    );
    let got = &provider.requests()[0];
    assert_eq!((got.method.as_str(), got.path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!(got.host, provider.address().to_string());
    assert_eq!(got.header("authorization"), Some("Bearer sk-lab"));
});

lab!(what_nobody_touches_keeps_its_bytes, |host| {
    let provider = mock();
    let gateway = Gateway::up(host, &simple(provider.address()));
    let body = r#"{ "z":1e400,"seed":12345678901234567890,"model" : "gpt-4o-mini","u":"\u00e9\/é", "n":-0.0,"messages":[ ] }"#;
    let reply = gateway.send(&Ask::post("/openai", body));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(String::from_utf8_lossy(&provider.requests()[0].body), body);
});

lab!(every_spelling_of_chat_completions_arrives_there_and_other_paths_pass, |host| {
    let provider = mock();
    let gateway = Gateway::up(host, &simple(provider.address()));
    for path in
        ["/openai", "/openai/", "/openai/v1/chat/completions", "/openai/chat/completions", "/openai/v1"]
    {
        assert_eq!(gateway.send(&Ask::chat(path)).status, 200, "{path}");
    }
    assert!(provider.requests().iter().all(|it| it.path == "/v1/chat/completions"));
    provider.forget();
    let models = gateway.send(&Ask::get("/openai/v1/models?limit=1"));
    assert_eq!(models.json()["data"][1]["id"], "gpt-4o-mini");
    let embeddings = gateway.send(&Ask::post("/openai/embeddings", r#"{"model":"m","input":"text"}"#));
    assert_eq!(embeddings.json()["data"][0]["embedding"].as_array().unwrap().len(), 8);
    let upload =
        Ask::post("/openai/v1/files", "--x\r\nnot json").header("content-type", "multipart/form-data");
    assert_eq!(gateway.send(&upload).status, 404, "the mock's own, since the gateway lets it pass");
    let requests = provider.requests();
    let paths: Vec<&str> = requests.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["/v1/models?limit=1", "/v1/embeddings", "/v1/files"]);
    assert!(requests.iter().all(|it| it.header("authorization") == Some("Bearer sk-lab")));
});

lab!(nothing_private_goes_to_the_provider_and_nobody_can_pretend_to_be_the_gateway, |host| {
    let provider = mock();
    let gateway = Gateway::up(host, &simple(provider.address()));
    let ask = Ask::chat("/openai")
        .header("X-Turnpike-Path", "/v1/models")
        .header("x-envoy-upstream-rq-timeout-ms", "1")
        .header("x-envoy-max-retries", "5")
        .header("x-forwarded-for", "10.0.0.1")
        .header("cookie", "session=1")
        .header("x-api-key", "mine")
        .header("openai-organization", "org")
        .header("accept-encoding", "gzip");
    assert_eq!(gateway.send(&ask).status, 200);
    let got = &provider.requests()[0];
    assert_eq!(got.path, "/v1/chat/completions");
    let names: Vec<&str> = got.headers.iter().map(|(name, _)| name.as_str()).collect();
    let mut expected = vec![
        "host",
        "content-type",
        "openai-organization",
        "content-length",
        "x-request-id",
        "authorization",
    ];
    expected.retain(|name| !names.contains(name));
    assert_eq!(expected, [] as [&str; 0], "missing of {names:?}");
    for name in names {
        let private =
            name.starts_with("x-turnpike") || name.starts_with("x-envoy") || name.starts_with("x-forwarded");
        assert!(!private && !["cookie", "x-api-key", "accept-encoding"].contains(&name), "{name}");
    }
});

lab!(a_route_by_host_name_rewrites_the_path_as_written, |host| {
    let provider = mock();
    let rule = "matches: [{path: {value: /}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /v1/chat/completions}}}],";
    let route = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: h, namespace: lab}}\n\
         spec: {{hostnames: [openai.example.com], rules: [{{{rule} backendRefs: [{{name: openai, kind: Upstream}}]}}]}}\n"
    );
    let gateway = Gateway::up(host, &(keyed("openai", provider.address(), "k") + &route));
    let there = gateway.send(&Ask::chat("/anything?a=b").header("host", "OpenAI.example.com:8080"));
    assert_eq!(there.status, 200, "{}", there.text());
    assert_eq!(provider.requests()[0].path, "/v1/chat/completions?a=b");
    let elsewhere = gateway.send(&Ask::chat("/anything").header("host", "other.example.com"));
    assert_eq!((elsewhere.status, elsewhere.code().as_str()), (404, "route_not_found"));
});

lab!(a_target_s_model_replaces_the_client_s_with_an_exact_length, |host| {
    let provider = mock();
    let upstream = upstream(
        "openai",
        provider.address(),
        "model: a-much-longer-name-than-the-client-s, authToken: {inline: k}",
    );
    let gateway = Gateway::up(host, &(upstream + &route("/openai", "openai", "")));
    let body = r#"{"model": "x", "seed": 12345678901234567890, "messages": []}"#;
    let replaced = body.replace("\"x\"", "\"a-much-longer-name-than-the-client-s\"");
    for ask in [Ask::post("/openai", body), Ask::post("/openai", body).chunked()] {
        assert_eq!(gateway.send(&ask).status, 200);
        let got = provider.requests().pop().unwrap();
        assert_eq!(String::from_utf8_lossy(&got.body), replaced);
        let length = got.header("content-length").map(str::to_owned);
        assert!(length.is_none() || length == Some(replaced.len().to_string()), "{length:?}");
    }
    assert_eq!(gateway.send(&Ask::post("/openai", "{}")).status, 200);
    assert_eq!(provider.requests()[2].body, br#"{"model":"a-much-longer-name-than-the-client-s"}"#);
});

lab!(the_client_s_own_key_goes_on_only_where_the_policy_says_so, |host| {
    let provider = mock();
    let upstream = upstream("openai", provider.address(), "authToken: {passthrough: {}}");
    let gateway = Gateway::up(host, &(upstream + &route("/openai", "openai", "")));
    assert_eq!(gateway.send(&Ask::chat("/openai").header("authorization", "Bearer mine")).status, 200);
    assert_eq!(provider.requests()[0].header("authorization"), Some("Bearer mine"));
    provider.play(Script { status: 401, ..Script::default() });
    let refused = gateway.send(&Ask::chat("/openai").header("authorization", "Bearer bad"));
    assert_eq!(
        (refused.status, refused.header("x-turnpike-reason")),
        (401, None),
        "the client's own business"
    );
});

lab!(requests_are_shared_out_by_weight, |host| {
    let (one, two) = (mock(), mock());
    let route = route("/openai", "one, weight: 3, group: gloo.solo.io, kind: Upstream}, {name: two", "");
    let policies = keyed("one", one.address(), "k1") + &keyed("two", two.address(), "k2") + &route;
    let gateway = Gateway::up(host, &policies);
    for _ in 0..60 {
        assert_eq!(gateway.send(&Ask::chat("/openai")).status, 200);
    }
    let (ones, twos) = (one.requests(), two.requests());
    assert_eq!(ones.len() + twos.len(), 60);
    assert!(ones.len() > twos.len() && twos.len() > 3, "{} to {}", ones.len(), twos.len());
    assert!(ones.iter().all(|it| it.header("authorization") == Some("Bearer k1")));
    assert!(twos.iter().all(|it| it.header("authorization") == Some("Bearer k2")));
});

lab!(a_media_type_is_not_asked_of_a_client, |host| {
    let provider = mock();
    let gateway = Gateway::up(host, &simple(provider.address()));
    let ask = Ask::chat("/openai").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(gateway.send(&ask).status, 200);
    assert_eq!(provider.requests()[0].header("content-type"), Some("application/json"));
});

lab!(eight_megabytes_pass_and_what_is_longer_is_refused, |host: Host| {
    let provider = mock();
    let upstream = upstream("openai", provider.address(), "model: other, authToken: {inline: k}");
    let gateway = Gateway::up(host, &(upstream + &route("/openai", "openai", "")));
    let body = |bytes: usize| {
        let frame = r#"{"model":"m","messages":[{"role":"user","content":""}]}"#;
        frame.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - frame.len())))
    };
    let limit = 8 * 1024 * 1024;
    assert_eq!(gateway.send(&Ask::post("/openai", body(limit))).status, 200);
    assert_eq!(provider.requests()[0].body.len(), limit + "other".len() - "m".len());
    for ask in [Ask::post("/openai", body(limit + 1)), Ask::post("/openai", body(limit + 1)).chunked()] {
        let refused = gateway.send(&ask);
        assert_eq!((refused.status, refused.code().as_str()), (413, "body_too_large"));
    }
    assert_eq!(provider.requests().len(), 1);
});
