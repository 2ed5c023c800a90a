//! The command line, as people and scripts use it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use labs::gateway::{Start, children, envoy, envoy_is_here};
use labs::policies::simple;
use labs::{Ask, Gateway, Host, lab, project};
use mock_provider::{Mock, Script};
use rustix::process::{Pid, Signal, test_kill_process};

fn turnpike(args: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(project::turnpike());
    command.current_dir(folder).env_remove("OPENAI_API_KEY").env_remove("MISTRAL_API_KEY");
    command.args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The exit code, and what was said on stdout and stderr.
fn said(args: &[&str], folder: &Path) -> (i32, String, String) {
    let output = turnpike(args, folder);
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn mock() -> Mock {
    Mock::start("127.0.0.1:0".parse().unwrap(), Script::default()).unwrap()
}

fn is_running(pid: u32) -> bool {
    test_kill_process(Pid::from_raw(pid.cast_signed()).unwrap()).is_ok()
}

/// Waits until none of these processes is there any more.
fn await_end(pids: &[u32]) {
    let begun = Instant::now();
    while pids.iter().any(|pid| is_running(*pid)) {
        assert!(begun.elapsed() < Duration::from_secs(10), "still running: {pids:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn check_says_everything_that_is_wrong_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: a}\nspec:\n  ai:\n    openai:\n      modle: x\n      authToken: {secretref: {}}\n---\nkind: RouteOptions\nmetadata: {name: b}\n";
    fs::write(folder.path().join("a.yaml"), wrong).unwrap();
    let (code, out, err) = said(&["check", "-f", "a.yaml"], folder.path());
    assert_eq!((code, out.as_str()), (1, ""));
    let expected = "a.yaml:7:7: spec.ai.openai.modle: warning: unknown field, did you mean `model`?
a.yaml:8:18: spec.ai.openai.authToken: expected one of inline, secretRef and passthrough
a.yaml:8:19: spec.ai.openai.authToken.secretref: unknown field, did you mean `secretRef`?
a.yaml:10:7: kind: RouteOptions is an unknown kind, did you mean `RouteOption`?
turnpike: 3 errors, 1 warning
";
    assert_eq!(err, expected);
}

#[test]
fn check_passes_with_warnings_and_reads_folders() {
    let (code, out, err) = said(&["check", "-f", "policies/base"], &project::root());
    assert_eq!((code, out.as_str()), (0, "ok: 2 routes, 2 upstreams, 2 warnings\n"), "{err}");
    let folder = tempfile::tempdir().unwrap();
    let (code, _, err) = said(&["check"], folder.path());
    assert_eq!(code, 1);
    assert!(
        err.starts_with("turnpike: there is no policies in /")
            && err.ends_with("; name files or folders with -f\n"),
        "{err}"
    );
}

#[test]
fn every_command_has_help_and_misuse_is_told_apart_from_failure() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        &["-h"][..],
        &["up", "-h"],
        &["check", "-h"],
        &["render", "-h"],
        &["render", "envoy", "-h"],
        &["mock", "-h"],
    ] {
        let (code, out, _) = said(command, folder.path());
        assert!(code == 0 && out.contains("Usage: turnpike"), "{command:?}");
    }
    assert!(said(&["--version"], folder.path()).1.starts_with("turnpike "));
    for command in
        [&[][..], &["upp"], &["check", "--colour"], &["render", "envoy"], &["mock", "--status", "99"]]
    {
        assert_eq!(said(command, folder.path()).0, 2, "{command:?}");
    }
    assert!(
        !text(&turnpike(&["check", "-f", "none.yaml"], folder.path()).stderr).contains('\x1b'),
        "no colour in a pipe"
    );
}

#[test]
fn nothing_is_started_without_keys_and_the_way_out_is_named() {
    let (code, out, err) = said(
        &["up", "-f", "policies/base", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
        &project::root(),
    );
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("and OPENAI_API_KEY is not set") && err.contains("let --mock stand in"), "{err}");
}

lab!(up_works_from_any_folder_and_with_several_files, |host: Host| {
    let provider = mock();
    let start = Start::new(host, "").arg("-f").arg("more").arg("--mock");
    let (mut command, folder) = start.command();
    fs::create_dir(folder.path().join("more")).unwrap();
    fs::write(folder.path().join("more/b.yml"), simple(provider.address())).unwrap();
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    use std::io::{BufRead, BufReader};
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.split(['/', ' ']).find_map(|part| part.parse().ok()).unwrap();
    assert_eq!(Ask::chat("/openai").send(address).status, 200);
    process.kill().unwrap();
    process.wait().unwrap();
});

lab!(the_keys_in_the_environment_decide_which_provider_is_played, |host: Host| {
    let policies = "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: openai, namespace: lab}\nspec: {ai: {openai: {authToken: {secretRef: {name: s}}}}}\n---\n".to_owned()
        + &labs::policies::route("/openai", "openai", "");
    let gateway = Start::new(host, &policies).arg("--mock").up();
    assert!(gateway.banner.contains("/openai -> openai, played by the bundled mock"), "{}", gateway.banner);
    assert_eq!(gateway.send(&Ask::chat("/openai")).status, 200);
    drop(gateway);
    let gateway = Start::new(host, &policies).arg("--mock").env("OPENAI_API_KEY", "sk-1").up();
    assert!(gateway.banner.contains("/openai -> openai at api.openai.com\n"), "{}", gateway.banner);
    assert!(gateway.banner.lines().count() < 15);
});

lab!(a_second_gateway_on_an_address_is_told_about_the_first, |host: Host| {
    let provider = mock();
    let first = Gateway::up(host, &simple(provider.address()));
    let (mut command, _folder) = Start::new(host, &simple(provider.address())).command();
    let second =
        command.args(["--listen", &first.address.to_string(), "--admin", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let err = text(&second.stderr);
    let expected = format!("a gateway is already running on http://{} (pid {}, ", first.address, first.pid());
    assert!(err.contains(&expected), "{err}");
    assert_eq!(first.send(&Ask::chat("/openai")).status, 200);
});

lab!(several_gateways_can_run_at_once, |host: Host| {
    let (one, two) = (mock(), mock());
    let gateways = [Gateway::up(host, &simple(one.address())), Gateway::up(host, &simple(two.address()))];
    for gateway in &gateways {
        assert_eq!(gateway.send(&Ask::chat("/openai")).status, 200);
    }
    assert_eq!((one.requests().len(), two.requests().len()), (1, 1));
});

lab!(what_up_has_started_is_gone_when_it_is, |host: Host| {
    let provider = mock();
    for signal in [Signal::TERM, Signal::INT, Signal::KILL] {
        let mut gateway = Gateway::up(host, &simple(provider.address()));
        let pids: Vec<u32> = children(gateway.pid());
        assert_eq!(pids.len(), usize::from(host == Host::Envoy));
        let code = gateway.stop(signal);
        await_end(&pids);
        if signal != Signal::KILL {
            assert_eq!(code, Some(0));
            let left = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
            let ours = |name: String| name.starts_with(&format!("turnpike-{}", gateway.address.port()));
            assert!(left.into_iter().all(|file| !ours(file.file_name().to_string_lossy().into_owned())));
        }
    }
});

lab!(an_envoy_that_stops_by_itself_ends_the_gateway_with_an_error, |host: Host| {
    if host == Host::Envoy {
        let provider = mock();
        let mut gateway = Gateway::up(host, &simple(provider.address()));
        let pid = Pid::from_raw(gateway.worker_pid().cast_signed()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        assert_eq!(gateway.wait(), Some(1));
        assert!(gateway.log().contains("Envoy has stopped by itself"), "{}", gateway.log());
    }
});

lab!(the_admin_interface_tells_health_configuration_and_metrics, |host: Host| {
    let provider = mock();
    let gateway = Gateway::up(host, &simple(provider.address()));
    assert_eq!(gateway.admin("/ready"), "LIVE\n");
    assert_eq!(gateway.send(&Ask::chat("/openai")).status, 200);
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="ok"} 1"#);
    let dump = gateway.admin("/config_dump");
    assert!(dump.contains("lab/openai") && dump.contains("downstream"), "{dump}");
});

#[test]
fn what_is_rendered_is_the_same_every_time_and_envoy_takes_it() {
    if !envoy_is_here("what_is_rendered_is_the_same_every_time_and_envoy_takes_it") {
        return;
    }
    for policies in ["policies/base", "envoy/golden/everything.yaml"] {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        for folder in &folders {
            let path = folder.path().join("out").display().to_string();
            let mut command = Command::new(project::turnpike());
            command.current_dir(project::root());
            let keys = ["OPENAI_API_KEY", "MISTRAL_API_KEY", "MODERATION_KEY"];
            command.envs(keys.map(|name| (name, "sk-1")));
            let output =
                command.args(["render", "envoy", "-f", policies, "-o", &path, "--keys"]).output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
        }
        let read =
            |folder: &tempfile::TempDir, name: &str| fs::read(folder.path().join("out").join(name)).unwrap();
        for name in ["envoy.yaml", "listener.yaml", "routes.yaml", "filter.yaml", "clusters.yaml"] {
            assert_eq!(read(&folders[0], name), read(&folders[1], name), "{name}");
        }
        let out = folders[0].path().join("out");
        fs::copy(project::module(), out.join("turnpike.wasm")).unwrap();
        with_sidecars(&out);
        // `--mode validate` looks at the bootstrap only; so each file is shown to it as a part of one.
        let whole = out.join("whole.yaml");
        fs::write(&whole, static_bootstrap(&out)).unwrap();
        let mut command = Command::new(envoy());
        let output =
            command.current_dir(&out).args(["--mode", "validate", "-c", "whole.yaml"]).output().unwrap();
        assert!(output.status.success(), "{policies}: {}", text(&output.stderr));
    }
}

/// Adds what a plan with budgets would have: a sidecar, and one at a socket.
fn with_sidecars(out: &Path) {
    let golden = fs::read_to_string(project::root().join("envoy/golden/sidecar/clusters.yaml")).unwrap();
    let cluster = golden.strip_prefix("resources:\n").unwrap();
    let (named, address) = cluster.split_once("socket_address:").unwrap();
    assert!(address.trim_start().starts_with("address:"));
    let socket = named.replace("turnpike-sidecar", "socket")
        + "pipe:\n                    path: \"/run/sidecar.sock\"\n";
    let clusters = out.join("clusters.yaml");
    let whole = fs::read_to_string(&clusters).unwrap() + cluster + &socket;
    fs::write(clusters, whole).unwrap();
}

/// The rendered files as one bootstrap without files to follow.
fn static_bootstrap(out: &Path) -> String {
    // The lab has no authority of its own where the golden's names one.
    let system = "/etc/ssl/certs/ca-certificates.crt";
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap().replace("/etc/ssl/own.pem", system);
    // Where it is known what a resource is, it must not say so itself.
    let untyped = |text: &str| {
        let typed = |line: &&str| line.starts_with("  - \"@type\"");
        let lines: Vec<&str> = text.lines().collect();
        let after = |i: usize| i.checked_sub(1).is_some_and(|before| typed(&lines[before]));
        let shown = lines.iter().enumerate().filter(|(_, line)| !typed(line));
        shown
            .map(|(i, line)| if after(i) { line.replacen("    ", "  - ", 1) } else { (*line).to_owned() })
            .collect()
    };
    let resources = |name: &str| {
        let lines: Vec<String> = untyped(read(name).strip_prefix("resources:\n").unwrap());
        lines.join("\n  ")
    };
    let bootstrap = read("envoy.yaml");
    let (head, rest) = bootstrap.split_once("dynamic_resources:").unwrap();
    let (_, tail) = rest.split_once("stats_config:").unwrap();
    let (listeners, clusters) = (resources("listener.yaml"), resources("clusters.yaml"));
    format!(
        "{head}static_resources:\n  listeners:\n  {listeners}\n  clusters:\n  {clusters}\nstats_config:{tail}"
    )
}

#[test]
fn rendered_keys_are_for_their_owner_s_eyes_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").display().to_string();
    let policies = simple("127.0.0.1:1".parse().unwrap());
    fs::write(folder.path().join("a.yaml"), policies).unwrap();
    let (code, told, _) = said(&["render", "envoy", "-f", "a.yaml", "-o", &out], folder.path());
    assert!(code == 0 && told.contains("without keys"), "{told}");
    assert!(!folder.path().join("out/keys").exists());
    said(&["render", "envoy", "-f", "a.yaml", "-o", &out, "--keys"], folder.path());
    let mode =
        |path: &str| fs::metadata(folder.path().join("out").join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("keys"), mode("keys/lab.openai.yaml"), mode("envoy.yaml")), (0o700, 0o600, 0o644));
}

#[test]
fn the_mock_provider_runs_by_hand_too() {
    use std::io::{BufRead, BufReader};
    let mut command = Command::new(project::turnpike());
    command.args(["mock", "--listen", "127.0.0.1:0", "--status", "429", "--header", "retry-after: 5"]);
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let address = lines.next().unwrap().unwrap().rsplit('/').next().unwrap().parse().unwrap();
    let reply = Ask::chat("/v1/chat/completions").send(address);
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("5")));
    let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(line["msg"], "Request received");
    assert!(line["body"].as_str().unwrap().contains("Say hello."));
    process.kill().unwrap();
    process.wait().unwrap();
}
