//! Hosts and paths: which route takes a request, and what it asks of the provider's API.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use policy::{Match, PathMatch, Rewrite, Route};

/// What a request asks of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which operation of the API.
    pub operation: Operation,
    /// Path and query below the provider's host. Begins with `/v1` unless a rewrite says otherwise.
    pub path: String,
}

/// An operation whose bodies the gateway understands, or any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `POST /v1/chat/completions`
    ChatCompletions,
    /// `POST /v1/completions`
    Completions,
    /// `POST /v1/responses`
    Responses,
    /// `POST /v1/embeddings`
    Embeddings,
    /// Everything else: its bodies go through unread.
    Other,
}

impl Operation {
    /// Tells the operation from the request line. The end of the path decides: providers differ in what comes before.
    pub fn of(method: &str, path: &str) -> Operation {
        if !method.eq_ignore_ascii_case("post") {
            return Operation::Other;
        }
        let path = split_query(path).0;
        let ends_with = |suffix: &str| path.strip_suffix('/').unwrap_or(path).ends_with(suffix);
        if ends_with("/chat/completions") {
            Operation::ChatCompletions
        } else if ends_with("/completions") {
            Operation::Completions
        } else if ends_with("/responses") {
            Operation::Responses
        } else if ends_with("/embeddings") {
            Operation::Embeddings
        } else {
            Operation::Other
        }
    }

    /// Whether the gateway reads the request body of this operation.
    pub fn is_understood(self) -> bool {
        self != Operation::Other
    }
}

/// Paths of operations whose bodies are JSON in which every string is a text, though the gateway has no other use for
/// them.
const TEXTS: [&str; 3] = ["/moderations", "/images/generations", "/audio/speech"];

/// Whether a body sent to a path can be looked at for what it says.
pub fn holds_text(path: &str) -> bool {
    let path = split_query(path).0;
    TEXTS.iter().any(|it| path.strip_suffix('/').unwrap_or(path).ends_with(it))
}

impl Call {
    /// What a request asks for, once its route is known.
    pub fn new(method: &str, path: &str, taken: &PathMatch, rewrite: Option<&Rewrite>) -> Call {
        let (path, query) = split_query(path);
        let path = match (rewrite, taken) {
            (Some(Rewrite::FullPath(full)), _) => full.clone(),
            (Some(Rewrite::Prefix(prefix)), PathMatch::Prefix(taken)) => {
                join(prefix, after_prefix(path, taken).unwrap_or_default())
            }
            // A rule that matches the whole path has no prefix but the path itself.
            (Some(Rewrite::Prefix(prefix)), PathMatch::Exact(_)) => prefix.clone(),
            (None, PathMatch::Prefix(taken)) => api_path(after_prefix(path, taken).unwrap_or(path)),
            (None, PathMatch::Exact(_)) => api_path(""),
        };
        Call { operation: Operation::of(method, &path), path: path + query }
    }
}

/// The API path that a client means by what follows the route's prefix: `/v1` may be left out, and nothing at all
/// means chat completions.
fn api_path(rest: &str) -> String {
    let below = after_prefix(rest, "/v1").unwrap_or(rest);
    if below.is_empty() || below == "/" { "/v1/chat/completions".into() } else { join("/v1", below) }
}

/// What follows a prefix made of whole segments; `None` if the path does not begin with it.
pub fn after_prefix<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix.strip_suffix('/').unwrap_or(prefix))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

fn join(prefix: &str, rest: &str) -> String {
    let joined = format!("{}{rest}", prefix.strip_suffix('/').unwrap_or(prefix));
    if joined.is_empty() { "/".into() } else { joined }
}

/// The path, and the query with its `?`.
pub fn split_query(path: &str) -> (&str, &str) {
    path.split_at(path.find('?').unwrap_or(path.len()))
}

/// A segment of a path without percent-encoding.
pub fn decoded(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

/// Whether every server reads the same segments from a path: none is empty or made of dots, and none hides a slash.
pub fn is_plain(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').skip(1).all(|segment| {
        let segment = decoded(segment);
        !matches!(segment.as_ref(), "" | "." | "..") && !segment.contains(['/', '\\'])
    })
}

/// The route that takes a request, and the path match that did. A name that the host gives wins; the host has
/// looked at more than we can see.
pub fn find<'r>(
    routes: &'r [Route],
    named: Option<&str>,
    host: &str,
    path: &str,
) -> Option<(usize, &'r Route, &'r PathMatch)> {
    const ANY: &PathMatch = &PathMatch::Prefix(String::new());
    let path = split_query(path).0;
    let mut all = routes.iter().enumerate();
    if let Some((i, route)) = named.and_then(|name| all.find(|(_, route)| route.name == name)) {
        let taken = route.matches.iter().find(|it| fits(it, host, path)).map_or(ANY, |it| &it.path);
        return Some((i, route, taken));
    }
    routes.iter().enumerate().find_map(|(i, route)| {
        if route.matches.is_empty() {
            return Some((i, route, ANY));
        }
        let taken = route.matches.iter().find(|it| fits(it, host, path))?;
        Some((i, route, &taken.path))
    })
}

fn fits(it: &Match, host: &str, path: &str) -> bool {
    let takes_path = match &it.path {
        PathMatch::Exact(exact) => path == exact,
        PathMatch::Prefix(prefix) => after_prefix(path, prefix).is_some(),
    };
    takes_path && (it.hosts.is_empty() || it.hosts.iter().any(|pattern| host_fits(pattern, host)))
}

/// Whether an authority is of a host name or, for `*.name`, below it (Gateway API, `HTTPRoute.hostnames`).
fn host_fits(pattern: &str, authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    match pattern.strip_prefix('*') {
        Some(suffix) => {
            let head = host.len().checked_sub(suffix.len()).and_then(|at| host.split_at_checked(at));
            head.is_some_and(|(head, tail)| !head.is_empty() && tail.eq_ignore_ascii_case(suffix))
        }
        None => host.eq_ignore_ascii_case(pattern),
    }
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
