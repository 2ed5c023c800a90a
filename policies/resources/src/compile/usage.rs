//! What is said about requests: labels of metrics, and the access log.

use policy::written::{AccessLog, MetricLabel};

use super::Compiler;
use crate::kinds::Spec;
use crate::problem::Severity;

impl Compiler<'_> {
    /// The labels of all parameters of gateways. There is one gateway here, and so there is one set of labels.
    pub(super) fn metric_labels(&self) -> Vec<MetricLabel> {
        let mut labels: Vec<MetricLabel> = Vec::new();
        for resource in &self.resources {
            let Spec::GatewayParameters(parameters) = &resource.spec else { continue };
            for label in &parameters.labels {
                match labels.iter().find(|it| it.name == label.name) {
                    Some(known) if known == label => {}
                    Some(_) => {
                        let what =
                            format!("the label `{}` has another value already, which counts", label.name);
                        self.report.add(
                            Severity::Warning,
                            &resource.place,
                            "spec.kube.aiExtension.stats",
                            what,
                        );
                    }
                    None => labels.push(label.clone()),
                }
            }
        }
        labels
    }

    /// What the first Settings say of it that say anything.
    pub(super) fn access_log(&self) -> Option<AccessLog> {
        self.resources.iter().find_map(|it| match &it.spec {
            Spec::Settings(settings) => settings.access_log.clone(),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use policy::written::ClaimPath;

    use super::super::tests::{plan, problems};

    fn parameters(name: &str, labels: &str) -> String {
        format!(
            "kind: GatewayParameters\nmetadata: {{name: {name}}}\nspec: {{kube: {{service: {{type: NodePort}}, aiExtension: {{enabled: true, ports: [], stats: {{customLabels: [{labels}]}}}}}}}}\n"
        )
    }

    fn settings(spec: &str) -> String {
        format!("kind: Settings\nmetadata: {{name: default}}\nspec: {{{spec}}}\n")
    }

    #[test]
    fn labels_are_claims_of_the_token() {
        let one = r#"{name: user, metadataKey: "principal:sub"}, {name: model_of, metadataNamespace: envoy.filters.http.jwt_authn, metadataKey: principal.llms.openai, keyDelimiter: .}"#;
        let two =
            r#"{name: user, metadataKey: "principal:sub"}, {name: team, metadataKey: "principal:team"}"#;
        let plan = plan(&[&parameters("one", one), &parameters("two", two)]);
        let labels = plan.metric_labels.iter().map(|it| (it.name.as_str(), it.claim.clone()));
        let nested = |path: &[&str]| ClaimPath::Nested(path.iter().map(|it| (*it).to_owned()).collect());
        let expected = [
            ("user", nested(&["sub"])),
            ("model_of", nested(&["llms", "openai"])),
            ("team", nested(&["team"])),
        ];
        assert_eq!(labels.collect::<Vec<_>>(), expected);
        assert_eq!(plan.labels().last(), Some("team"));
        assert!(plan.labels().any(|it| it == "model"));
    }

    #[test]
    fn labels_from_elsewhere_are_left_out_and_said() {
        let said = |labels: &str| problems(&[&parameters("p", labels)]).join("\n");
        for (label, what) in [
            (
                r#"{name: a, metadataNamespace: other, metadataKey: "principal:sub"}"#,
                "metadataNamespace: warning: only",
            ),
            (
                r#"{name: a, metadataKey: "payload:sub"}"#,
                "metadataKey: warning: expected `principal` and a claim",
            ),
            ("{name: a, metadataKey: principal}", "metadataKey: warning: expected `principal` and a claim"),
            (
                r#"{name: a, metadataKey: "principal:sub", keyDelimeter: ":"}"#,
                "keyDelimeter: warning: unknown field",
            ),
            (r#"{name: a-b, metadataKey: "principal:sub"}"#, "name: `a-b` is no name of a label"),
            (r#"{name: model, metadataKey: "principal:sub"}"#, "name: `model` is a label already"),
        ] {
            assert!(said(label).contains(what), "{label}: {}", said(label));
        }
        let two = [
            parameters("p", "{name: a, metadataKey: 'principal:sub'}"),
            parameters("q", "{name: a, metadataKey: 'principal:team'}"),
        ];
        assert!(
            problems(&[&two[0], &two[1]])
                .join("\n")
                .contains("warning: the label `a` has another value already")
        );
        let many: Vec<String> =
            (0..9).map(|i| format!("{{name: l{i}, metadataKey: 'principal:sub'}}")).collect();
        assert!(said(&many.join(", ")).contains("expected at most 8 labels"));
    }

    #[test]
    fn parameters_that_are_none_of_the_gateway_s_business_are_only_noted() {
        for spec in ["{}", "{selfManaged: {}}", "{kube: {deployment: {replicas: 2}}}"] {
            let said =
                problems(&[&format!("kind: GatewayParameters\nmetadata: {{name: p}}\nspec: {spec}\n")]);
            assert!(
                said.len() == 1 && said[0].contains("note: nothing in these GatewayParameters"),
                "{said:?}"
            );
        }
    }

    #[test]
    fn settings_ask_for_an_access_log() {
        assert_eq!(plan(&[&settings("gloo: {}")]).access_log, None);
        let caller = |spec: &str| plan(&[&settings(spec)]).access_log.unwrap().caller;
        assert_eq!(caller("accessLog: {}"), None);
        assert_eq!(caller("accessLog: {caller: sub}"), Some(ClaimPath::Name("sub".into())));
        assert_eq!(
            caller("accessLog: {caller: [org, id]}"),
            Some(ClaimPath::Nested(vec!["org".into(), "id".into()]))
        );
        let said = problems(&[&settings("accessLog: {claim: sub}")]).join("\n");
        assert!(said.contains("spec.accessLog.claim: warning: unknown field"), "{said}");
    }
}
