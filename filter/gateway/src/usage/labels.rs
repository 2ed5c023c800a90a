//! Labels of metrics that come from claims: who has used the tokens, as far as metrics tell callers apart.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Write as _;

use policy::Gateway;
use policy::access::ClaimPath;

use crate::access::{Caller, plain};
use crate::metric::{Numbered, label};

/// As many combinations of values as metrics tell apart in one VM: series are never removed.
const MOST_SETS: usize = 512;

/// As much of a claim as a label or a log has, in characters.
const LONGEST: usize = 128;

/// The value of a claim that is not there.
const UNKNOWN: &str = "<unknown>";

/// The values of a request's labels: their number among the [sets](LabelSets).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Labels(usize);

/// The values of labels that have been seen. Of each label there are so many and no more, and so of their combinations:
/// what comes after that is `other`.
#[derive(Debug)]
pub struct LabelSets {
    /// One for each label.
    values: Vec<Numbered>,
    sets: RefCell<Vec<Vec<usize>>>,
}

impl LabelSets {
    /// None of the labels of a policy has had a value.
    pub fn new(policy: &Gateway) -> LabelSets {
        let values = policy.metric_labels.iter().map(|_| Numbered::default()).collect();
        LabelSets { values, sets: RefCell::default() }
    }

    /// The labels of a caller; those of nobody, where nobody is known.
    pub fn of(&self, caller: &Caller, policy: &Gateway) -> Labels {
        if self.values.is_empty() {
            return Labels(0);
        }
        let labels = policy.metric_labels.iter().zip(&self.values);
        let number = |(label, values): (&policy::usage::MetricLabel, &Numbered)| {
            values.number(claim(caller, &label.claim).as_deref().unwrap_or(UNKNOWN))
        };
        let set: Vec<usize> = labels.map(number).collect();
        let Ok(mut sets) = self.sets.try_borrow_mut() else { return Labels(MOST_SETS) };
        if let Some(known) = sets.iter().position(|it| *it == set) {
            return Labels(known);
        }
        if sets.len() < MOST_SETS {
            sets.push(set);
            return Labels(sets.len() - 1);
        }
        Labels(MOST_SETS)
    }

    /// The labels as they follow a metric's name.
    pub fn text(&self, labels: Labels, policy: &Gateway) -> String {
        let sets = self.sets.try_borrow();
        let set = sets.as_ref().ok().and_then(|sets| sets.get(labels.0));
        let mut text = String::new();
        for (i, (it, values)) in policy.metric_labels.iter().zip(&self.values).enumerate() {
            let value = set.and_then(|set| set.get(i)).map_or("other".into(), |value| values.name(*value));
            // Writing to a String cannot fail.
            let _ = write!(text, ";{}={}", it.name, label(&value));
        }
        text
    }
}

/// A claim of a caller that is a string, a number or a truth value.
pub fn claim<'c>(caller: &'c Caller, path: &ClaimPath) -> Option<Cow<'c, str>> {
    let text = caller.claim(path).and_then(plain)?;
    Some(match text.char_indices().nth(LONGEST) {
        None => text,
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned().into(),
    })
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use jwt::Token;

    use super::LabelSets;
    use crate::access::{Caller, Pass};
    use crate::testing::{gateway, test, token};

    const POLICY: &str = r#"{"routes": [], "metricLabels": [
        {"name": "team", "claim": "team"}, {"name": "model_of", "claim": ["llms", "openai"]}]}"#;

    fn caller(claims: &str) -> Caller {
        let claims = Token::parse(&token(claims)).unwrap().claims().clone();
        let pass = Pass { provider: 0, claims, json: String::new() };
        Caller { passes: vec![Rc::new(pass)], spent: Vec::new() }
    }

    #[test]
    fn labels_say_what_the_claims_say() {
        let policy = gateway(POLICY);
        let sets = LabelSets::new(&policy);
        let text = |caller: &Caller| sets.text(sets.of(caller, &policy), &policy);
        assert_eq!(text(&caller(r#"{"team":"dev","llms":{"openai":7}}"#)), ";team=dev;model_of=7");
        assert_eq!(text(&caller(r#"{"team":["dev"],"llms":true}"#)), ";team=<unknown>;model_of=<unknown>");
        assert_eq!(text(&Caller::default()), ";team=<unknown>;model_of=<unknown>");
        assert_eq!(text(&caller(r#"{"team":""}"#)), ";team=<unknown>;model_of=<unknown>");
        assert_eq!(
            text(&caller(r#"{"team":"a;model_of=b\n\"é"}"#)),
            ";team=a_model_of=b_\"é;model_of=<unknown>"
        );
        assert!(text(&caller(&format!(r#"{{"team":"{}"}}"#, "é".repeat(500)))).len() < 300);
    }

    #[test]
    fn the_same_values_are_the_same_labels() {
        let policy = gateway(POLICY);
        let sets = LabelSets::new(&policy);
        let of = |claims: &str| sets.of(&caller(claims), &policy);
        assert_eq!(of(r#"{"team":"a"}"#), of(r#"{"team":"a","sub":"x"}"#));
        assert_ne!(of(r#"{"team":"a"}"#), of(r#"{"team":"b"}"#));
    }

    #[test]
    fn callers_cannot_grow_the_metrics() {
        let policy = gateway(POLICY);
        let sets = LabelSets::new(&policy);
        let mut seen = std::collections::HashSet::new();
        for number in 0..1000 {
            let claims = format!(r#"{{"team":"t{number}","llms":{{"openai":"m{}"}}}}"#, number % 7);
            seen.insert(sets.text(sets.of(&caller(&claims), &policy), &policy));
        }
        let teams: std::collections::HashSet<&str> =
            seen.iter().map(|it| it.split(';').nth(1).unwrap()).collect();
        assert_eq!(teams.len(), 129, "so many, and all others");
        for number in 0..3000 {
            let (team, model) = (number % 100, number % 97);
            let claims = format!(r#"{{"team":"t{team}","llms":{{"openai":"m{model}"}}}}"#);
            seen.insert(sets.text(sets.of(&caller(&claims), &policy), &policy));
        }
        assert!(seen.len() <= 513, "{}", seen.len());
        assert!(seen.contains(";team=other;model_of=other"));
    }
}
