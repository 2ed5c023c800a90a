//! The dashboard: every query of it, asked of a real Prometheus that has looked at the gateway.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use labs::policies::{keyed, options, route};
use labs::{Ask, Gateway, lab, project};
use mock_provider::{Mock, Script};
use serde_json::Value;
use tempfile::TempDir;

/// A Prometheus that looks at one gateway every second.
struct Prometheus {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Prometheus {
    fn over(gateway: &Gateway) -> Option<Prometheus> {
        let program = project::cache().join("prometheus/prometheus");
        if !program.is_file() {
            assert!(std::env::var_os("CI").is_none(), "there is no Prometheus, and this is CI");
            let what = "SKIPPED: there is no Prometheus (`tests/setup prometheus` fetches it)";
            let _ = writeln!(std::io::stderr(), "{what}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let config = fs::read_to_string(project::root().join("envoy/grafana/prometheus.yml")).unwrap();
        let config = config.replace("GATEWAY", &gateway.admin.to_string()).replace("5s", "1s");
        fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(program);
        command.arg("--config.file").arg(folder.path().join("prometheus.yml"));
        command.arg("--storage.tsdb.path").arg(folder.path().join("data"));
        command.args(["--web.listen-address", &address.to_string(), "--log.level", "error"]);
        let process = command.stdout(Stdio::null()).spawn().unwrap();
        Some(Prometheus { process, address, _folder: folder })
    }

    /// What a path of its interface says, once it says anything that is not nothing.
    fn await_data(&self, path: &str) -> Value {
        let begun = Instant::now();
        loop {
            let up = std::net::TcpStream::connect(self.address).is_ok();
            let said = if up { Ask::get(path).send(self.address).json() } else { Value::Null };
            let data =
                if said["data"]["result"].is_array() { &said["data"]["result"] } else { &said["data"] };
            if data.as_array().is_some_and(|it| !it.is_empty()) {
                return data.clone();
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "no data of {path}: {said}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What a query gives.
    fn query(&self, query: &str) -> Value {
        let query: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.await_data(&format!("/api/v1/query?query={query}"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Requests of which each leaves something in each panel.
fn load(gateway: &Gateway) {
    for _ in 0..3 {
        gateway.send(&Ask::chat("/openai"));
        gateway.send(&Ask::chat_stream("/openai"));
        gateway.send(&Ask::chat("/details"));
    }
}

lab!(every_query_of_the_dashboard_has_data, |host| {
    let busy =
        Script { status: 429, headers: vec![("retry-after".into(), "60".into())], ..Script::default() };
    let start = |script| Mock::start("127.0.0.1:0".parse().unwrap(), script).unwrap();
    let (first, second) = (start(busy), start(Script::default()));
    let ai = "ai: {failover: {backups: [{upstreamRef: {name: second}}], cooldown: {}}, promptGuard: {request: {regex: {action: MASK, matches: [{pattern: hello, name: hello}]}}}}, budgets: [{name: b, counts: prompt, max: 1000000, per: day}]";
    let usage = r#"{"prompt_tokens":9,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}"#;
    let details =
        start(Script { page: Some(format!(r#"{{"choices":[],"usage":{usage}}}"#)), ..Script::default() });
    let policies = keyed("openai", first.address(), "a")
        + &keyed("details", details.address(), "c")
        + &route("/details", "details", "")
        + &keyed("second", second.address(), "b")
        + &options("RouteOption", "HTTPRoute", "openai", ai)
        + &route("/openai", "openai", "");
    let gateway = Gateway::up(host, &policies);
    let Some(prometheus) = Prometheus::over(&gateway) else { return };
    load(&gateway);
    prometheus.query("turnpike_requests_total");
    load(&gateway);
    let text = fs::read_to_string(project::root().join("envoy/grafana/prompt-usage.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() >= 11);
    for target in panels.iter().flat_map(|it| it["targets"].as_array().unwrap()) {
        let query = target["expr"].as_str().unwrap();
        let query = query.replace("$llm", ".*").replace("$model", ".*").replace("$__rate_interval", "1m");
        let data = prometheus.query(&query);
        assert!(data[0]["value"][1].is_string(), "{query}: {data}");
    }
    // The panels of Gloo's own dashboard, as they are.
    prometheus.query(r#"rate(ai_prompt_tokens_total{provider=""}[5m])"#);
    prometheus.query("rate(ai_completion_tokens_total[5m])");
    for label in ["llm", "model"] {
        prometheus.await_data(&format!("/api/v1/label/{label}/values?match[]=ai_completion_tokens_total"));
    }
});
