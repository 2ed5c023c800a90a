//! A YAML value with its place and its path, and typed looks at it. A look that fails says so in the report and gives
//! nothing, so that one pass finds every problem of a file.

use std::cell::RefCell;
use std::time::Duration;

use saphyr::{LoadableYamlNode, MarkedYamlOwned, ScalarOwned, YamlDataOwned};
use serde_json::Value;

use crate::problem::{Place, Report, Severity, did_you_mean};

mod find;

pub use find::At;

/// A YAML document of a file.
pub struct Document {
    file: String,
    yaml: MarkedYamlOwned,
}

/// A value somewhere in a document.
#[derive(Clone)]
pub struct Node<'d> {
    document: &'d Document,
    yaml: &'d MarkedYamlOwned,
    report: &'d Report,
    path: String,
}

/// A mapping that is being read. What nobody asks for by name is unknown.
pub struct Object<'d> {
    node: Node<'d>,
    asked: RefCell<Vec<&'static str>>,
}

/// What an unknown field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Worth a warning: it changes nothing.
    Warn,
    /// An error: a misspelt rule here would be a rule that nobody enforces.
    Refuse,
}

/// The documents of a file. Empty ones are left out.
pub fn parse(file: &str, text: &str, report: &Report) -> Vec<Document> {
    let at = |line, column| Place { file: file.to_owned(), line, column };
    match MarkedYamlOwned::load_from_str(text) {
        Ok(documents) => {
            let documents = documents.into_iter().map(|yaml| Document { file: file.to_owned(), yaml });
            documents.filter(|document| !is_null(&document.yaml)).collect()
        }
        Err(error) => {
            let (marker, what) = (error.marker(), format!("no valid YAML: {}", error.info()));
            report.add(Severity::Error, &at(marker.line(), marker.col() + 1), "", what);
            Vec::new()
        }
    }
}

impl Document {
    /// The whole document.
    pub fn root<'d>(&'d self, report: &'d Report) -> Node<'d> {
        Node { document: self, yaml: &self.yaml, report, path: String::new() }
    }

    fn place(&self, yaml: &MarkedYamlOwned) -> Place {
        let start = yaml.span.start;
        Place { file: self.file.clone(), line: start.line(), column: start.col() + 1 }
    }
}

impl<'d> Node<'d> {
    /// Where the value begins.
    pub fn place(&self) -> Place {
        self.document.place(self.yaml)
    }

    /// How the value is reached from the document.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Says that something is wrong with the value.
    pub fn say(&self, severity: Severity, what: impl Into<String>) {
        self.report.add(severity, &self.place(), &self.path, what);
    }

    /// Says that the value cannot be taken.
    pub fn refuse(&self, what: impl Into<String>) {
        self.say(Severity::Error, what);
    }

    /// Takes the value as a mapping.
    pub fn object(&self) -> Option<Object<'d>> {
        match &self.yaml.data {
            YamlDataOwned::Mapping(_) => Some(Object { node: self.clone(), asked: RefCell::default() }),
            _ => self.unexpected("a mapping"),
        }
    }

    /// Takes the value as a list.
    pub fn list(&self) -> Option<Vec<Node<'d>>> {
        let YamlDataOwned::Sequence(items) = &self.yaml.data else { return self.unexpected("a list") };
        let item = |(i, yaml)| Node { yaml, path: format!("{}[{i}]", self.path), ..self.clone() };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// Takes the value as a text.
    pub fn text(&self) -> Option<String> {
        match &self.yaml.data {
            YamlDataOwned::Value(ScalarOwned::String(text)) => Some(text.clone()),
            _ => self.unexpected("a text"),
        }
    }

    /// Takes the value as a text that is a path.
    pub fn url_path(&self) -> Option<String> {
        let path = self.text()?;
        if path.starts_with('/') {
            return Some(path);
        }
        self.refuse(format!("`{path}` is no path, expected one that begins with `/`"));
        None
    }

    /// Takes the value as a whole number in a range.
    pub fn number(&self, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let (low, high) = (*range.start(), *range.end());
        match &self.yaml.data {
            YamlDataOwned::Value(ScalarOwned::Integer(number)) if range.contains(number) => Some(*number),
            _ => self.unexpected(&format!("a whole number from {low} to {high}")),
        }
    }

    /// Takes the value as true or false.
    pub fn truth(&self) -> Option<bool> {
        match &self.yaml.data {
            YamlDataOwned::Value(ScalarOwned::Boolean(truth)) => Some(*truth),
            _ => self.unexpected("true or false"),
        }
    }

    /// Takes the value as one of these names, or as its number among them, as protobuf's enums are written.
    pub fn choice(&self, names: &[&'static str]) -> Option<&'static str> {
        self.choice_or(names, &[])
    }

    /// Takes the value as one of these names, of which only the first ones have numbers.
    pub fn choice_or(&self, numbered: &[&'static str], more: &[&'static str]) -> Option<&'static str> {
        let names = [numbered, more].concat();
        let written = match &self.yaml.data {
            YamlDataOwned::Value(ScalarOwned::Integer(number)) => {
                let found = usize::try_from(*number).ok().and_then(|it| numbered.get(it).copied());
                return found.or_else(|| self.unexpected(&format!("one of {}", names.join(", "))));
            }
            YamlDataOwned::Value(ScalarOwned::Boolean(truth)) => truth.to_string(),
            _ => self.text()?,
        };
        let found = names.iter().find(|it| **it == written).copied();
        if found.is_none() {
            let hint = did_you_mean(&written, names.iter().copied());
            self.refuse(format!("`{written}` is unknown, expected one of {}{hint}", names.join(", ")));
        }
        found
    }

    /// Takes the value as JSON.
    pub fn json(&self) -> Option<Value> {
        match &self.yaml.data {
            YamlDataOwned::Mapping(_) => {
                let fields = self.object()?.all().into_iter();
                fields.map(|(name, it)| Some((name, it.json()?))).collect::<Option<_>>().map(Value::Object)
            }
            YamlDataOwned::Sequence(_) => {
                self.list()?.iter().map(Node::json).collect::<Option<_>>().map(Value::Array)
            }
            YamlDataOwned::Value(ScalarOwned::Null) => Some(Value::Null),
            YamlDataOwned::Value(ScalarOwned::Boolean(truth)) => Some((*truth).into()),
            YamlDataOwned::Value(ScalarOwned::Integer(number)) => Some((*number).into()),
            YamlDataOwned::Value(ScalarOwned::FloatingPoint(number)) => {
                let number = serde_json::Number::from_f64(number.into_inner());
                number.map(Value::Number).or_else(|| self.unexpected("a number that JSON has"))
            }
            _ => self.text().map(Value::String),
        }
    }

    /// Whether the value is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.yaml.data, YamlDataOwned::Sequence(_))
    }

    /// Takes the value as a list of texts.
    pub fn texts(&self) -> Option<Vec<String>> {
        self.list()?.iter().map(Node::text).collect()
    }

    /// Takes the value as a duration of the Gateway API (GEP-2257): `10s`, `1h30m`, `500ms`.
    pub fn duration(&self) -> Option<Duration> {
        let text = self.text()?;
        let duration = parse_duration(&text);
        if duration.is_none() {
            self.refuse(format!("`{text}` is no duration, expected one such as `10s`, `1h30m` or `500ms`"));
        }
        duration
    }

    /// Takes the value as a duration in protobuf's JSON as well (`0.5s`), and `0` as none.
    pub fn proto_duration(&self) -> Option<Duration> {
        if self.yaml.data == YamlDataOwned::Value(ScalarOwned::Integer(0)) {
            return Some(Duration::ZERO);
        }
        let text = self.text()?;
        let seconds = || text.strip_suffix('s').filter(|it| it.contains('.'))?.parse::<f64>().ok();
        let fraction = || seconds().and_then(|it| Duration::try_from_secs_f64(it).ok());
        let duration =
            if text == "0" { Some(Duration::ZERO) } else { parse_duration(&text).or_else(fraction) };
        if duration.is_none() {
            self.refuse(format!("`{text}` is no duration, expected one such as `10s`, `0.5s` or `500ms`"));
        }
        duration
    }

    /// Says that another kind of value was expected. Shows none of it: it may be a secret.
    fn unexpected<T>(&self, expected: &str) -> Option<T> {
        let found = match &self.yaml.data {
            YamlDataOwned::Mapping(_) => "a mapping",
            YamlDataOwned::Sequence(_) => "a list",
            YamlDataOwned::Value(ScalarOwned::Null) => "nothing",
            YamlDataOwned::Value(ScalarOwned::Boolean(_)) => "true or false",
            YamlDataOwned::Value(ScalarOwned::Integer(_) | ScalarOwned::FloatingPoint(_)) => "a number",
            YamlDataOwned::Value(ScalarOwned::String(_)) => "a text",
            YamlDataOwned::Representation(..)
            | YamlDataOwned::Tagged(..)
            | YamlDataOwned::Alias(_)
            | YamlDataOwned::BadValue => "a tagged value",
        };
        self.refuse(format!("found {found}, expected {expected}"));
        None
    }
}

impl<'d> Object<'d> {
    /// The mapping itself.
    pub fn node(&self) -> &Node<'d> {
        &self.node
    }

    /// A field that may be absent; null is absent. Found under its name in camelCase or in snake_case.
    pub fn get(&self, name: &'static str) -> Option<Node<'d>> {
        self.asked.borrow_mut().push(name);
        let (key, _, yaml) = self.entries().find(|(key, ..)| key == name || camel_case(key) == name)?;
        if is_null(yaml) {
            return None;
        }
        Some(self.child(&key, yaml))
    }

    /// A field that has to be there.
    pub fn need(&self, name: &'static str) -> Option<Node<'d>> {
        let found = self.get(name);
        if found.is_none() {
            self.node.refuse(format!("`{name}` is missing"));
        }
        found
    }

    /// All fields, whatever their names.
    pub fn all(&self) -> Vec<(String, Node<'d>)> {
        self.entries().map(|(key, _, yaml)| (key.clone(), self.child(&key, yaml))).collect()
    }

    /// Says which fields nobody has asked for.
    pub fn finish(self, unknown: Unknown) {
        let asked = self.asked.borrow();
        let severity = match unknown {
            Unknown::Warn => Severity::Warning,
            Unknown::Refuse => Severity::Error,
        };
        for (key, at, yaml) in self.entries() {
            if !asked.iter().any(|name| *name == key || *name == camel_case(&key)) {
                let hint = did_you_mean(&key, asked.iter().copied());
                let (place, path) = (self.node.document.place(at), self.child(&key, yaml).path);
                self.node.report.add(severity, &place, &path, format!("unknown field{hint}"));
            }
        }
    }

    fn child(&self, key: &str, yaml: &'d MarkedYamlOwned) -> Node<'d> {
        let dot = if self.node.path.is_empty() { "" } else { "." };
        Node { yaml, path: format!("{}{dot}{key}", self.node.path), ..self.node.clone() }
    }

    /// Names, the names' places, values.
    fn entries(&self) -> impl Iterator<Item = (String, &'d MarkedYamlOwned, &'d MarkedYamlOwned)> {
        let mapping = match &self.node.yaml.data {
            YamlDataOwned::Mapping(mapping) => Some(mapping),
            _ => None,
        };
        let name = |key: &MarkedYamlOwned| match &key.data {
            YamlDataOwned::Value(ScalarOwned::String(text)) => text.clone(),
            YamlDataOwned::Value(ScalarOwned::Integer(number)) => number.to_string(),
            YamlDataOwned::Value(ScalarOwned::Boolean(truth)) => truth.to_string(),
            _ => "?".to_owned(),
        };
        mapping.into_iter().flatten().map(move |(key, value)| (name(key), key, value))
    }
}

fn is_null(yaml: &MarkedYamlOwned) -> bool {
    matches!(yaml.data, YamlDataOwned::Value(ScalarOwned::Null))
}

/// `secret_ref` to `secretRef`: the kinds are defined in protobuf, whose JSON readers take both.
pub fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut chars = part.chars();
        out.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        out.push_str(chars.as_str());
    }
    out
}

fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|at| (1..=5).contains(at))?;
        let (number, unit) = rest.split_at_checked(digits)?;
        let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, after) = unit.split_at_checked(end)?;
        let number: u32 = number.parse().ok()?;
        total += number
            * match unit {
                "h" => Duration::from_secs(3600),
                "m" => Duration::from_secs(60),
                "s" => Duration::from_secs(1),
                "ms" => Duration::from_millis(1),
                _ => return None,
            };
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
