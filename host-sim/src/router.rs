//! Which route takes a request, and which of its clusters.

use std::cell::Cell;

use crate::config::{PathMatch, Route};
use crate::headers::HeaderMap;
use crate::traffic::{LocalReply, host_reply};

/// The routes of a listener.
pub struct Router<'a> {
    routes: &'a [Route],
}

impl<'a> Router<'a> {
    /// A router over routes; the first that matches wins.
    pub fn new(routes: &'a [Route]) -> Router<'a> {
        Router { routes }
    }

    /// The route of a request, if there is one. It may be another once a filter has changed the headers.
    ///
    /// None has a request without `x-forwarded-proto`: Envoy's routes ask whether the request came over TLS before
    /// they look at anything else.
    pub fn find(&self, headers: &HeaderMap) -> Option<&'a Route> {
        headers.text("x-forwarded-proto")?;
        let host = headers.text(":authority").unwrap_or_default();
        let path = headers.text(":path").unwrap_or_default();
        let path = path.split(['?', '#']).next().unwrap_or_default();
        self.routes.iter().find(|route| takes_host(&route.hosts, host) && takes_path(&route.path, path))
    }
}

impl Route {
    /// The cluster for the next request: each gets its share of every so many.
    ///
    /// # Errors
    /// The answer for a route without clusters.
    pub fn pick(&self, turn: &Cell<u32>) -> Result<&str, LocalReply> {
        let total: u32 = self.clusters.iter().map(|(_, weight)| weight).sum();
        turn.set(turn.get().wrapping_add(1));
        let mut at = turn.get().checked_rem(total).unwrap_or(0);
        for (name, weight) in &self.clusters {
            if at < *weight {
                return Ok(name);
            }
            at -= weight;
        }
        Err(host_reply(503, "", "cluster_not_found"))
    }
}

fn takes_host(patterns: &[String], authority: &str) -> bool {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_ascii_lowercase();
    let fits = |pattern: &String| match pattern.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => host == *pattern,
    };
    patterns.is_empty() || patterns.iter().any(fits)
}

fn takes_path(path_match: &PathMatch, path: &str) -> bool {
    match path_match {
        PathMatch::Exact(exact) => path == exact,
        PathMatch::Prefix(prefix) => {
            let rest = path.strip_prefix(prefix.strip_suffix('/').unwrap_or(prefix));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::Router;
    use crate::config::{PathMatch, Route};
    use crate::headers::HeaderMap;

    fn route(name: &str, host: &str, path: PathMatch, clusters: &[(&str, u32)]) -> Route {
        let hosts = if host.is_empty() { vec![] } else { vec![host.to_owned()] };
        let clusters = clusters.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
        Route { name: name.into(), hosts, path, clusters, timeout: None, retry: None }
    }

    #[test]
    fn the_first_route_that_takes_host_and_path_wins() {
        let routes = [
            route("host", "*.a.com", PathMatch::Prefix("/".into()), &[]),
            route("exact", "", PathMatch::Exact("/x".into()), &[]),
            route("prefix", "", PathMatch::Prefix("/x".into()), &[]),
        ];
        let name = |host: &str, path: &str| {
            let headers: HeaderMap =
                [(":authority", host), (":path", path), ("x-forwarded-proto", "http")].into_iter().collect();
            Router::new(&routes).find(&headers).map(|route| route.name.clone()).unwrap_or_default()
        };
        assert_eq!(name("b.A.com:80", "/y"), "host");
        assert_eq!(name("c", "/x?y"), "exact");
        assert_eq!(name("c", "/x/y"), "prefix");
        assert_eq!(name("c", "/xy"), "");
    }

    #[test]
    fn clusters_get_their_share() {
        let route = route("a", "", PathMatch::Prefix("/".into()), &[("one", 3), ("none", 0), ("two", 1)]);
        let turn = Cell::new(0);
        let picked: Vec<&str> = (0..8).map(|_| route.pick(&turn).unwrap()).collect();
        assert_eq!(picked.iter().filter(|name| **name == "one").count(), 6);
        assert_eq!(picked.iter().filter(|name| **name == "two").count(), 2);
    }
}
