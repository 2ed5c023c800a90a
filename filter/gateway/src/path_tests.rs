use policy::{Attempt, Match, PathMatch, Rewrite, Route};

use super::{Call, Operation, after_prefix, find, host_fits};
use crate::testing::test;

fn call(path: &str, prefix: &str) -> Call {
    Call::new("POST", path, &PathMatch::Prefix(prefix.into()), None)
}

fn rewritten(path: &str, prefix: &str, rewrite: Rewrite) -> String {
    Call::new("POST", path, &PathMatch::Prefix(prefix.into()), Some(&rewrite)).path
}

fn route(name: &str, host: &str, path: PathMatch) -> Route {
    let hosts = if host.is_empty() { vec![] } else { vec![host.to_owned()] };
    let matches = vec![Match { hosts, path }];
    let attempt = Attempt::Upstream { passthrough: false };
    Route {
        backends: Vec::new(),
        failover: None,
        name: name.into(),
        matches,
        rewrite: None,
        attempt,
        jwt: Vec::new(),
        rbac: None,
        budgets: Vec::new(),
        enrich: None,
        guard: policy::guard::Guard::default(),
    }
}

#[test]
fn every_way_to_write_chat_completions_arrives_there() {
    for path in [
        "/openai",
        "/openai/",
        "/openai/v1",
        "/openai/v1/",
        "/openai/chat/completions",
        "/openai/v1/chat/completions",
    ] {
        let call = call(path, "/openai");
        assert_eq!(
            call,
            Call { operation: Operation::ChatCompletions, path: "/v1/chat/completions".into() },
            "{path}"
        );
    }
    assert_eq!(call("/", "/").path, "/v1/chat/completions");
    assert_eq!(call("/v1/chat/completions", "/").path, "/v1/chat/completions");
}

#[test]
fn other_api_paths_go_to_the_same_place_below_v1() {
    for (path, to) in [
        ("/openai/v1/models", "/v1/models"),
        ("/openai/models/gpt-4o?x=1", "/v1/models/gpt-4o?x=1"),
        ("/openai/embeddings", "/v1/embeddings"),
        ("/openai/v1beta/x", "/v1/v1beta/x"),
        ("/openai?api-version=1", "/v1/chat/completions?api-version=1"),
    ] {
        assert_eq!(call(path, "/openai").path, to);
    }
}

#[test]
fn a_rewrite_is_taken_at_its_word() {
    let full = Rewrite::FullPath("/v2/x".into());
    assert_eq!(rewritten("/openai/anything?q=1", "/openai", full), "/v2/x?q=1");
    // The table of HTTPURLRewriteFilter's ReplacePrefixMatch in the Gateway API.
    for (path, prefix, with, to) in [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "/", "/bar"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
    ] {
        assert_eq!(rewritten(path, prefix, Rewrite::Prefix(with.into())), to, "{path} {prefix} {with}");
    }
}

#[test]
fn the_operation_is_told_by_method_and_the_end_of_the_path() {
    for (method, path, operation) in [
        ("POST", "/v1/chat/completions?x=/embeddings", Operation::ChatCompletions),
        ("POST", "/openai/v1/completions/", Operation::Completions),
        ("POST", "/v1/responses", Operation::Responses),
        ("POST", "/v1/responses/resp_1/cancel", Operation::Other),
        ("POST", "/v1/embeddings", Operation::Embeddings),
        ("GET", "/v1/chat/completions", Operation::Other),
        ("POST", "/v1/files", Operation::Other),
    ] {
        assert_eq!(Operation::of(method, path), operation, "{method} {path}");
    }
}

#[test]
fn a_prefix_ends_where_a_segment_ends() {
    assert_eq!(after_prefix("/openai/v1", "/openai"), Some("/v1"));
    assert_eq!(after_prefix("/openai", "/openai/"), Some(""));
    assert_eq!(after_prefix("/openaifoo", "/openai"), None);
    assert_eq!(after_prefix("/x", "/"), Some("/x"));
}

#[test]
fn the_host_s_own_name_for_a_route_wins() {
    let routes =
        [route("a", "", PathMatch::Prefix("/".into())), route("b", "", PathMatch::Prefix("/b".into()))];
    let name = |named, path| find(&routes, named, "h", path).map(|(_, route, _)| route.name.as_str());
    assert_eq!(name(None, "/b"), Some("a"));
    assert_eq!(name(Some("b"), "/b/c"), Some("b"));
    assert_eq!(name(Some("default"), "/b"), Some("a"), "a name that is not ours says nothing");
}

#[test]
fn without_a_name_the_first_route_that_matches_wins() {
    let routes = [
        route("exact", "a.com", PathMatch::Exact("/x".into())),
        route("prefix", "a.com", PathMatch::Prefix("/x".into())),
        route("other", "*.b.com", PathMatch::Prefix("/".into())),
    ];
    let name = |host, path| find(&routes, None, host, path).map(|(_, route, _)| route.name.as_str());
    assert_eq!(name("a.com:8080", "/x?y"), Some("exact"));
    assert_eq!(name("A.com", "/x/y"), Some("prefix"));
    assert_eq!(name("c.b.com", "/"), Some("other"));
    assert_eq!(name("a.com", "/y"), None);
    assert_eq!(name("b.com", "/"), None);
}

#[test]
fn a_host_pattern_takes_whole_labels() {
    for (pattern, host, takes) in [
        ("a.com", "a.com", true),
        ("a.com", "A.COM:443", true),
        ("a.com", "xa.com", false),
        ("*.a.com", "b.a.com", true),
        ("*.a.com", "c.b.a.com:80", true),
        ("*.a.com", "a.com", false),
        ("*.a.com", ".a.com", false),
        ("*.a.com", "é.com", false),
        ("a.com", "[::1]:80", false),
    ] {
        assert_eq!(host_fits(pattern, host), takes, "{pattern} {host}");
    }
}
