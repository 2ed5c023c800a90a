//! The sidecar with counters in real servers, and what becomes of them.

#[cfg(test)]
mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::redis::{Server, VERSIONS, free_port, start, start_with};
use support::{Sidecar, lasting, limit, until};

/// Longer than anybody who waits for the sidecar may have to.
const BOUND: Duration = Duration::from_millis(1500);

fn every_version(test: impl Fn(Server)) {
    VERSIONS.into_iter().filter_map(start).for_each(test);
}

#[test]
fn a_hundred_at_once_on_two_sidecars_do_not_overspend() {
    every_version(|server| {
        let sidecars = [Sidecar::on(&server), Sidecar::on(&server)];
        let allowed = std::thread::scope(|scope| {
            let all: Vec<_> = (0..100)
                .map(|at| (at, &sidecars[at % 2]))
                .map(|(at, sidecar)| {
                    scope.spawn(move || sidecar.admit(&format!("r{at}"), lasting("k", 1000, 50)).allowed())
                })
                .collect();
            all.into_iter().map(|one| u32::from(one.join().unwrap())).sum::<u32>()
        });
        assert_eq!(allowed, 20);
        let keys = server.keys();
        assert!(keys.len() == 22 && keys.iter().all(|(_, ttl)| *ttl > 0), "{keys:?}");
    });
}

#[test]
fn any_sidecar_settles_and_each_reservation_once() {
    every_version(|server| {
        let (one, other) = (Sidecar::on(&server), Sidecar::on(&server));
        let reservation = one.admit("r", lasting("k", 100, 60)).reservation();
        assert_eq!(
            one.admit("r", lasting("k", 100, 60)).reservation(),
            reservation,
            "asked again, it is the same"
        );
        assert_eq!(other.settle(&reservation, 10)["settled"], 1);
        assert_eq!(
            (&one.settle(&reservation, 10)["known"], &other.settle(&reservation, 90)["known"]),
            (&1.into(), &1.into())
        );
        assert_eq!(one.admit("s", lasting("k", 100, 0)).remaining(), 90);

        let stranger = Sidecar::spawn(
            Command::new(env!("CARGO_BIN_EXE_turnpike-sidecar"))
                .args(["--listen", "127.0.0.1:0", "--redis", &server.url(), "--secret-file"])
                .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")),
        );
        let reservation = one.admit("t", lasting("k", 100, 60)).reservation();
        assert_eq!(stranger.settle(&reservation, 0)["refused"], 1);
        assert_eq!(one.settle(&reservation, 0)["settled"], 1);
    });
}

#[test]
fn a_server_that_is_killed_is_missed_for_a_bounded_time_and_keeps_its_counters() {
    every_version(|mut server| {
        let sidecar = Sidecar::on(&server);
        let before = sidecar.admit("before", lasting("k", 100, 60)).reservation();
        server.kill();
        for request in ["a", "b", "c"] {
            let answer = sidecar.admit(request, lasting("k", 100, 10));
            // What was under way when it was killed may have been done.
            let said = (answer.status, answer.code());
            let possible = [(503, "store_unavailable"), (504, "store_silent")];
            assert!(possible.contains(&(said.0, said.1.as_str())), "{said:?}");
            assert!(
                answer.head.contains("x-turnpike-sidecar: 1") && answer.took < BOUND,
                "{:?}",
                answer.took
            );
        }
        let ready = sidecar.get("/readyz");
        assert!(
            ready.status == 503 && ready.body.contains("the store of the counters is away"),
            "{}",
            ready.body
        );
        assert_eq!(sidecar.get("/healthz").status, 200);
        assert!(sidecar.get("/metrics").body.contains("turnpike_sidecar_breaker_open 1"));
        server.again();
        until("it is ready again", || sidecar.get("/readyz").status == 200);
        assert_eq!(sidecar.admit("d", lasting("k", 100, 0)).remaining(), 40);
        assert_eq!(sidecar.settle(&before, 5)["settled"], 1);
        assert_eq!(sidecar.admit("e", lasting("k", 100, 0)).remaining(), 95);
    });
}

#[test]
fn a_server_that_was_restarted_in_between_costs_nobody_anything() {
    every_version(|mut server| {
        let sidecar = Sidecar::on(&server);
        assert!(sidecar.admit("a", lasting("k", 100, 60)).allowed());
        server.kill();
        server.again();
        assert_eq!(sidecar.admit("b", lasting("k", 100, 10)).remaining(), 30);
        server.ask("SCRIPT FLUSH");
        assert_eq!(sidecar.admit("c", lasting("k", 100, 10)).remaining(), 20);
    });
}

#[test]
fn a_server_that_stands_still_is_waited_for_once_a_second() {
    every_version(|server| {
        let sidecar = Sidecar::on(&server);
        assert!(sidecar.admit("a", lasting("k", 100, 10)).allowed());
        server.signal(Signal::STOP);
        let first = sidecar.admit("b", lasting("k", 100, 10));
        let second = sidecar.admit("c", lasting("k", 100, 10));
        server.signal(Signal::CONT);
        assert_eq!((first.status, first.code().as_str(), second.status), (504, "store_silent", 503));
        assert!(first.took < BOUND, "{:?}", first.took);
        until("it answers again", || sidecar.admit("d", lasting("k", 100, 10)).status == 200);
        // What it was asked while it stood still it has done, and the same request again is the same reservation.
        let left = sidecar.admit("b", lasting("k", 100, 10)).remaining();
        assert!(left == 70, "{left}");
    });
}

#[test]
fn a_reservation_outlives_its_sidecar_and_is_given_back_after_its_lease() {
    every_version(|server| {
        let mut sidecar = Sidecar::start(&["--redis", &server.url(), "--lease", "2"]);
        assert!(sidecar.admit("a", lasting("k", 100, 100)).allowed());
        sidecar.end();
        let next = Sidecar::start(&["--redis", &server.url(), "--lease", "2"]);
        let mut tries = 0..;
        let denied = !next.admit("b", lasting("k", 100, 100)).allowed();
        until("it is given back", || {
            next.admit(&format!("c{}", tries.next().unwrap_or(0)), lasting("k", 100, 100)).allowed()
        });
        assert!(denied);
    });
}

#[test]
fn a_window_ends_by_the_servers_clock() {
    every_version(|server| {
        let sidecar = Sidecar::on(&server);
        let mut at = 0;
        let mut ask = || {
            at += 1;
            sidecar.admit(&format!("r{at}"), limit("k", 1, 1, 1)).allowed()
        };
        // In each window of a second one of many passes.
        let begun = Instant::now();
        let mut allowed = 0;
        while begun.elapsed() < Duration::from_millis(2500) {
            allowed += u64::from(ask());
        }
        let windows = begun.elapsed().as_secs() + 2;
        assert!((2..=windows).contains(&allowed), "{allowed} of {windows}");
    });
}

#[test]
fn nobody_who_listens_but_is_no_redis_is_trusted_or_waited_for() {
    let garbage: [&[u8]; 4] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"*-7\r\n$99999999999\r\n",
        b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n",
        b"",
    ];
    for answer in garbage {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://127.0.0.1:{}", listener.local_addr().unwrap().port());
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 100]);
                let _ = stream.write_all(answer);
                open.push(stream);
            }
        });
        let sidecar = Sidecar::start(&["--redis", &url]);
        let admitted = sidecar.admit("r", lasting("k", 10, 1));
        assert!([503, 504].contains(&admitted.status), "{}", admitted.body);
        assert!(admitted.took < BOUND, "{:?}", admitted.took);
        // However many ask, and nobody has asked before.
        let sidecar = Sidecar::start(&["--redis", &url]);
        std::thread::scope(|scope| {
            let ask = |at: u32| {
                let sidecar = &sidecar;
                scope.spawn(move || sidecar.admit(&format!("r{at}"), lasting("k", 10, 1)))
            };
            let all: Vec<_> = (0..50).map(ask).collect();
            for answer in all.into_iter().map(|one| one.join().unwrap()) {
                assert!(answer.status >= 503 && answer.took < BOUND, "{:?}", answer.took);
            }
        });
    }
}

#[test]
fn a_password_is_used_and_never_said() {
    let args = ["--requirepass", "s3cret-of-redis"];
    for server in VERSIONS.into_iter().filter_map(|version| start_with(version, &args)) {
        let url = format!("redis://:s3cret-of-redis@127.0.0.1:{}/3", server.port);
        let sidecar = Sidecar::start(&["--redis", &url]);
        assert!(sidecar.admit("r", lasting("k", 10, 1)).allowed());
        assert!(
            sidecar.said.ends_with(&format!("counters are in Redis at 127.0.0.1:{}/3", server.port)),
            "{}",
            sidecar.said
        );
        let wrong = Sidecar::start(&["--redis", &url.replace("s3cret-of", "s3cret-off")]);
        let ready = wrong.get("/readyz");
        assert!(ready.status == 503 && !ready.body.contains("s3cret"), "{}", ready.body);
    }
}

#[test]
fn a_server_is_spoken_to_over_tls_if_its_certificate_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(file("cert"), made.cert.pem()).unwrap();
    std::fs::write(file("key"), made.signing_key.serialize_pem()).unwrap();
    for version in VERSIONS {
        let port = free_port().to_string();
        let (cert, key) = (file("cert"), file("key"));
        let tls = [
            "--tls-port",
            &port,
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &cert,
        ];
        let Some(_server) = start_with(version, &[&tls[..], &["--tls-auth-clients", "no"]].concat()) else {
            continue;
        };
        let sidecar = |trusted: bool| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_turnpike-sidecar"));
            command.args(["--listen", "127.0.0.1:0", "--redis", &format!("rediss://localhost:{port}")]);
            Sidecar::spawn(if trusted { command.env("SSL_CERT_FILE", &cert) } else { &mut command })
        };
        let admitted = sidecar(true).admit("r", lasting("k", 10, 1));
        assert_eq!(admitted.status, 200, "{}", admitted.body);
        let refused = sidecar(false).get("/readyz");
        assert!(refused.status == 503 && refused.body.contains("certificate"), "{}", refused.body);
    }
}
