//! What is said about requests: labels that hosts and Prometheus can tell apart.

use super::Report;
use crate::usage::{AccessLog, MOST_METRIC_LABELS, MetricLabel, metric_label_problem};
use crate::written;

impl Report<'_> {
    pub(super) fn metric_labels(&mut self, written: Vec<written::MetricLabel>) -> Vec<MetricLabel> {
        let at = "downstream.metricLabels";
        if written.len() > MOST_METRIC_LABELS {
            self.refuse(at.to_owned(), format!("expected at most {MOST_METRIC_LABELS} labels"));
        }
        let mut labels: Vec<MetricLabel> = Vec::new();
        for (i, it) in written.into_iter().enumerate() {
            if let Some(problem) = metric_label_problem(&it.name) {
                self.refuse(format!("{at}[{i}].name"), problem);
            } else if labels.iter().any(|other| other.name == it.name) {
                self.refuse(format!("{at}[{i}].name"), format!("there are two labels `{}`", it.name));
            }
            let claim = self.claim_path(&format!("{at}[{i}].claim"), it.claim);
            labels.push(MetricLabel { name: it.name, claim });
        }
        labels
    }

    pub(super) fn access_log(&mut self, it: written::AccessLog) -> AccessLog {
        let caller = it.caller.map(|it| self.claim_path("downstream.accessLog.caller", it));
        AccessLog { caller }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Gateway, Plugin};

    fn read(rest: &str) -> Result<Gateway, String> {
        let json = format!(r#"{{"downstream": {{"routes": [], {rest}}}}}"#);
        match Plugin::read(json.as_bytes(), &|_| None) {
            Ok(Plugin::Downstream(gateway)) => Ok(gateway),
            Ok(Plugin::Upstream(_)) => Err("not a downstream configuration".into()),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        }
    }

    #[test]
    fn labels_and_a_caller_come_from_claims() {
        let labels = r#"{"name": "team", "claim": "team"}, {"name": "a_1", "claim": ["a", "b"]}"#;
        let read = read(&format!(r#""metricLabels": [{labels}], "accessLog": {{"caller": "sub"}}"#)).unwrap();
        let names: Vec<&str> = read.metric_labels.iter().map(|it| it.name.as_str()).collect();
        assert_eq!((names, &read.metric_labels[1].claim.join(".")), (vec!["team", "a_1"], &"a.b".to_owned()));
        assert_eq!(read.access_log.unwrap().caller, Some(vec!["sub".to_owned()]));
    }

    #[test]
    fn a_log_is_there_only_where_it_is_asked_for() {
        assert!(read(r#""metricLabels": []"#).unwrap().access_log.is_none());
        assert!(read(r#""accessLog": {}"#).unwrap().access_log.unwrap().caller.is_none());
    }

    #[test]
    fn labels_that_cannot_be_are_refused() {
        let refused = |labels: &str| read(&format!(r#""metricLabels": [{labels}]"#)).unwrap_err();
        for name in ["", "a-b", "1a", "__a", "é", "a;b", "model", "kind", "le"] {
            let said = refused(&format!(r#"{{"name": "{name}", "claim": "team"}}"#));
            assert!(said.starts_with("downstream.metricLabels[0].name: "), "{name}: {said}");
        }
        let team = r#"{"name": "team", "claim": "team"}"#;
        assert!(refused(&format!("{team}, {team}")).contains("there are two labels `team`"));
        assert!(refused(r#"{"name": "team", "claim": []}"#).contains("a claim needs a name"));
        let many: Vec<String> = (0..9).map(|i| format!(r#"{{"name": "l{i}", "claim": "c"}}"#)).collect();
        assert!(refused(&many.join(",")).contains("expected at most 8 labels"));
        assert!(read(r#""accessLog": {"calller": "sub"}"#).unwrap_err().contains("calller"));
    }
}
