//! What a client is told when something is wrong, and that log and metrics say the same.

use std::net::TcpListener;

use labs::policies::{keyed, route, simple};
use labs::{Ask, Gateway, lab};
use mock_provider::{Mock, Script};
use std::time::Duration;

fn mock(script: Script) -> Mock {
    Mock::start("127.0.0.1:0".parse().unwrap(), script).unwrap()
}

lab!(what_cannot_be_read_is_refused_before_anybody_is_asked, |host| {
    let provider = mock(Script::default());
    let gateway = Gateway::up(host, &simple(provider.address()));
    let chat = |body: &[u8]| Ask::post("/openai", body);
    for (ask, status, code) in [
        (chat(b"{\"model\":"), 400, "invalid_json"),
        (chat(b""), 400, "invalid_json"),
        (chat(b"[]"), 400, "invalid_json"),
        (chat(b"{\"model\":\"\xff\"}"), 400, "invalid_json"),
        (chat(b"\xef\xbb\xbf{}"), 400, "invalid_json"),
        (chat(br#"{"model":"a","model":"b"}"#), 400, "duplicate_field"),
        (chat(br#"{"messages":[],"m\u0065ssages":[1]}"#), 400, "duplicate_field"),
        (chat(br#"{"model":7}"#), 400, "invalid_field"),
        (chat(b"{}").header("content-encoding", "gzip"), 415, "unsupported_content_encoding"),
        (Ask::chat("/nowhere"), 404, "route_not_found"),
        (Ask::get("/"), 404, "route_not_found"),
    ] {
        let reply = gateway.send(&ask);
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{ask:?}");
        assert!(reply.complete);
    }
    assert_eq!(provider.requests().len(), 0);
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="invalid_json"} 5"#);
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="duplicate_field"} 2"#);
    gateway.await_metric(r#"turnpike_requests_total{route="none",reason="route_not_found"} 2"#);
    assert!(gateway.log().contains("route lab/openai: 415 unsupported_content_encoding at stage Read"));
});

lab!(a_provider_that_is_not_there_is_a_503, |host| {
    // A port that nobody listens on: it was ours a moment ago.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::up(host, &simple(gone));
    let reply = gateway.send(&Ask::chat("/openai"));
    assert_eq!((reply.status, reply.code().as_str()), (503, "provider_unreachable"));
    let passing = gateway.send(&Ask::get("/openai/v1/models"));
    assert_eq!((passing.status, passing.code().as_str()), (503, "provider_unreachable"));
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="provider_unreachable"} 2"#);
    assert!(gateway.log().contains("503 provider_unreachable at stage Answer"));
});

lab!(a_provider_that_hangs_up_before_it_answers_is_a_503, |host| {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::up(host, &simple(listener.local_addr().unwrap()));
    let hang_up = std::thread::spawn(move || {
        use std::io::Read;
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 65536]);
    });
    let reply = gateway.send(&Ask::chat("/openai"));
    assert_eq!((reply.status, reply.code().as_str()), (503, "provider_unreachable"));
    hang_up.join().unwrap();
});

lab!(a_provider_that_takes_too_long_is_a_504, |host| {
    let provider = mock(Script { delay: Duration::from_secs(5), ..Script::default() });
    let policies =
        keyed("openai", provider.address(), "k") + &route("/openai", "openai", "timeouts: {request: 300ms},");
    let gateway = Gateway::up(host, &policies);
    let reply = gateway.send(&Ask::chat("/openai"));
    assert_eq!((reply.status, reply.code().as_str()), (504, "provider_timeout"));
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="provider_timeout"} 1"#);
});

lab!(a_key_that_the_provider_refuses_is_the_gateway_s_fault, |host| {
    let provider = mock(Script { status: 401, ..Script::default() });
    let gateway = Gateway::up(host, &simple(provider.address()));
    for ask in [Ask::chat("/openai"), Ask::chat_stream("/openai"), Ask::get("/openai/v1/models")] {
        let reply = gateway.send(&ask);
        assert_eq!((reply.status, reply.code().as_str()), (502, "provider_auth_failed"));
        assert!(!reply.text().contains("Incorrect API key"));
    }
});

lab!(other_answers_of_the_provider_s_are_the_client_s_as_they_are, |host| {
    let headers = vec![("retry-after".to_owned(), "7".to_owned())];
    let provider = mock(Script { status: 429, headers, ..Script::default() });
    let gateway = Gateway::up(host, &simple(provider.address()));
    let reply = gateway.send(&Ask::chat("/openai"));
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")));
    assert_eq!(reply.json()["error"]["code"], "rate_limit_exceeded");
    assert_eq!(reply.header("x-turnpike-reason"), None);
    for status in [400, 403, 500, 503, 504] {
        provider.play(Script { status, ..Script::default() });
        let reply = gateway.send(&Ask::chat("/openai"));
        assert_eq!((reply.status, reply.header("x-turnpike-reason")), (status, None));
    }
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="provider_error"} 6"#);
});

lab!(an_answer_that_is_no_json_passes_as_it_is, |host| {
    let provider = mock(Script { echo: true, ..Script::default() });
    let gateway = Gateway::up(host, &simple(provider.address()));
    let reply = gateway.send(&Ask::chat("/openai"));
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/plain")));
    assert!(reply.text().starts_with("POST /v1/chat/completions HTTP/1.1\n"), "{}", reply.text());
});
