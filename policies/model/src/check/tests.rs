use crate::{Credential, Plugin};

fn read(json: &str) -> Result<Plugin, Vec<String>> {
    let env = |name: &str| (name == "KEY").then(|| "Bearer sk-1".to_owned());
    Plugin::read(json.as_bytes(), &env).map_err(|all| all.iter().map(ToString::to_string).collect())
}

#[test]
fn a_key_comes_from_the_environment_without_its_scheme() {
    let plugin = read(r#"{"upstream": {"provider": "openai", "credential": {"env": "KEY"}}}"#).unwrap();
    let Plugin::Upstream(target) = plugin else { panic!("not upstream") };
    let Credential::Key(key) = &target.credential else { panic!("no key") };
    assert_eq!(key.expose(), "sk-1");
    assert!(!format!("{target:?}").contains("sk-1"));
}

#[test]
fn every_problem_is_named_at_once() {
    let problems = read(
        r#"{"downstream": {"routes": [
            {"name": "a", "matches": [{"hosts": ["a:80", "*"], "path": {"prefix": "openai"}}]},
            {"name": "a", "rewrite": {"fullPath": "x"},
             "target": {"provider": "mistral", "credential": {"env": "NONE"}, "fullPath": "/a", "basePath": "/b"}}
        ]}}"#,
    );
    assert_eq!(
        problems.unwrap_err(),
        [
            "downstream.routes[1].name: there are two routes `a`, and a name has to tell them apart",
            "downstream.routes[0].matches[0].path.prefix: `openai` is no path: expected one that begins with `/`",
            "downstream.routes[0].matches[0].hosts[0]: `a:80` is no host name: expected `api.example.com` or `*.example.com`, without port",
            "downstream.routes[0].matches[0].hosts[1]: `*` is no host name: expected `api.example.com` or `*.example.com`, without port",
            "downstream.routes[1].rewrite.fullPath: `x` is no path: expected one that begins with `/`",
            "downstream.routes[1].target.basePath: `fullPath` and `basePath` exclude each other",
            "downstream.routes[1].target.credential.env: the VM has no environment variable `NONE`, or it is empty",
        ]
    );
}

#[test]
fn an_unknown_field_is_refused_with_its_place() {
    let problems = read(r#"{"downstream": {"routes": [], "failOpen": true}}"#).unwrap_err();
    assert_eq!(
        problems,
        [
            "unknown field `failOpen`, expected one of `routes`, `jwtProviders`, `sidecar`, `prices`, `metricLabels`, `accessLog`, `maxRequestBytes`, `unmatched` at line 1 column 40"
        ]
    );
}

#[test]
fn what_is_rendered_is_what_is_read() {
    let json = r#"{"downstream":{"routes":[{"name":"a","matches":[{"path":{"exact":"/a"}}],"target":{"provider":"mistral","credential":"injected"}}]}}"#;
    let written: crate::written::Plugin = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&written).unwrap(), json);
}
