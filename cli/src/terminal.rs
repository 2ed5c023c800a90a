//! What people read. Colour is for terminals, and not where `NO_COLOR` is set.

use std::io::{IsTerminal, Write};

use resources::{Problem, Severity};

/// Says on stderr why a command has failed.
pub fn complain(failure: &str) {
    for line in failure.lines() {
        eprintln!("{} {line}", paint("turnpike:", "1;31"));
    }
}

/// Says on stderr what is wrong with policies. Notes are only worth saying to who asked for a check.
pub fn report<'p>(problems: impl IntoIterator<Item = &'p Problem>, quietest: Severity) {
    for problem in problems.into_iter().filter(|problem| problem.severity >= quietest) {
        let line = problem.to_string();
        let colour = match problem.severity {
            Severity::Error => "31",
            Severity::Warning => "33",
            Severity::Note => "2",
        };
        eprintln!("{}", paint(&line, colour));
    }
}

/// Prints lines on stdout, at once: somebody may wait for them behind a pipe.
pub fn tell(text: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever has closed the pipe does not want to know.
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

fn paint(text: &str, colour: &str) -> String {
    let wanted = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if wanted { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}
