use std::path::{Path, PathBuf};

use resources::{Plan, Source, load, read_files};

use super::{File, Settings, render, render_keys};

fn settings() -> Settings {
    Settings {
        listen: "127.0.0.1:8080".parse().unwrap(),
        admin: "127.0.0.1:9901".parse().unwrap(),
        max_request_bytes: policy::DEFAULT_MAX_REQUEST_BYTES,
        ca_file: super::SYSTEM_CA_FILE.into(),
        access_log: "-".into(),
        sidecar: Some("127.0.0.1:8081".parse().unwrap()),
    }
}

fn plan(sources: &[Source]) -> Plan {
    let loaded = load(sources, &|name| Some(format!("{name}-value")));
    loaded.plan.unwrap_or_else(|| panic!("{:?}", loaded.problems))
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A plan with nothing but a budget, which needs the sidecar.
fn budgets() -> Plan {
    let budget = r#"{"name": "requests", "counts": "requests", "max": 100, "per": "hour"}"#;
    let mut route = plan(&read_files(&[folder("../policies/base")]).unwrap()).routes.remove(0);
    route.backends.clear();
    route.budgets.push(serde_json::from_str(budget).unwrap());
    Plan { routes: vec![route], ..Plan::default() }
}

/// Compares files with those of a folder, or writes them there if `UPDATE_EXPECT` is set.
fn compare(folder: &Path, files: &[File]) {
    for file in files {
        let path = folder.join(&file.name);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &file.text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(expected == file.text, "{} differs; UPDATE_EXPECT=1 writes it anew", path.display());
    }
}

#[test]
fn the_tour_s_configuration_is_the_one_in_this_folder() {
    compare(
        &folder("golden/tour"),
        &render(&plan(&read_files(&[folder("../policies/base")]).unwrap()), &settings()),
    );
}

#[test]
fn a_configuration_with_everything_is_the_one_in_this_folder() {
    let sources = read_files(&[folder("golden/everything.yaml")]).unwrap();
    compare(&folder("golden/everything"), &render(&plan(&sources), &settings()));
}

#[test]
fn a_plan_that_counts_has_the_sidecar_among_its_clusters() {
    let files = render(&budgets(), &settings());
    let shown: Vec<File> = files
        .into_iter()
        .filter(|file| ["clusters.yaml", "filter.yaml"].contains(&file.name.as_str()))
        .collect();
    compare(&folder("golden/sidecar"), &shown);
}

#[test]
fn a_sidecar_may_have_a_name_or_a_socket_in_the_file_system() {
    let clusters = |address: &str| {
        let settings = Settings { sidecar: Some(address.parse().unwrap()), ..settings() };
        let files = render(&budgets(), &settings);
        files.into_iter().find(|file| file.name == "clusters.yaml").unwrap().text
    };
    let named = clusters("sidecar.svc:8081");
    assert!(named.contains("type: STRICT_DNS") && named.contains("address: sidecar.svc\n"), "{named}");
    let socket = clusters("unix:/run/sidecar.sock");
    let lines: Vec<&str> = socket.lines().map(str::trim).collect();
    assert!(lines.windows(2).any(|two| two == ["pipe:", "path: \"/run/sidecar.sock\""]), "{socket}");
    assert!(lines.contains(&"type: STATIC"), "{socket}");
}

#[test]
fn keys_are_in_files_of_their_own_and_nowhere_else() {
    let plan = plan(&read_files(&[folder("../policies/base")]).unwrap());
    let keys = render_keys(&plan);
    let names: Vec<&str> = keys.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["keys/gloo-system.mistralai.yaml", "keys/gloo-system.openai.yaml"]);
    assert!(keys[1].text.contains("\"Bearer OPENAI_API_KEY-value\""));
    assert!(render(&plan, &settings()).iter().all(|file| !file.text.contains("-value")));
}

#[test]
fn every_key_has_a_file_that_is_no_other_s() {
    let plan = plan(&read_files(&[folder("golden/everything.yaml")]).unwrap());
    let keys = render_keys(&plan);
    let names: Vec<&str> = keys.iter().map(|file| file.name.as_str()).collect();
    let expected = [
        "keys/ai.openai.yaml",
        "keys/ai.many%3Agpt-4o.yaml",
        "keys/ai.many%3Amistral.yaml",
        "keys/moderation.ai%2Fcallers.yaml",
        "keys/ai.many%3Agpt-4o-mini.yaml",
    ];
    assert_eq!(names, expected);
    assert!(keys[3].text.contains("\"Bearer MODERATION_KEY-value\""));
}

#[test]
fn an_access_log_goes_where_it_is_told_to_and_nowhere_unasked() {
    let text = |plan: &Plan, to: &str| {
        let files = render(plan, &Settings { access_log: to.into(), ..settings() });
        files.into_iter().find(|it| it.name == "listener.yaml").unwrap().text
    };
    let asks = plan(&read_files(&[folder("golden/everything.yaml")]).unwrap());
    assert!(text(&asks, "-").contains("StdoutAccessLog"));
    assert!(text(&asks, "/var/log/ai.log").contains("/var/log/ai.log"));
    let asks_not = plan(&read_files(&[folder("../policies/base")]).unwrap());
    assert!(!text(&asks_not, "/var/log/ai.log").contains("access_log:"));
}
