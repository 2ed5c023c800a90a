//! The sidecar beside a gateway: when there is one, where it is, and what labs need to start and end one.

use std::process::Command;

use labs::gateway::Start;
use labs::policies::simple;
use labs::sidecar::{Sidecar, redis};
use labs::{Ask, Host, lab, project};
use mock_provider::{Mock, Script};

fn status(sidecar: &Sidecar, path: &str) -> u16 {
    Ask::get(path).send(sidecar.address.parse().unwrap()).status
}

lab!(a_gateway_that_counts_nothing_has_no_sidecar_and_does_not_speak_of_one, |host: Host| {
    let provider = Mock::start("127.0.0.1:0".parse().unwrap(), Script::default()).unwrap();
    let policies = simple(provider.address());
    // Nobody listens at either.
    for more in [&["--redis", "redis://127.0.0.1:9"], &["--sidecar", "127.0.0.1:9"]] {
        let start = more.iter().fold(Start::new(host, &policies), |start, arg| start.arg(arg));
        let gateway = start.env("REDIS_URL", "no URL at all").up();
        assert_eq!(gateway.send(&Ask::chat("/openai")).status, 200);
        assert!(!gateway.banner.contains("budgets"), "{}", gateway.banner);
        assert_eq!(gateway.log(), "");
    }
});

#[test]
fn a_sidecar_elsewhere_has_its_own_redis() {
    let mut up = Command::new(project::turnpike());
    let output = up.args(["up", "--sidecar", "a:1", "--redis", "redis://:s3cret@h"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot be used with") && !said.contains("s3cret"), "{said}");
}

#[test]
fn a_sidecar_that_is_killed_can_be_started_again_where_it_was() {
    for server in redis::VERSIONS.into_iter().filter_map(redis::start) {
        let mut sidecar = Sidecar::start("127.0.0.1:0", &["--redis", &server.url()]);
        let place = format!("counters are in Redis at 127.0.0.1:{}/0", server.port);
        assert!(sidecar.said.ends_with(&place), "{}", sidecar.said);
        assert_eq!(status(&sidecar, "/readyz"), 200);
        sidecar.end();
        let again = Sidecar::start(&sidecar.address, &["--redis", &server.url()]);
        assert_ne!(again.pid(), sidecar.pid());
        assert_eq!((&again.address, status(&again, "/readyz")), (&sidecar.address, 200));
    }
}
