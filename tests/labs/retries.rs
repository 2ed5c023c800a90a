//! What hosts do when they try again: facts as in `facts.rs`, numbered as in ARCHITECTURE.md.

use std::io::Read;
use std::time::{Duration, Instant};

use labs::bench::Bench;
use labs::{Ask, Reply, lab};
use mock_provider::{Cut, How, Script};

/// An answer, and what the probes have written down: the listener's, and those of the attempts.
struct Tried {
    reply: Reply,
    down: String,
    up: String,
}

/// A request to a route that tries again, with a script for the listener's probe and one for the clusters'.
fn ask(path: &str, chain: &str, down: &str, up: &str) -> Ask {
    let ask = Ask::post(path, "0123456789").header("x-chain", chain);
    ask.header("x-id", "1").header("x-probe", down).header("x-probe-up", up)
}

fn send(bench: &Bench, ask: &Ask) -> Tried {
    Tried { reply: bench.send(ask), down: bench.trace("1"), up: bench.trace_up("1") }
}

fn status(status: u16) -> Script {
    Script { status, ..Script::default() }
}

fn slow() -> Script {
    Script { delay: Duration::from_secs(5), ..Script::default() }
}

/// Four events, one after the other.
fn stream(pause: u64) -> Script {
    let stream = Some(vec![b"data: x\n\n".to_vec(); 4]);
    Script { chunk_delay: Duration::from_millis(pause), stream, ..Script::default() }
}

/// What has been said to a step, each time.
fn said(trace: &str, step: &str) -> Vec<String> {
    let step = format!("  {step} -> ");
    trace.lines().filter_map(|line| line.strip_prefix(&step)).map(str::to_owned).collect()
}

fn count(trace: &str, phase: &str) -> usize {
    trace.lines().filter(|line| line.starts_with(phase)).count()
}

const COUNT: &str = "number upstream/request_attempt_count";
const DETAILS: &str = "property response/code_details";

lab!(h18_another_cluster_is_asked_after_a_status_that_is_to_be_tried_again, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(status(429));
    let tried = send(&bench, &ask("/chain", "one,two", "", ""));
    assert_eq!((tried.reply.status, bench.a.requests().len(), bench.b.requests().len()), (200, 1, 1));
    assert_eq!(count(&tried.down, "response_headers"), 1, "the listener's filters see one answer");
    // The first answer's body comes to nobody.
    assert_eq!(count(&tried.up, "response_body"), 1, "{}", tried.up);
    bench.a.play(status(400));
    assert_eq!(bench.send(&ask("/chain", "one,two", "", "")).status, 400);
});

lab!(h18_the_status_is_the_one_that_the_cluster_s_filter_leaves, |host| {
    let bench = Bench::up(host, "probe");
    let late = "response_headers@one=pause;response_body@one=set-response :status 503";
    let tried = send(&bench, &ask("/chain", "one,two", "", late));
    assert_eq!((tried.reply.status, bench.a.requests().len(), bench.b.requests().len()), (200, 1, 1));
    assert!(tried.up.contains("set-response :status 503 -> ok\ndone\nrequest_headers"), "{}", tried.up);
});

lab!(h18_there_is_no_attempt_more_than_clusters_and_the_last_answer_goes_on, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(status(429));
    bench.b.play(status(503));
    let statuses = ["one", "two,one", "one,two", "one,one,one,two"]
        .map(|chain| bench.send(&ask("/chain", chain, "", "")).status);
    assert_eq!(statuses, [429, 429, 503, 429]);
    assert_eq!((bench.a.requests().len(), bench.b.requests().len()), (6, 2));
});

lab!(h18_without_names_all_attempts_go_to_one_cluster, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(status(429));
    assert_eq!(bench.send(&Ask::post("/chain", "x")).status, 429);
    assert_eq!(bench.a.requests().len(), 3);
});

lab!(h18_whether_no_answer_is_tried_again_depends_on_where_it_failed, |host| {
    let bench = Bench::up(host, "probe");
    let status = |path: &str, chain: &str| bench.send(&ask(path, chain, "", "")).status;
    assert_eq!((status("/chain", "gone,two"), status("/careful", "gone,two")), (200, 200));
    assert_eq!((status("/chain", "shut,two"), status("/careful", "shut,two")), (200, 503));
    let said = bench.send(&ask("/chain", "gone,gone", "", "")).text();
    assert!(said.contains("retried and the latest reset reason: remote connection failure"), "{said}");
});

lab!(h18_an_answer_that_breaks_off_is_tried_again_while_a_filter_holds_it, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(Script { cut: Some(Cut { after: 1, how: How::Close }), ..stream(20) });
    let held = "response_headers@one=pause;response_body@one=pause";
    assert_eq!(bench.send(&ask("/chain", "one,two", "", held)).status, 200);
    assert_eq!(bench.b.requests().len(), 1);
    // Once it has begun, it is the answer.
    let broken = bench.send(&ask("/chain", "one,two", &format!("log={DETAILS}"), ""));
    assert!(broken.status == 200 && !broken.complete);
    assert_eq!(bench.b.requests().len(), 1);
    let trace = bench.trace("1");
    assert!(said(&trace, DETAILS)[0].starts_with("upstream_reset_after_response_started{"), "{trace}");
});

lab!(h19_an_attempt_has_its_time_until_the_headers_have_passed_its_filters, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(slow());
    assert_eq!(bench.send(&ask("/chain", "one,two", "", "")).status, 200);
    bench.a.play(stream(300));
    let held = "response_headers@one=pause;response_body@one=pause";
    let tried = send(&bench, &ask("/chain", "one,two", "", held));
    assert!(tried.reply.text().starts_with("POST "), "{}", tried.reply.text());
    assert_eq!(bench.b.requests().len(), 2);
});

lab!(h19_a_stream_that_has_begun_takes_its_time, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(stream(300));
    let reply = bench.send(&ask("/chain", "one,two", "", ""));
    assert!(reply.complete && reply.text().matches("data: x").count() == 4, "{}", reply.text());
});

lab!(h19_when_the_last_attempt_takes_too_long_the_host_says_so, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(slow());
    let (down, up) = (format!("response_headers={DETAILS}"), format!("done={DETAILS}"));
    let tried = send(&bench, &ask("/careful", "one,two", &down, &up));
    assert_eq!((tried.reply.status, tried.reply.text().as_str()), (504, "upstream request timeout"));
    assert_eq!(said(&tried.down, DETAILS), ["upstream_per_try_timeout"]);
    assert_eq!(said(&tried.up, DETAILS), ["none"], "the attempt has ended before");
    assert_eq!(bench.b.requests().len(), 0);
});

lab!(h20_what_an_attempt_s_filter_does_to_the_headers_stays_and_to_the_body_does_not, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(status(429));
    let up = "request_headers=pause,get-request x-mark,set-request x-mark yes,set-request content-length 13;\
              request_body=pause;request_end=body,splice 0 3 abcdef";
    let tried = send(&bench, &ask("/chain", "one,two", "log=get-request x-mark", up));
    assert_eq!(said(&tried.up, "get-request x-mark"), ["none", "yes"]);
    assert_eq!(said(&tried.up, "body"), ["0123456789", "0123456789"]);
    assert!(tried.reply.text().ends_with("\nabcdef3456789"), "{}", tried.reply.text());
    assert_eq!(said(&tried.down, "get-request x-mark"), ["yes"], "and for the listener's filter, too");
});

lab!(h21_a_cluster_without_servers_is_the_end_and_so_is_one_that_does_not_exist, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(status(429));
    for (chain, details, attempts, cluster) in [
        ("vacant,two", "no_healthy_upstream", "1", "vacant"),
        ("one,vacant,two", "no_healthy_upstream", "2", "vacant"),
        ("nowhere,two", "cluster_not_found", "0", "none"),
        ("one,nowhere,two", "no_healthy_upstream", "2", "none"),
    ] {
        let steps = format!("response_headers={DETAILS},{COUNT},property xds/cluster_name");
        let (reply, down) = bench.probe(Ask::post("/chain", "x").header("x-chain", chain), &steps);
        assert_eq!(reply.status, 503, "{chain}");
        let seen = [DETAILS, COUNT, "property xds/cluster_name"].map(|step| said(&down, step).concat());
        assert_eq!(seen, [details, attempts, cluster], "{chain}");
    }
    assert_eq!(bench.b.requests().len(), 0);
});

lab!(h21_what_a_cluster_s_filter_answers_goes_to_the_listener_s_and_is_not_tried_again, |host| {
    let bench = Bench::up(host, "probe");
    for phase in ["request_headers", "response_headers"] {
        let id = format!("{phase} {:?}", Instant::now());
        let up = format!("{phase}=reply 503 tea,pause");
        let asked = Ask::post("/chain", "x").header("x-chain", "one,two").header("x-id", &id);
        let asked = asked.header("x-probe", &format!("response_headers={DETAILS}")).header("x-probe-up", &up);
        let reply = bench.send(&asked);
        assert_eq!((reply.status, reply.text().as_str()), (503, "tea"), "{phase}");
        assert_eq!(reply.header("x-by"), Some("probe"));
        assert_eq!(said(&bench.trace(&id), DETAILS), ["probe"], "{phase}");
        let trace = bench.trace_up(&id);
        assert!(trace.ends_with("  reply 503 tea -> ok\ndone"), "its own filter does not see it: {trace}");
    }
    assert_eq!(bench.b.requests().len(), 0);
});

lab!(h22_filters_are_told_which_attempt_it_is_and_at_which_cluster, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(status(429));
    let steps = format!("{COUNT},property xds/cluster_name");
    let down = format!("request_headers={COUNT};response_headers={steps}");
    let tried = send(&bench, &ask("/chain", "one,two", &down, &format!("request_headers={steps}")));
    assert_eq!(said(&tried.up, COUNT), ["1", "2"]);
    assert_eq!(said(&tried.up, "property xds/cluster_name"), ["one", "two"]);
    assert_eq!(said(&tried.down, COUNT), ["0", "2"]);
    assert_eq!(said(&tried.down, "property xds/cluster_name"), ["two"]);
});

lab!(h22_what_a_cluster_s_filter_leaves_with_the_stream_the_listener_s_finds, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(status(429));
    let down = "request_headers=property lab.from;response_headers=property lab.from,property lab.first";
    let up = "request_headers=set-property lab.from up;request_headers@one=set-property lab.from up;\
              response_headers@one=set-property lab.first failed";
    let tried = send(&bench, &ask("/chain", "one,two", down, up));
    assert_eq!(said(&tried.down, "property lab.from"), ["none", "up"]);
    assert_eq!(said(&tried.down, "property lab.first"), ["failed"]);
});

lab!(h23_vms_of_one_id_share_data_though_their_configurations_differ, |host| {
    let bench = Bench::up(host, "probe");
    let down = "request_headers=shared-get k;response_headers=shared-get k";
    let tried = send(&bench, &ask("/chain", "one", down, "request_headers=shared-set k hello"));
    assert_eq!(said(&tried.down, "shared-get k"), ["none", "hello"]);
});

lab!(h24_every_attempt_says_goodbye_before_the_next_begins, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(status(429));
    let up = format!("done={DETAILS}");
    let tried = send(&bench, &ask("/chain", "gone,one,two", "", &up));
    assert_eq!(tried.reply.status, 200);
    assert_eq!(said(&tried.up, DETAILS), ["none", "via_upstream", "via_upstream"], "{}", tried.up);
    let order: Vec<&str> =
        tried.up.lines().filter(|line| line.starts_with("request_headers") || *line == "done").collect();
    assert_eq!(order.chunks(2).map(|pair| pair[1]).collect::<Vec<_>>(), ["done"; 3], "{}", tried.up);
    assert_eq!(count(&tried.up, "log"), 0, "{}", tried.up);
});

lab!(h24_a_client_that_leaves_ends_the_attempt_and_there_is_no_other, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(Script { delay: Duration::from_millis(400), ..status(429) });
    let (down, up) = (format!("log={DETAILS}"), format!("done={DETAILS}"));
    let (client, begun) = ask("/chain", "one,two", &down, &up).start(bench.address);
    while bench.a.requests().is_empty() && begun.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(client);
    let (down, up) = (bench.trace("1"), bench.trace_up("1"));
    assert_eq!(said(&down, DETAILS), ["downstream_remote_disconnect"], "{down}");
    assert_eq!(said(&up, DETAILS), ["downstream_remote_disconnect"], "{up}");
    assert_eq!(bench.b.requests().len(), 0);
});

lab!(h24_a_client_that_leaves_a_stream_is_the_reason_of_its_end, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(stream(200));
    let steps = format!("response_headers={DETAILS};log={DETAILS}");
    let (mut client, _) = ask("/chain", "one", &steps, &format!("done={DETAILS}")).start(bench.address);
    assert!(client.read(&mut [0; 100]).unwrap() > 0);
    drop(client);
    let (down, up) = (bench.trace("1"), bench.trace_up("1"));
    assert_eq!(said(&down, DETAILS), ["via_upstream", "downstream_remote_disconnect"], "{down}");
    assert_eq!(said(&up, DETAILS), ["downstream_remote_disconnect"], "{up}");
});

lab!(h25_a_request_that_is_too_long_to_keep_is_asked_once, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(status(429));
    let asked = |size: usize| {
        let ask = Ask::post("/chain", "x".repeat(size)).header("x-chain", "one,two");
        bench.send(&ask).status
    };
    assert_eq!((asked(900_000), asked(3 << 20)), (200, 429));
});
