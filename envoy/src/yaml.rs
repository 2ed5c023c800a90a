//! YAML text. Every text value is quoted: Envoy reads YAML 1.1, where `n` and `off` are truth values.

use saphyr::{Mapping, Scalar, Yaml, YamlEmitter};
use serde_json::Value;

/// A value as a YAML document.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    let mut emitter = YamlEmitter::new(&mut out);
    emitter.quoted_value(true);
    // Writing to a String cannot fail.
    let _ = emitter.dump(&yaml(value));
    out.push('\n');
    // One document needs no marker.
    out.strip_prefix("---\n").map(str::to_owned).unwrap_or(out)
}

fn yaml(value: &Value) -> Yaml<'_> {
    match value {
        Value::Null => Yaml::Value(Scalar::Null),
        Value::Bool(truth) => Yaml::Value(Scalar::Boolean(*truth)),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Yaml::Value(Scalar::Integer(whole)),
            None => Yaml::Value(Scalar::FloatingPoint(number.as_f64().unwrap_or_default().into())),
        },
        Value::String(text) => Yaml::Value(Scalar::String(text.as_str().into())),
        Value::Array(items) => Yaml::Sequence(items.iter().map(yaml).collect()),
        Value::Object(fields) => {
            let mut mapping = Mapping::new();
            for (name, field) in fields {
                mapping.insert(Yaml::Value(Scalar::String(name.as_str().into())), yaml(field));
            }
            Yaml::Mapping(mapping)
        }
    }
}
