//! The README's own commands, and what it says they print.

use std::fs;
use std::path::Path;
use std::process::Command;

use labs::gateway::Start;
use labs::{Ask, Gateway, Host, lab, project};
use mock_provider::{Mock, Script};

/// A command of the README, and the lines that it is said to print. `…` stands for anything.
struct Shown {
    command: String,
    output: Vec<String>,
}

/// A chapter: how its gateway is started, and what is typed while it runs.
struct Chapter {
    title: String,
    /// The arguments of the last `turnpike up` that it shows; those of `make run` if it shows none.
    up: Vec<String>,
    commands: Vec<Shown>,
}

/// The chapters that have something to type.
fn chapters() -> Vec<Chapter> {
    let readme = fs::read_to_string(project::root().join("README.md")).unwrap();
    let chapters = readme.split("\n## ").skip(1).map(chapter);
    chapters.filter(|it| !it.commands.is_empty()).collect()
}

fn chapter(text: &str) -> Chapter {
    let up = text.lines().rfind(|line| line.starts_with("turnpike up ") && !line.contains('['));
    let up = up.unwrap_or("turnpike up --mock -f policies/base");
    let blocks = text.split("```console\n").skip(1).map(|block| block.split("\n```").next().unwrap());
    let mut commands: Vec<Shown> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push(Shown { command: command.into(), output: Vec::new() }),
            None => commands.last_mut().unwrap().output.push(line.into()),
        }
    }
    Chapter {
        title: text.lines().next().unwrap().to_owned(),
        up: up.split(' ').skip(2).map(str::to_owned).collect(),
        commands,
    }
}

/// Whether lines are as they are said to be. A line that is only `…` stands for any number of lines.
fn fits(output: &[&str], expected: &[String]) -> bool {
    match expected.split_first() {
        None => output.is_empty(),
        Some((any, rest)) if any == "…" => (0..=output.len()).any(|skip| fits(&output[skip..], rest)),
        Some((line, rest)) => {
            output.split_first().is_some_and(|(first, after)| line_fits(first, line) && fits(after, rest))
        }
    }
}

fn line_fits(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap()) else { return false };
    let mut last = "";
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
        last = part;
    }
    !pattern.contains('…') && rest.is_empty()
        || pattern.contains('…') && (rest.is_empty() || last.is_empty() || line.ends_with(last))
}

lab!(every_command_of_the_readme_prints_what_it_says, |host: Host| {
    let chapters = chapters();
    assert!(chapters.len() >= 3, "only {} chapters found", chapters.len());
    // A folder with nothing but the policies, for what the commands write.
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(project::root().join("policies"), folder.path().join("policies")).unwrap();
    let mut running: Option<(Vec<String>, Gateway)> = None;
    for chapter in chapters {
        // A reader leaves it running as long as the next chapter needs no other.
        let (up, gateway) = match running.take() {
            Some((up, gateway)) if up == chapter.up => (up, gateway),
            other => {
                drop(other);
                let gateway = start(host, &chapter.up);
                (chapter.up.clone(), gateway)
            }
        };
        await_next_hour();
        let mut exports = String::new();
        for shown in &chapter.commands {
            let output = type_in(&gateway, folder.path(), &format!("{exports}{}", shown.command));
            let lines: Vec<&str> = output.lines().collect();
            assert!(
                fits(&lines, &shown.output),
                "{}\n$ {}\n{output}\n--- but the README says\n{}",
                chapter.title,
                shown.command,
                shown.output.join("\n")
            );
            if shown.command.starts_with("export ") {
                exports.push_str(&format!("{}\n", shown.command));
            }
        }
        running = Some((up, gateway));
    }
});

/// Waits out the last seconds of an hour: what is typed into a chapter belongs to one window of its budgets.
fn await_next_hour() {
    let left = 3600 - labs::tokens::now() % 3600;
    if left < 20 {
        std::thread::sleep(std::time::Duration::from_secs(left));
    }
}

/// The gateway of a chapter.
fn start(host: Host, up: &[String]) -> Gateway {
    let args = up.iter().map(|it| match it.strip_prefix("policies") {
        Some(_) => project::root().join(it).to_str().unwrap().to_owned(),
        None => it.clone(),
    });
    args.fold(Start::new(host, ""), |start, arg| start.arg(&arg)).up()
}

/// What a command prints, typed where the README's policies are, with this gateway in the place of the usual one.
fn type_in(gateway: &Gateway, folder: &Path, command: &str) -> String {
    let command = command
        .replace("127.0.0.1:8080", &gateway.address.to_string())
        .replace("127.0.0.1:9901", &gateway.admin.to_string());
    let programs = [project::cache().join("venv/bin"), project::turnpike().parent().unwrap().to_path_buf()];
    let paths = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<_>>();
    let path = std::env::join_paths(programs.into_iter().chain(paths)).unwrap();
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(command).env("PATH", path).current_dir(folder);
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        bash.env_remove(proxy);
    }
    String::from_utf8_lossy(&bash.output().unwrap().stdout).trim_end().to_owned()
}

/// The plugin configurations that it shows.
fn configurations(readme: &str) -> impl Iterator<Item = &str> {
    readme.split("```json\n").skip(1).map(|block| block.split("\n```").next().unwrap())
}

#[test]
fn the_module_takes_every_configuration_of_the_readme() {
    let readme = fs::read_to_string(project::root().join("README.md")).unwrap();
    assert!(configurations(&readme).count() >= 2);
    for json in configurations(&readme) {
        let read = policy::Plugin::read(json.as_bytes(), &|_| Some("sk".into()));
        assert!(read.is_ok(), "{read:?}\n{json}");
    }
}

// The mock of the chapter has its port; a lab's has another.
lab!(the_failover_of_the_readme, |host: Host| {
    let policies = project::root().join("policies");
    for folder in ["", "released"] {
        let busy =
            Script { status: 429, headers: vec![("retry-after".into(), "7".into())], ..Script::default() };
        let provider = Mock::start("127.0.0.1:0".parse().unwrap(), busy).unwrap();
        let port = provider.address().port().to_string();
        let text = |name: &str| fs::read_to_string(policies.join(folder).join(name)).unwrap() + "\n---\n";
        let files = text("openai-upstream-model-failover.yaml").replace("9102", &port)
            + &text("model-failover-openai-routeoption.yaml");
        let base = policies.join("base");
        // The folder's own file is named first and comes before; these replace what is in it.
        let start = Start::new(host, "").arg("-f").arg(base.to_str().unwrap()).arg("--mock");
        let more = tempfile::tempdir().unwrap();
        fs::write(more.path().join("failover.yaml"), files).unwrap();
        let gateway = start.arg("-f").arg(more.path().to_str().unwrap()).up();
        let ask = Ask::post("/openai", r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}"#);
        let reply = gateway.send(&ask);
        assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")), "{}", reply.text());
        let models: Vec<_> =
            provider.requests().iter().map(|it| it.json()["model"].as_str().unwrap().to_owned()).collect();
        assert_eq!(models, ["gpt-4o", "gpt-4.0-turbo", "gpt-3.5-turbo"]);
        provider.play(Script { status: 429, times: Some(2), ..Script::default() });
        let reply = gateway.send(&ask);
        assert_eq!((reply.status, reply.header("x-turnpike-model")), (200, Some("gpt-3.5-turbo")));
    }
});

lab!(the_readme_s_module_configuration_works_by_itself, |host: Host| {
    let readme = fs::read_to_string(project::root().join("README.md")).unwrap();
    let json = configurations(&readme).find(|it| it.contains("unmatched")).unwrap();
    let provider = Mock::start("127.0.0.1:0".parse().unwrap(), Script::default()).unwrap();
    let alone = labs::bench::Bench::with_module(
        host,
        &project::module(),
        json,
        &[("OPENAI_API_KEY", "sk-lab")],
        provider.address(),
    );
    let reply = alone.send(&Ask::chat("/openai").header("authorization", "Bearer alice"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let got = &provider.requests()[0];
    assert_eq!((got.path.as_str(), got.host.as_str()), ("/v1/chat/completions", "api.openai.com"));
    assert_eq!(got.header("authorization"), Some("Bearer sk-lab"));
});

lab!(the_routes_by_host_name_of_the_readme, |host: Host| {
    let policies = project::root().join("policies");
    let by_hostname = policies.join("by-hostname");
    let start = Start::new(host, "")
        .arg("-f")
        .arg(policies.join("base").to_str().unwrap())
        .arg("-f")
        .arg(by_hostname.to_str().unwrap());
    let gateway = start.arg("--mock").up();
    for name in ["openai.example.com", "mistralai.example.com"] {
        let reply = gateway.send(&Ask::chat("/whatever").header("host", name));
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert_eq!(gateway.send(&Ask::chat("/openai")).code(), "route_not_found");
});

#[test]
fn the_policies_of_the_readme_are_sound() {
    let readme = fs::read_to_string(project::root().join("README.md")).unwrap();
    let blocks = readme.split("```yaml\n").skip(1).map(|block| block.split("\n```").next().unwrap());
    let blocks: Vec<&str> = blocks.collect();
    assert!(blocks.len() >= 3, "only {} policies found", blocks.len());
    for block in blocks {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("shown.yaml"), block).unwrap();
        let mut check = Command::new(project::turnpike());
        check.arg("check").arg("-f").arg(project::root().join("policies/base")).arg("-f").arg(folder.path());
        let output = check.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}\n---\n{said}");
    }
}

#[test]
fn patterns_are_told_apart() {
    for (line, pattern, fit) in [
        ("abc", "abc", true),
        ("abcd", "abc", false),
        ("abc", "a…c", true),
        ("abcd", "a…c", false),
        ("abcd", "a…", true),
        ("xbc", "…bc", true),
    ] {
        assert_eq!(line_fits(line, pattern), fit, "{line} {pattern}");
    }
}
