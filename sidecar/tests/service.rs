//! The sidecar over HTTP, with counters in its own memory.

#[cfg(test)]
mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use support::{Sidecar, answers, lasting};

fn ask() -> Value {
    json!({
        "request": "6f1c2b7a-0001",
        "input": {"prompt": {"messages": [{"role": "user", "content": "Hello, world!"}]}},
        "limits": [
            {"name": "team-tokens", "key": "team-a", "max": 70, "windowSeconds": 31_536_000, "window": "fixed",
             "amount": {"constant": 0, "perInput": 1, "estimate": 1000}, "mode": "enforce"},
            {"name": "requests", "key": "alice", "max": 5, "windowSeconds": 31_536_000, "window": "sliding",
             "amount": {"constant": 1, "perInput": 0, "estimate": 0}, "mode": "monitor"},
        ],
    })
}

#[test]
fn a_request_is_admitted_and_settled() {
    let sidecar = Sidecar::start(&[]);
    let admitted = sidecar.post("/v1/admit", &ask());
    assert_eq!(admitted.status, 200);
    assert!(
        admitted.head.contains("\r\nx-turnpike-sidecar: 1")
            && admitted.head.contains("\r\ncontent-type: application/json")
    );
    let mut answer = admitted.json();
    for limit in answer["limits"].as_array_mut().unwrap() {
        let reset = limit.as_object_mut().unwrap().remove("resetSeconds").unwrap().as_u64().unwrap();
        assert!((1..=31_536_000).contains(&reset));
    }
    answer.as_object_mut().unwrap().remove("reservation").unwrap();
    let expected = json!({"allowed": true, "inputTokens": 13, "limits": [
        {"name": "team-tokens", "max": 70, "remaining": 0, "exceeded": false, "spent": false},
        {"name": "requests", "max": 5, "remaining": 4, "exceeded": false, "spent": false},
    ]});
    assert_eq!(answer, expected);

    let mut next = ask();
    next["request"] = json!("another");
    let denied = sidecar.post("/v1/admit", &next).json();
    assert_eq!((&denied["allowed"], &denied["reservation"]), (&json!(false), &Value::Null));
    assert_eq!(
        (&denied["limits"][0]["exceeded"], &denied["limits"][1]["exceeded"]),
        (&json!(true), &json!(false))
    );

    let item = json!({"reservation": admitted.reservation(), "used": [43, 1]});
    let forged = json!({"reservation": format!("{}A", admitted.reservation()), "used": [0, 0]});
    let short = json!({"reservation": admitted.reservation(), "used": [43]});
    let settled = sidecar.post("/v1/settle", &json!({"items": [item, forged, short]}));
    assert_eq!(settled.body, r#"{"settled":1,"known":0,"refused":2}"#);
    let again = sidecar.post("/v1/settle", &json!({"items": [item]}));
    assert_eq!(again.body, r#"{"settled":0,"known":1,"refused":0}"#);
    next["limits"][0]["amount"]["estimate"] = json!(0);
    assert_eq!(sidecar.post("/v1/admit", &next).remaining(), 70 - 43 - 13);
}

#[test]
fn what_is_wrong_is_told_in_the_shape_of_errors_and_with_the_sidecars_header() {
    let sidecar = Sidecar::start(&[]);
    let mut other = ask();
    other["limits"][0]["max"] = json!(71);
    sidecar.post("/v1/admit", &ask());
    let long = vec![b' '; sidecar_api::BODY_BYTES + 1];
    let items: Vec<Value> = (0..1001).map(|_| json!({"reservation": "", "used": []})).collect();
    let cases = [
        (sidecar.post("/v1/admit", &other), 409, "request_conflict"),
        (sidecar.post("/v1/admit", &json!({})), 400, "invalid_request"),
        (
            sidecar.post("/v1/admit", &json!({"request": "r", "limits": [], "burst": 1})),
            400,
            "invalid_request",
        ),
        (sidecar.post("/v1/settle", &json!({"items": items})), 400, "invalid_request"),
        (sidecar.send("POST", "/v1/admit", "", &long), 413, "body_too_large"),
        (sidecar.get("/v1/admit"), 405, "method_not_allowed"),
        (sidecar.get("/"), 404, "not_found"),
    ];
    for (answer, status, code) in cases {
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
        assert!(answer.head.contains("\r\nx-turnpike-sidecar: 1"), "{}", answer.head);
    }
}

#[test]
fn a_long_prompt_is_counted_and_a_hundred_at_once_do_not_overspend() {
    let sidecar = Sidecar::start(&[]);
    let mut long = ask();
    long["request"] = json!("long");
    long["input"] = json!({"prompt": {"prompt": "Hello, world! ".repeat(100_000)}});
    long["limits"] = json!([lasting("long", 1_000_000, 0)]);
    assert_eq!(sidecar.post("/v1/admit", &long).json()["inputTokens"], 400_001);
    let allowed = std::thread::scope(|scope| {
        let ask = |at| {
            scope.spawn({
                let sidecar = &sidecar;
                move || sidecar.admit(&format!("r-{at}"), lasting("k", 1000, 50)).allowed()
            })
        };
        let all: Vec<_> = (0..100).map(ask).collect();
        all.into_iter().map(|one| one.join().unwrap()).filter(|allowed| *allowed).count()
    });
    assert_eq!(allowed, 20);
}

#[test]
fn it_says_where_counters_are_and_counts_what_it_does() {
    let sidecar = Sidecar::start(&["--memory-keys", "3"]);
    assert!(
        sidecar.said.ends_with("counters are in this process's memory: they are not shared and end with it")
    );
    assert_eq!((sidecar.get("/healthz").status, sidecar.get("/readyz").status), (200, 200));
    assert!(
        sidecar.admit("a", lasting("a", 1, 1)).allowed() && !sidecar.admit("b", lasting("a", 1, 1)).allowed()
    );
    let full = sidecar.admit("c", lasting("c", 1, 1));
    assert_eq!((full.status, full.code().as_str()), (503, "store_full"));
    sidecar.settle("forged", 1);
    let metrics = sidecar.get("/metrics").body;
    for line in [
        r#"turnpike_sidecar_admits_total{outcome="allowed"} 1"#,
        r#"turnpike_sidecar_admits_total{outcome="denied"} 1"#,
        r#"turnpike_sidecar_admits_total{outcome="failed"} 1"#,
        r#"turnpike_sidecar_settles_total{outcome="refused"} 1"#,
        r#"turnpike_sidecar_store_errors_total{operation="reserve"} 1"#,
        r#"turnpike_sidecar_store_seconds_count{operation="reserve"} 3"#,
        "turnpike_sidecar_memory_keys 2",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn a_socket_in_the_file_system_will_do_and_logs_name_the_trace_and_no_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, log) = (folder.path().join("socket"), folder.path().join("log"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnpike-sidecar"));
    command.arg("--listen").arg(format!("unix:{}", socket.display())).env("TURNPIKE_LOG", "debug");
    let mut sidecar = Sidecar::spawn(command.stderr(Stdio::from(std::fs::File::create(&log).unwrap())));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer =
        sidecar.send("POST", "/v1/admit", &format!("traceparent: {trace}\r\n"), ask().to_string().as_bytes());
    assert_eq!(answer.status, 200);
    sidecar.send(
        "POST",
        "/v1/admit",
        "traceparent: something of a client's\r\n",
        ask().to_string().as_bytes(),
    );
    sidecar.end();
    let log = std::fs::read_to_string(log).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["span"]["traceparent"] == trace && line["status"] == 200), "{log}");
    for secret in ["Hello", "team-a", "alice", &answer.reservation(), "client's"] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[test]
fn what_is_used_up_is_told_apart_from_what_is_reserved() {
    let sidecar = Sidecar::start(&[]);
    let spent =
        |request: &str| sidecar.admit(request, lasting("k", 10, 10)).json()["limits"][0]["spent"].clone();
    let reservation = sidecar.admit("first", lasting("k", 10, 10)).reservation();
    assert_eq!(spent("second"), false);
    sidecar.settle(&reservation, 10);
    assert_eq!(spent("third"), true);
}

#[test]
fn more_connections_than_are_served_at_once_wait_for_one_to_end() {
    let sidecar = Sidecar::start(&["--connections", "2"]);
    let patience = Duration::from_secs(10);
    let held = [sidecar.asking(), sidecar.asking()];
    assert!(held.iter().all(|stream| answers(stream, patience)));
    let third = sidecar.asking();
    assert!(!answers(&third, Duration::from_millis(200)), "it is served beside two others");
    drop(held);
    assert!(answers(&third, patience), "it is not served after them");
}

#[test]
fn a_url_that_cannot_be_read_is_refused_and_not_repeated() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnpike-sidecar"));
    let output = command.env("REDIS_URL", "http://u:s3cret@h").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("REDIS_URL") && !said.contains("s3cret"), "{said}");
}

#[test]
fn a_secret_that_is_too_short_or_not_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "short\n").unwrap();
    for (path, expected) in
        [(file.clone(), "a secret has at least 16 bytes"), (folder.path().join("none"), "No such file")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnpike-sidecar"));
        let output = command.args(["--listen", "127.0.0.1:0", "--secret-file"]).arg(path).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(expected), "{said}");
    }
}
