//! What is wrong with a file, and where.

use std::cell::RefCell;
use std::fmt;

/// Something to say about a place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub place: Place,
    /// The field, as in `spec.rules[0].matches[1].path`. Empty for the document or the file as a whole.
    pub path: String,
    /// What is wrong and what was expected.
    pub what: String,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong; something is not ours to act on.
    Note,
    /// It works, but perhaps not as it was meant.
    Warning,
    /// It cannot be applied.
    Error,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as it was named.
    pub file: String,
    /// From 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// From 1; 0 where the file as a whole is meant.
    pub column: usize,
}

/// Collects what is found wrong.
#[derive(Debug, Default)]
pub struct Report {
    problems: RefCell<Vec<Problem>>,
}

impl Report {
    /// Adds a problem.
    pub fn add(&self, severity: Severity, place: &Place, path: &str, what: impl Into<String>) {
        let problem = Problem { severity, place: place.clone(), path: path.to_owned(), what: what.into() };
        self.problems.borrow_mut().push(problem);
    }

    /// All problems in the order of the files, and of the lines in each.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        let mut files: Vec<String> = Vec::new();
        for problem in &problems {
            if !files.contains(&problem.place.file) {
                files.push(problem.place.file.clone());
            }
        }
        let rank = |file: &str| files.iter().position(|it| it == file);
        problems.sort_by_key(|it| (rank(&it.place.file), it.place.line, it.place.column));
        problems.dedup();
        problems
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        match self.severity {
            Severity::Error => {}
            Severity::Warning => write!(f, "warning: ")?,
            Severity::Note => write!(f, "note: ")?,
        }
        write!(f, "{}", self.what)
    }
}

/// `, did you mean …?`, where one of the known names is close to what was written.
pub fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let distance = |name: &&str| strsim::damerau_levenshtein(&written.to_lowercase(), &name.to_lowercase());
    let closest = known.into_iter().min_by_key(distance);
    match closest.filter(|name| distance(name) <= 1 + name.len() / 4) {
        Some(name) => format!(", did you mean `{name}`?"),
        None => String::new(),
    }
}
