use std::time::Duration;

use super::{Object, Unknown, parse, parse_duration};
use crate::problem::Report;

/// What is said about a document when it is read like this.
fn problems(yaml: &str, read: impl Fn(Object<'_>)) -> Vec<String> {
    let report = Report::default();
    for document in parse("a.yaml", yaml, &report) {
        if let Some(object) = document.root(&report).object() {
            read(object);
        }
    }
    report.into_problems().iter().map(ToString::to_string).collect()
}

#[test]
fn every_problem_has_its_place_its_path_and_what_was_expected() {
    let yaml = "a: 1\nb:\n  port: 99999\n  list:\n  - [x]\n  - {y: z}\n";
    let said = problems(yaml, |object| {
        object.get("a").and_then(|it| it.text());
        let b = object.get("b").and_then(|it| it.object()).unwrap();
        b.get("port").and_then(|it| it.number(1..=65535));
        for item in b.get("list").and_then(|it| it.list()).unwrap() {
            item.text();
        }
        b.need("host");
    });
    assert_eq!(
        said,
        [
            "a.yaml:1:4: a: found a number, expected a text",
            "a.yaml:3:3: b: `host` is missing",
            "a.yaml:3:9: b.port: found a number, expected a whole number from 1 to 65535",
            "a.yaml:5:5: b.list[0]: found a list, expected a text",
            "a.yaml:6:5: b.list[1]: found a mapping, expected a text",
        ]
    );
}

#[test]
fn what_nobody_asked_for_is_unknown_and_perhaps_a_slip() {
    let yaml = "authTokn: x\nmodel: y\nzzz: 1\n";
    let read = |unknown| {
        problems(yaml, |object: Object<'_>| {
            object.get("authToken");
            object.get("model");
            object.finish(unknown);
        })
    };
    assert_eq!(
        read(Unknown::Warn),
        [
            "a.yaml:1:1: authTokn: warning: unknown field, did you mean `authToken`?",
            "a.yaml:3:1: zzz: warning: unknown field",
        ]
    );
    assert_eq!(read(Unknown::Refuse)[1], "a.yaml:3:1: zzz: unknown field");
}

#[test]
fn a_field_may_be_written_as_protobuf_names_it() {
    let said = problems("secret_ref: {name: x}\nnothing: null\n", |object| {
        assert!(object.get("secretRef").is_some());
        assert!(object.get("nothing").is_none());
        object.finish(Unknown::Refuse);
    });
    assert_eq!(said, [] as [&str; 0]);
}

#[test]
fn a_file_may_have_any_number_of_documents_and_no_last_newline() {
    let report = Report::default();
    assert_eq!(parse("a", "\n\n---\na: 1\n---\n---\nb: 2", &report).len(), 2);
    assert_eq!(parse("a", "", &report).len(), 0);
    assert_eq!(report.into_problems(), []);
}

#[test]
fn what_is_no_yaml_is_named_with_its_place() {
    let said = problems("a: [1\nb: 2\n", |_| {});
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("a.yaml:2:"), "{said:?}");
    let said = problems("a: 1\na: 2\n", |_| {});
    assert!(said[0].starts_with("a.yaml:2:1: no valid YAML: "), "{said:?}");
}

#[test]
fn durations_are_those_of_the_gateway_api() {
    for (text, millis) in [("10s", 10_000), ("1h30m", 5_400_000), ("500ms", 500), ("0s", 0)] {
        assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "10", "s", "1d", "-1s", "1.5s", "100000s"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}
