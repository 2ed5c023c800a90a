//! Failover where the host knows nothing of it: the module is in the listener's filter chain alone, and asks the next
//! provider by calls of its own.

use std::net::SocketAddr;
use std::time::Duration;

use labs::bench::Bench;
use labs::{Ask, Host, lab, project};
use mock_provider::{Mock, Script};

/// A host whose one route leads to a first provider. `/b` of the bench is the next one, `dead` nobody, `a` the last.
fn up(host: Host, first: SocketAddr, failover: &str) -> Bench {
    let target = |model: &str, key: &str| {
        format!(
            r#"{{"provider": "openai", "host": "api.test", "model": "{model}", "credential": {{"env": "{key}"}}}}"#
        )
    };
    let backup = |cluster: &str, model: &str, key: &str| {
        format!(r#"{{"cluster": "{cluster}", "target": {}}}"#, target(model, key))
    };
    let backups =
        [backup("dead", "none", "KEY_B"), backup("b", "second", "KEY_B"), backup("a", "third", "KEY_C")]
            .join(",");
    let configuration = format!(
        r#"{{"downstream": {{"routes": [{{"name": "r", "matches": [{{"path": {{"prefix": "/openai"}}}}],
            "target": {}, "failover": {{"backups": [{backups}]{failover}}}}}]}}}}"#,
        target("first", "KEY_A")
    );
    let env = [("KEY_A", "sk-a"), ("KEY_B", "sk-b"), ("KEY_C", "sk-c")];
    let bench = Bench::with_module(host, &project::module(), &configuration, &env, first);
    for provider in [&bench.a, &bench.b] {
        provider.play(Script::default());
    }
    bench
}

fn mock(script: Script) -> Mock {
    Mock::start("127.0.0.1:0".parse().unwrap(), script).unwrap()
}

fn failing(status: u16) -> Script {
    Script { status, ..Script::default() }
}

lab!(the_module_asks_the_next_one_itself, |host| {
    let first = mock(failing(429));
    let bench = up(host, first.address(), "");
    let reply = bench.send(&Ask::chat("/openai").bearer("alice"));
    assert_eq!((reply.status, reply.json()["model"].as_str()), (200, Some("second")), "{}", reply.text());
    assert_eq!(reply.header("x-turnpike-attempts"), Some("3"), "the dead one counts");
    for (provider, model, key) in [(&first, "first", "sk-a"), (&bench.b, "second", "sk-b")] {
        let requests = provider.requests();
        assert_eq!(requests.len(), 1);
        let got = &requests[0];
        assert_eq!(got.header("authorization"), Some(format!("Bearer {key}").as_str()));
        assert_eq!((got.json()["model"].as_str(), got.path.as_str()), (Some(model), "/v1/chat/completions"));
        assert_eq!(got.host, "api.test");
    }
});

lab!(a_stream_that_the_module_asks_for_comes_in_one_piece_and_whole, |host| {
    let first = mock(Script { hang_up: true, ..Script::default() });
    let bench = up(host, first.address(), "");
    let reply = bench.send(&Ask::chat_stream("/openai"));
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/event-stream")));
    assert!(reply.complete && reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
});

lab!(when_all_have_failed_the_last_answer_is_the_client_s, |host| {
    let first = mock(failing(500));
    let bench = up(host, first.address(), "");
    bench.b.play(failing(503));
    bench.a.play(Script { headers: vec![("retry-after".into(), "9".into())], ..failing(429) });
    let reply = bench.send(&Ask::chat("/openai"));
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("9")));
    assert_eq!(reply.json()["error"]["code"], "rate_limit_exceeded");
    assert_eq!(reply.header("x-turnpike-attempts"), Some("4"));
    // What is the request's own fault goes no further.
    first.play(failing(400));
    assert_eq!(bench.send(&Ask::chat("/openai")).status, 400);
    assert_eq!(bench.b.requests().len(), 1);
});

lab!(a_first_one_that_is_in_trouble_is_passed_over_before_it_is_asked, |host| {
    let first = mock(Script { headers: vec![("retry-after".into(), "30".into())], ..failing(429) });
    let bench = up(host, first.address(), r#", "cooldown": {"failures": 1}"#);
    for _ in 0..4 {
        assert_eq!(bench.send(&Ask::chat("/openai")).status, 200);
    }
    assert_eq!((first.requests().len(), bench.b.requests().len()), (1, 4));
});

lab!(a_client_that_leaves_ends_the_calls, |host| {
    let first = mock(failing(500));
    let bench = up(host, first.address(), "");
    bench.b.play(Script { delay: Duration::from_millis(800), ..failing(500) });
    let (stream, _) = Ask::chat("/openai").start(bench.address);
    while bench.b.requests().is_empty() {
        std::thread::yield_now();
    }
    drop(stream);
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(bench.a.requests().len(), 0);
});
