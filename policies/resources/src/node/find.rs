//! Looks at a value that most kinds do without: what is at a path below it, and how each of a list is taken so that every
//! problem of it is found.

use saphyr::{ScalarOwned, YamlDataOwned};

use super::{Node, Object, camel_case, is_null};
use crate::problem::Place;

/// Where something is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The place in the file.
    pub place: Place,
    /// The path of the field.
    pub path: String,
}

impl<'d> Node<'d> {
    /// Where the value is written.
    pub fn at(&self) -> At {
        At { place: self.place(), path: self.path.clone() }
    }

    /// Whether the value is a text.
    pub fn is_text(&self) -> bool {
        matches!(&self.yaml.data, YamlDataOwned::Value(ScalarOwned::String(_)))
    }

    /// Whether nothing is written.
    pub fn is_null(&self) -> bool {
        is_null(self.yaml)
    }

    /// Takes the value as a number, which may have a fraction.
    pub fn amount(&self) -> Option<f64> {
        match &self.yaml.data {
            YamlDataOwned::Value(ScalarOwned::Integer(_) | ScalarOwned::FloatingPoint(_)) => {
                self.json()?.as_f64()
            }
            _ => self.unexpected("a number"),
        }
    }

    /// Takes the value as one of these names, however they are capitalised, or as its number among them.
    pub fn choice_any_case(&self, names: &[&'static str]) -> Option<&'static str> {
        if let YamlDataOwned::Value(ScalarOwned::String(text)) = &self.yaml.data
            && let Some(name) = names.iter().find(|it| it.eq_ignore_ascii_case(text))
        {
            return Some(name);
        }
        self.choice(names)
    }

    /// Takes each value of a list. All are looked at, also where one of them cannot be taken.
    pub fn each<T>(&self, read: impl FnMut(&Node<'d>) -> Option<T>) -> Option<Vec<T>> {
        let all: Vec<Option<T>> = self.list()?.iter().map(read).collect();
        all.into_iter().collect()
    }

    /// The value at a path such as `.key[0].of`, or the one on the way to it where the path ends in nothing.
    pub fn find(&self, path: &str) -> Node<'d> {
        let steps = path.split(['.', '[']).map(|it| it.trim_end_matches(']')).filter(|it| !it.is_empty());
        let mut here = self.clone();
        for step in steps {
            match here.step(step) {
                Some(next) => here = next,
                None => break,
            }
        }
        here
    }

    fn step(&self, name: &str) -> Option<Node<'d>> {
        match &self.yaml.data {
            YamlDataOwned::Mapping(_) => {
                let found = self.object()?.all().into_iter().find(|(key, _)| camel_case(key) == name);
                found.map(|(_, node)| node)
            }
            YamlDataOwned::Sequence(_) => self.list()?.into_iter().nth(name.parse().ok()?),
            _ => None,
        }
    }
}

impl<'d> Object<'d> {
    /// Takes a field that may be absent.
    pub fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Node<'d>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.get(name).map_or(Some(None), |it| read(&it).map(Some))
    }

    /// Takes each value of a list that may be absent.
    pub fn each<T>(&self, name: &'static str, read: impl FnMut(&Node<'d>) -> Option<T>) -> Option<Vec<T>> {
        self.get(name).map_or(Some(Vec::new()), |it| it.each(read))
    }

    /// Takes a truth that is false where it is absent.
    pub fn flag(&self, name: &'static str) -> Option<bool> {
        self.get(name).map_or(Some(false), |it| it.truth())
    }

    /// Takes a text that has to be there, and not be empty.
    pub fn name(&self, name: &'static str) -> Option<String> {
        let node = self.need(name)?;
        let text = node.text()?;
        if text.is_empty() {
            node.refuse("expected a text that is not empty");
            return None;
        }
        Some(text)
    }

    /// Takes a text that may be absent; an empty one is absent, as in protobuf.
    pub fn filled(&self, name: &'static str) -> Option<Option<String>> {
        Some(self.optional(name, Node::text)?.filter(|it| !it.is_empty()))
    }
}
