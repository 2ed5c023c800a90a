//! What guards have found in one request, for metrics and logs: which rules, not where and not what.

/// The rules that have found something, each once.
#[derive(Debug, Default)]
pub struct Finds {
    rules: Vec<usize>,
}

impl Finds {
    /// A rule has found something.
    pub fn note(&mut self, rule: usize) {
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
    }

    /// The rules, in the order of their first finds.
    pub fn rules(&self) -> &[usize] {
        &self.rules
    }
}
