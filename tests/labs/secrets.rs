//! A provider's key is in the provider's request and nowhere else.

use std::path::Path;

use labs::gateway::Start;
use labs::policies::{keyed, route, upstream};
use labs::{Ask, Host, lab};
use mock_provider::{Mock, Script};

const INLINE: &str = "sk-this-is-in-the-file-0001";
const VARIABLE: &str = "sk-this-is-in-the-environment-0002";

lab!(a_key_is_in_no_log_no_dump_no_metric_and_no_answer, |host: Host| {
    // A provider that answers with what it was asked: but for its own answer, the key is nowhere.
    let provider = Mock::start("127.0.0.1:0".parse().unwrap(), Script::default()).unwrap();
    let policies = keyed("inline", provider.address(), INLINE)
        + &upstream("variable", provider.address(), "authToken: {inline: \"${LAB_KEY}\"}")
        + &route("/inline", "inline", "")
        + &route("/variable", "variable", "");
    let gateway = Start::new(host, &policies).env("LAB_KEY", VARIABLE).arg("--log-level").arg("trace").up();
    let mut told = gateway.banner.clone();
    for path in ["/inline", "/variable"] {
        let plain = gateway.send(&Ask::chat(path));
        assert_eq!(plain.status, 200);
        told += &format!("{:?}{}", plain.headers, plain.text());
        told += &gateway.send(&Ask::chat_stream(path)).text();
        told += &gateway.send(&Ask::post(path, "{")).text();
        provider.play(Script { status: 401, ..Script::default() });
        told += &gateway.send(&Ask::chat(path)).text();
        provider.play(Script::default());
    }
    for path in [
        "/config_dump",
        "/config_dump?include_eds",
        "/stats/prometheus",
        "/stats",
        "/clusters",
        "/server_info",
        "/certs",
        "/init_dump",
        "/listeners",
        "/",
    ] {
        told += &gateway.admin(path);
    }
    let command_line = std::fs::read_to_string(format!("/proc/{}/cmdline", gateway.worker_pid())).unwrap();
    let seen: Vec<String> =
        provider.requests().iter().filter_map(|it| it.header("authorization").map(str::to_owned)).collect();
    assert!(
        seen.contains(&format!("Bearer {INLINE}")) && seen.contains(&format!("Bearer {VARIABLE}")),
        "{seen:?}"
    );
    let log = gateway.log();
    assert!(host == Host::Sim || log.len() > 10_000, "the log is not at its loudest");
    for key in [INLINE, VARIABLE] {
        assert!(!told.contains(key) && !log.contains(key) && !command_line.contains(key), "{key} is shown");
    }
});

lab!(the_files_with_keys_are_for_their_owner_s_eyes_only, |host: Host| {
    use std::os::unix::fs::MetadataExt;
    let provider = Mock::start("127.0.0.1:0".parse().unwrap(), Script::default()).unwrap();
    let gateway = Start::new(host, &(keyed("a", provider.address(), INLINE) + &route("/a", "a", ""))).up();
    if host == Host::Envoy {
        let folder = std::fs::read_link(format!("/proc/{}/cwd", gateway.worker_pid())).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(
            (mode(&folder), mode(&folder.join("keys")), mode(&folder.join("keys/lab.a.yaml"))),
            (0o700, 0o700, 0o600)
        );
    }
});
