//! Streams: every event as it comes, and an honest end.

use std::io::Read;
use std::time::{Duration, Instant};

use labs::client::read;
use labs::policies::simple;
use labs::{Ask, Gateway, Reply, lab};
use mock_provider::{Cut, How, Mock, Script};

fn mock(script: Script) -> Mock {
    Mock::start("127.0.0.1:0".parse().unwrap(), script).unwrap()
}

/// What the client gets of a stream that breaks off after two events.
fn cut(gateway: &Gateway, provider: &Mock, how: How) -> Reply {
    let chunks = Some(["Hel", "lo."].map(str::to_owned).to_vec());
    let cut = Some(Cut { after: 2, how });
    provider.play(Script { chunks, cut, chunk_delay: Duration::from_millis(20), ..Script::default() });
    gateway.send(&Ask::chat_stream("/openai"))
}

lab!(events_pass_as_they_come_byte_for_byte, |host| {
    let chunks = Some(["One, ", "two, ", "three, ", "fo\u{fc}r."].map(str::to_owned).to_vec());
    let provider = mock(Script { chunks, chunk_delay: Duration::from_millis(100), ..Script::default() });
    let gateway = Gateway::up(host, &simple(provider.address()));
    let reply = gateway.send(&Ask::chat_stream("/openai"));
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/event-stream")));
    assert!(reply.complete);
    let direct = Ask::chat_stream("/v1/chat/completions").send(provider.address());
    let same = |reply: &Reply| {
        // Only the number and the second of the answer differ from one to the next.
        let json =
            |line: &str| serde_json::from_str::<serde_json::Value>(line.strip_prefix("data: ").unwrap());
        let without = |line: &str| match json(line) {
            Ok(mut event) => {
                event.as_object_mut().unwrap().retain(|name, _| name != "id" && name != "created");
                event.to_string()
            }
            Err(_) => line.to_owned(),
        };
        reply.text().split_terminator("\n\n").map(without).collect::<Vec<_>>()
    };
    assert_eq!(same(&reply), same(&direct));
    assert_eq!(same(&reply).len(), 7);
    let (first, last) = (reply.pieces[0].0, reply.pieces.last().unwrap().0);
    assert!(last - first > Duration::from_millis(400), "{first:?} to {last:?}: the stream came in one piece");
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="ok"} 1"#);
});

lab!(a_stream_that_ends_too_early_ends_with_an_error_and_no_done, |host| {
    let provider = mock(Script::default());
    let gateway = Gateway::up(host, &simple(provider.address()));
    for how in [How::End, How::HalfEvent] {
        let reply = cut(&gateway, &provider, how);
        let text = reply.text();
        let events: Vec<&str> = text.split_terminator("\n\n").collect();
        assert_eq!(events.len(), 3, "{text}");
        let error: serde_json::Value =
            serde_json::from_str(events[2].strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(error["error"]["code"], "stream_cut");
        assert!(reply.complete && !text.contains("[DONE]"), "{text}");
    }
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="stream_cut"} 2"#);
    assert!(gateway.log().contains("route lab/openai: the provider ended a stream before its end"));
});

// H12: when a message breaks off in the middle, a filter hears nothing more of it. The client sees that it is not whole.
lab!(a_connection_that_breaks_in_a_stream_breaks_the_client_s_too, |host| {
    let provider = mock(Script::default());
    let gateway = Gateway::up(host, &simple(provider.address()));
    let reply = cut(&gateway, &provider, How::Close);
    assert_eq!(reply.status, 200);
    assert!(!reply.complete, "the client must see that something is missing");
    assert_eq!(reply.text().matches("\n\n").count(), 2, "whole events only: {}", reply.text());
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="interrupted"} 1"#);
});

lab!(streams_of_the_other_apis_end_in_their_own_way, |host| {
    let provider = mock(Script { text: Some("Hello.".into()), ..Script::default() });
    let gateway = Gateway::up(host, &simple(provider.address()));
    let responses = Ask::post("/openai/responses", r#"{"model":"m","stream":true,"input":"hi"}"#);
    let reply = gateway.send(&responses);
    assert!(reply.text().contains("event: response.completed\n"), "{}", reply.text());
    assert!(!reply.text().contains("stream_cut"));
    let completions = Ask::post("/openai/v1/completions", r#"{"model":"m","stream":true,"prompt":"hi"}"#);
    assert!(gateway.send(&completions).text().ends_with("data: [DONE]\n\n"));
    provider.play(Script { cut: Some(Cut { after: 1, how: How::End }), ..Script::default() });
    let cut = gateway.send(&responses).text();
    assert!(cut.contains("\n\nevent: error\ndata: {\"type\":\"error\",\"code\":\"stream_cut\""), "{cut}");
});

lab!(a_client_that_leaves_ends_the_provider_s_work, |host| {
    let chunks = Some(vec!["word ".to_owned(); 200]);
    let provider = mock(Script { chunks, chunk_delay: Duration::from_millis(50), ..Script::default() });
    let gateway = Gateway::up(host, &simple(provider.address()));
    let (mut stream, _) = Ask::chat_stream("/openai").start(gateway.address);
    assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
    drop(stream);
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="interrupted"} 1"#);
    let begun = Instant::now();
    while provider.abandoned() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(5), "the provider goes on talking to nobody");
        std::thread::yield_now();
    }
});

lab!(a_client_that_leaves_before_the_answer_is_counted, |host| {
    let provider = mock(Script { delay: Duration::from_secs(3), ..Script::default() });
    let gateway = Gateway::up(host, &simple(provider.address()));
    let (stream, _) = Ask::chat("/openai").start(gateway.address);
    while provider.requests().is_empty() {
        std::thread::yield_now();
    }
    drop(stream);
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="unanswered"} 1"#);
});

lab!(a_slow_stream_is_nobody_s_fault, |host| {
    let chunks = Some(["a", "b"].map(str::to_owned).to_vec());
    let provider = mock(Script { chunks, chunk_delay: Duration::from_millis(700), ..Script::default() });
    let gateway = Gateway::up(host, &simple(provider.address()));
    let (mut stream, begun) = Ask::chat_stream("/openai").start(gateway.address);
    let reply = read(&mut stream, begun);
    assert!(reply.complete && reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
});
