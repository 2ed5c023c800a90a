use super::rules::tests::{BASE, config, limited, said};
use super::tests::problems;

/// What is said of an action.
fn said_of(action: &str) -> Vec<String> {
    let raw = format!("descriptors: [{}], rateLimits: [{{actions: [{{{action}}}]}}]", limited("key: k", 1));
    said(&raw)
}

#[test]
fn what_is_wrong_with_an_action_is_said_at_its_place() {
    let at = "spec.raw.rateLimits[0].actions[0]";
    let known = "sourceCluster, destinationCluster, requestHeaders, remoteAddress, genericKey, headerValueMatch, metadata";
    for (action, expected) in [
        ("", format!("{at}: expected one of {known}")),
        (
            "genericKeys: {}",
            format!(
                "{at}.genericKeys: no action known here, expected one of {known}, did you mean `genericKey`?"
            ),
        ),
        ("sourceCluster: {a: b}", format!("{at}.sourceCluster.a: unknown field")),
        (
            "cel: {expression: x}",
            format!(
                "{at}.cel: expressions are not supported by this version: a claim is had by `metadata`, a header by `requestHeaders` or `headerValueMatch`, a constant by `genericKey`"
            ),
        ),
        (
            "genericKey: {descriptorValue: ''}",
            format!("{at}.genericKey.descriptorValue: expected a text that is not empty"),
        ),
        (
            "requestHeaders: {headerName: 'a b', descriptorKey: k}",
            format!("{at}.requestHeaders.headerName: `a b` is no header name"),
        ),
        ("requestHeaders: {headerName: a}", format!("{at}.requestHeaders: `descriptorKey` is missing")),
        (
            "headerValueMatch: {descriptorValue: v, headers: [{name: a, exactMatch: b, prefixMatch: c}]}",
            format!(
                "{at}.headerValueMatch.headers[0]: expected at most one of exactMatch, regexMatch, rangeMatch, presentMatch, prefixMatch, suffixMatch"
            ),
        ),
        (
            "headerValueMatch: {descriptorValue: v, headers: [{name: a, regexMatch: '('}]}",
            format!("{at}.headerValueMatch.headers[0]: `(`: found open group without closing ')'"),
        ),
        (
            "metadata: {descriptorKey: k, metadataKey: {key: my.filter}}",
            format!(
                "{at}.metadata.metadataKey: this metadata is not known here, expected a claim: the source DYNAMIC, the key envoy.filters.http.jwt_authn, the path principal and the claim; or say a `defaultValue`"
            ),
        ),
        (
            "metadata: {descriptorKey: k, source: 1, metadataKey: {key: envoy.filters.http.jwt_authn, path: [{key: principal}, {key: a}]}}",
            format!(
                "{at}.metadata.metadataKey: this metadata is not known here, expected a claim: the source DYNAMIC, the key envoy.filters.http.jwt_authn, the path principal and the claim; or say a `defaultValue`"
            ),
        ),
        (
            "metadata: {descriptorKey: k, metadataKey: {key: envoy.filters.http.jwt_authn, path: [{key: sub}]}}",
            format!(
                "{at}.metadata.metadataKey.path: a path to a claim begins with `principal`, under which tokens' payloads are kept"
            ),
        ),
        (
            "metadata: {descriptorKey: k, metadataKey: {key: envoy.filters.http.jwt_authn, path: [{key: principal}]}}",
            format!("{at}.metadata.metadataKey.path: after `principal` the path has to name a claim"),
        ),
        (
            "metadata: {descriptorKey: k, source: DYNAMC, defaultValue: d, metadataKey: {key: x}}",
            format!(
                "{at}.metadata.source: `DYNAMC` is unknown, expected one of DYNAMIC, ROUTE_ENTRY, did you mean `DYNAMIC`?"
            ),
        ),
    ] {
        let said = said_of(action);
        assert!(said.contains(&expected), "{action}\n{said:#?}");
    }
    let constant = said_of("metadata: {descriptorKey: k, defaultValue: d, metadataKey: {key: my.filter}}");
    assert_eq!(
        constant,
        [format!(
            "{at}.metadata.metadataKey: warning: this metadata is not known here: the value is always the default, `d`"
        )]
    );
}

#[test]
fn what_is_wrong_with_a_descriptor_is_said_at_its_place() {
    for (raw, expected) in [
        ("descriptors: [{value: a}]", "spec.raw.descriptors[0]: `key` is missing"),
        (
            "descriptors: [{key: a}, {key: a}]",
            "spec.raw.descriptors[1]: a descriptor with this key and value stands here already",
        ),
        (
            "descriptors: [{key: a, ratelimit: {}}]",
            "spec.raw.descriptors[0].ratelimit: unknown field, did you mean `rateLimit`?",
        ),
        (
            "descriptors: [{key: a, rateLimit: {unit: 0, requestsPerUnit: 1}}]",
            "spec.raw.descriptors[0].rateLimit.unit: UNKNOWN is no unit, expected SECOND, MINUTE, HOUR, DAY, WEEK, MONTH or YEAR",
        ),
        (
            "descriptors: [{key: a, rateLimit: {unit: HUOR, requestsPerUnit: 1}}]",
            "spec.raw.descriptors[0].rateLimit.unit: `HUOR` is unknown, expected one of UNKNOWN, SECOND, MINUTE, HOUR, DAY, MONTH, YEAR, WEEK, did you mean `HOUR`?",
        ),
        (
            "descriptors: [{key: a, rateLimit: {unit: HOUR}}]",
            "spec.raw.descriptors[0].rateLimit: `requestsPerUnit` is missing",
        ),
        (
            "descriptors: [{key: a, rateLimit: {unit: HOUR, requestsPerUnit: 1.5}}]",
            "spec.raw.descriptors[0].rateLimit.requestsPerUnit: found a number, expected a whole number from 0 to 4294967295",
        ),
        (
            "descriptors: [{key: a, descriptors: [{key: b, wieght: 1}]}]",
            "spec.raw.descriptors[0].descriptors[0].wieght: unknown field, did you mean `weight`?",
        ),
        (
            "setDescriptors: [{simpleDescriptors: [{key: a}]}]",
            "spec.raw.setDescriptors[0]: `rateLimit` is missing",
        ),
        (
            "rateLimits: [{}]",
            "spec.raw.rateLimits[0]: makes no descriptor: expected `actions` or `setActions`",
        ),
        (
            "rateLimits: [{actions: [{remoteAddress: {}}], type: BYTE}]",
            "spec.raw.rateLimits[0].type: `BYTE` is unknown, expected one of REQUEST, TOKEN",
        ),
        ("limits: []", "spec.raw.limits: unknown field"),
    ] {
        let said = said(raw);
        assert!(said.iter().any(|it| it == expected), "{expected}\n{said:#?}");
    }
    let bare = config("").replace("raw: {}", "descriptors: []");
    let said = problems(&[BASE, &bare]);
    assert!(said[0].ends_with("spec: `raw` is missing"), "{said:#?}");
    assert!(said.iter().any(|it| it.ends_with("spec.descriptors: unknown field")), "{said:#?}");
}
