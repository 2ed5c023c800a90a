//! The providers' own SDKs, unchanged: plain, streamed, and told what is wrong.

use std::path::PathBuf;
use std::process::Command;

use labs::policies::{keyed, route};
use labs::{Gateway, lab, project};
use mock_provider::{Cut, How, Mock, Script};
use serde_json::{Value, json};

const TEXT: &str = "This is the mock provider. You said: Say hello.";

/// A gateway with a provider in good health behind `/openai` and `/mistralai`, and one behind `/cut` whose streams break off.
fn gateway(host: labs::Host) -> (Gateway, [Mock; 2]) {
    let mock = |script| Mock::start("127.0.0.1:0".parse().unwrap(), script).unwrap();
    let well = mock(Script::default());
    let cutting = mock(Script { cut: Some(Cut { after: 3, how: How::End }), ..Script::default() });
    let upstreams = keyed("well", well.address(), "k") + &keyed("cutting", cutting.address(), "k");
    let routes =
        route("/openai", "well", "") + &route("/mistralai", "well", "") + &route("/cut", "cutting", "");
    (Gateway::up(host, &(upstreams + &routes)), [well, cutting])
}

/// What a script tells, by its steps.
fn run(program: PathBuf, script: &str, env: &[(&str, String)]) -> Vec<Value> {
    assert!(program.is_file(), "{} is missing: `make test` fetches it", program.display());
    let mut command = Command::new(program);
    command.arg(project::root().join("tests/clients").join(script)).envs(env.iter().cloned());
    for proxy in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn python() -> PathBuf {
    project::cache().join("venv/bin/python")
}

fn node() -> PathBuf {
    project::cache().join("node/bin/node")
}

fn step<'a>(told: &'a [Value], name: &str) -> &'a Value {
    told.iter().find(|it| it["step"] == name).unwrap_or_else(|| panic!("no step {name} in {told:#?}"))
}

/// What both of OpenAI's SDKs have to have seen.
fn assert_openai(told: &[Value]) {
    let plain = json!({ "step": "plain", "text": TEXT, "model": "gpt-4o-mini", "tokens": 18 });
    assert_eq!(step(told, "plain"), &plain);
    assert_eq!(step(told, "stream"), &json!({ "step": "stream", "text": TEXT, "pieces": 11 }));
    assert_eq!(step(told, "embeddings"), &json!({ "step": "embeddings", "vectors": 2, "dimensions": 8 }));
    assert_eq!(step(told, "models")["models"].as_array().map(Vec::len), Some(4));
    assert_eq!(step(told, "responses")["text"], TEXT);
    let refused = step(told, "refused");
    assert_eq!((&refused["status"], &refused["code"]), (&json!(400), &json!("invalid_field")));
    assert!(refused["message"].as_str().unwrap().contains("`model` has to be a string"), "{refused}");
    let cut = step(told, "cut")["message"].as_str().unwrap();
    assert!(cut.contains("the provider ended the stream before its end"), "{cut}");
}

lab!(the_openai_sdk_for_python, |host| {
    let (gateway, _providers) = gateway(host);
    let base = format!("http://{}/openai/v1", gateway.address);
    let told = run(python(), "openai_sdk.py", &[("OPENAI_BASE_URL", base)]);
    assert_openai(&told);
    assert_eq!(step(&told, "usage")["usage"], 1);
    assert_eq!(step(&told, "responses stream")["last"], "response.completed");
});

lab!(the_openai_sdk_for_node, |host| {
    let (gateway, _providers) = gateway(host);
    let base = format!("http://{}/openai/v1", gateway.address);
    let modules = project::cache().join("node").display().to_string();
    assert_openai(&run(node(), "openai_sdk.mjs", &[("OPENAI_BASE_URL", base), ("NODE_MODULES", modules)]));
});

lab!(the_mistral_sdk_for_python, |host| {
    let (gateway, _providers) = gateway(host);
    let server = format!("http://{}/mistralai", gateway.address);
    let told = run(python(), "mistral_sdk.py", &[("MISTRAL_SERVER", server)]);
    assert_eq!(step(&told, "plain")["text"], TEXT);
    assert_eq!(step(&told, "stream")["text"], TEXT);
    assert_eq!(step(&told, "embeddings")["vectors"], 2);
});
