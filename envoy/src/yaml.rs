//! YAML text for Envoy and for people. Envoy reads YAML 1.1, where `n` and `off` are truth values: a text is left
//! unquoted only where no reader of any version could take it for something else. A text of several lines is a block.

use std::fmt::Write;

use serde_json::Value;

/// A value as a YAML document.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    node(&mut out, value, 0, Place::Top);
    out
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The whole document.
    Top,
    /// Behind `name:`.
    Field,
    /// Behind `-`.
    Item,
}

// Writing to a String cannot fail.
fn node(out: &mut String, value: &Value, indent: usize, place: Place) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (i, (name, field)) in fields.iter().enumerate() {
                lead(out, indent, place, i);
                let _ = write!(out, "{}:", scalar(name));
                node(out, field, indent + 2, Place::Field);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (i, item) in items.iter().enumerate() {
                lead(out, indent, place, i);
                out.push('-');
                node(out, item, indent + 2, Place::Item);
            }
        }
        Value::String(text) if text.contains('\n') && is_block(text) => {
            out.push_str(" |-\n");
            for line in text.lines() {
                let _ = writeln!(out, "{:indent$}{line}", "");
            }
        }
        Value::String(text) => {
            let _ = writeln!(out, " {}", scalar(text));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) | Value::Array(_) => {
            let _ = writeln!(out, " {value}");
        }
    }
}

/// What stands before the first line of a field or an item: behind `-` it goes on in the same line.
fn lead(out: &mut String, indent: usize, place: Place, number: usize) {
    match (place, number) {
        (Place::Item, 0) => out.push(' '),
        (Place::Field, 0) => {
            let _ = write!(out, "\n{:indent$}", "");
        }
        (Place::Top | Place::Field | Place::Item, _) => {
            let _ = write!(out, "{:indent$}", "");
        }
    }
}

/// Every word that YAML 1.1 takes for a truth value or for nothing, in any case.
const NO_TEXT: [&str; 9] = ["y", "yes", "true", "on", "n", "no", "false", "off", "null"];

fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    // Numbers, dates and times begin with a digit, a sign or a dot.
    let safe = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain);
    let word = NO_TEXT.iter().any(|word| text.eq_ignore_ascii_case(word));
    if safe && !word { text.to_owned() } else { Value::from(text).to_string() }
}

/// Whether a text comes back whole out of a block.
fn is_block(text: &str) -> bool {
    let odd = |line: &str| line.trim().is_empty() || line.ends_with(' ') || line.contains(['\r', '\t']);
    !text.starts_with(' ') && !text.ends_with('\n') && !text.lines().any(odd)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::text;

    #[test]
    fn only_what_cannot_be_mistaken_goes_without_quotes() {
        for word in
            ["n", "Off", "yes", "FALSE", "null", "1e5", "0x10", "12:30", "2020-01-01", "a: b", "# c", "*", ""]
        {
            assert_eq!(text(&json!({ "domain": word })), format!("domain: {}\n", json!(word)), "{word}");
        }
        assert_eq!(text(&json!({ "domain": "./clusters.yaml" })), "domain: \"./clusters.yaml\"\n");
        assert_eq!(text(&json!({ "domain": "type.googleapis.com/x" })), "domain: type.googleapis.com/x\n");
    }

    #[test]
    fn blocks_are_as_people_write_them() {
        let value = json!({
            "resources": [{ "@type": "example", "list": [[1, 2], []], "empty": {} }, true],
            "lines": "one\n  two",
        });
        let expected = [
            "resources:",
            "  - \"@type\": example",
            "    list:",
            "      - - 1",
            "        - 2",
            "      - []",
            "    empty: {}",
            "  - true",
            "lines: |-",
            "  one",
            "    two\n",
        ];
        assert_eq!(text(&value), expected.join("\n"));
    }
}
