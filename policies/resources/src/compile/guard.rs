//! What the guard of a route comes to: itself, and in the plan whom it asks.

use policy::{Provider, written};

use super::Compiler;
use crate::kinds::ai::Ai;
use crate::kinds::options::Written;
use crate::kinds::prompt_guard::{Address, Moderator};
use crate::plan::{Key, Plan, Service, Target, Tls};
use crate::problem::{Severity, did_you_mean};

impl Compiler<'_> {
    /// What prompts and answers may say. Webhooks and moderation get into the plan.
    pub(super) fn guard(&self, ai: &Written<Ai>, plan: &mut Plan) -> Option<written::Guard> {
        let guard = ai.value.guard.as_ref()?;
        let mut written = guard.written.clone();
        for address in &guard.asked.webhooks {
            add_webhook(address, plan);
        }
        let moderation = written.request.as_mut().and_then(|it| it.moderation.as_mut());
        if let (Some(moderation), Some(moderator)) = (moderation, &guard.asked.moderator) {
            let (_, resource) = ai.owner.split_once(' ').unwrap_or(("", &ai.owner));
            moderation.cluster = self.moderator(moderator, resource, plan);
        }
        Some(written)
    }

    /// The target that moderates for a resource.
    fn moderator(&self, moderator: &Moderator, resource: &str, plan: &mut Plan) -> String {
        match moderator {
            Moderator::Openai { token, place, path } => {
                let name = format!("moderation/{resource}");
                if !plan.targets.iter().any(|it| it.name == name) {
                    let key = match token {
                        Some(token) => self.key(token, Provider::Openai, (place, path)),
                        None => self.usual_key(Provider::Openai, (place, path)),
                    };
                    plan.targets.push(openai(name.clone(), key));
                }
                name
            }
            Moderator::Upstream { name, namespace, place, path } => {
                let own = resource.split('/').next().unwrap_or_default();
                let name = format!("{}/{name}", namespace.as_deref().unwrap_or(own));
                if let Some(what) = unfit(&name, plan) {
                    self.report.add(Severity::Error, place, path, what);
                }
                name
            }
        }
    }
}

/// Why an Upstream cannot moderate.
fn unfit(name: &str, plan: &Plan) -> Option<String> {
    let Some(target) = plan.targets.iter().find(|it| it.name == name) else {
        let hint = did_you_mean(name, plan.targets.iter().map(|it| it.name.as_str()));
        return Some(format!("there is no Upstream {name} with a model{hint}"));
    };
    match (target.provider, &target.key) {
        (Provider::Mistral, _) => {
            Some(format!("Upstream {name} is mistral, and moderation speaks openai's API"))
        }
        (Provider::Openai, Key::Passthrough) => Some(format!(
            "Upstream {name} has no key but the client's, which is for the provider of the route"
        )),
        (Provider::Openai, Key::Absent | Key::Known(_) | Key::Missing(_)) => None,
    }
}

fn add_webhook(address: &Address, plan: &mut Plan) {
    let name = address.cluster();
    if plan.services.iter().any(|it| it.name == name) {
        return;
    }
    let tls = address.has_tls().then(|| Tls { name: address.host.clone(), ca_file: None });
    plan.services.push(Service { name, hosts: vec![(address.host.clone(), address.port)], tls });
}

/// OpenAI at its public API.
fn openai(name: String, key: Key) -> Target {
    let provider = Provider::Openai;
    let host = provider.default_host().to_owned();
    Target {
        name,
        provider,
        port: 443,
        authority: host.clone(),
        tls: Some(Tls { name: host.clone(), ca_file: None }),
        host,
        model: None,
        key,
        path: None,
    }
}
