//! Providers and services: their addresses, their protection, their keys.

use policy::{Provider, Secret};

use super::Compiler;
use crate::kinds::secret::{self, KeyText};
use crate::kinds::upstream::{Ai, AuthToken, Pooled, Static, Upstream, authority};
use crate::kinds::{Id, Resource, Spec};
use crate::plan::{Key, Service, Target, Tls};
use crate::problem::{Place, Problem, Severity};

/// What an Upstream offers: targets of the plan and their shares, by priority. No pool is empty.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    /// `namespace/name` of the Upstream.
    pub name: String,
    /// The first is asked first.
    pub pools: Vec<Vec<(usize, u32)>>,
}

impl Compiler<'_> {
    /// The providers, and which of them each Upstream offers.
    pub(super) fn targets(&self) -> (Vec<Target>, Vec<Offer>) {
        let (mut targets, mut offers) = (Vec::new(), Vec::new());
        for Resource { id, place, spec } in &self.resources {
            let name = format!("{}/{}", id.namespace, id.name);
            let pools = match spec {
                Spec::Upstream(Upstream::Ai(ai)) => {
                    targets.push(self.target(name.clone(), ai, (place, "spec.ai")));
                    vec![vec![(targets.len() - 1, 1)]]
                }
                Spec::Upstream(Upstream::Multi(pools)) => {
                    let mut member = |it: &Pooled| {
                        let wanted = it.ai.model.as_deref().unwrap_or(it.ai.provider.name());
                        let name = free(&targets, &name, wanted);
                        targets.push(self.target(name, &it.ai, (&it.place, &it.path)));
                        (targets.len() - 1, it.weight)
                    };
                    pools.iter().map(|pool| pool.iter().map(&mut member).collect()).collect()
                }
                _ => continue,
            };
            offers.push(Offer { name, pools });
        }
        (targets, offers)
    }

    /// What the gateway itself asks.
    pub(super) fn services(&self) -> Vec<Service> {
        let service = |resource: &Resource| match &resource.spec {
            Spec::Upstream(Upstream::Static(it)) => Some(service(&resource.id, it)),
            _ => None,
        };
        self.resources.iter().filter_map(service).collect()
    }

    fn target(&self, name: String, ai: &Ai, (place, field): (&Place, &str)) -> Target {
        let public = ai.provider.default_host();
        let (host, port) = match &ai.host {
            Some(custom) => (custom.host.clone(), custom.port.unwrap_or(443)),
            None => (public.to_owned(), 443),
        };
        let hostname = ai.host.as_ref().and_then(|custom| custom.hostname.clone());
        let asked = hostname.clone().unwrap_or_else(|| host.clone());
        let tls = (port == 443 || ai.tls.is_some()).then(|| Tls {
            name: ai.tls.as_ref().and_then(|tls| tls.sni.clone()).unwrap_or(asked),
            ca_file: ai.tls.as_ref().and_then(|tls| tls.root_ca.clone()),
        });
        let authority = hostname.unwrap_or_else(|| authority(&host, port, tls.is_some()));
        let key = match &ai.token {
            None => Key::Absent,
            Some(token) => self.key(token, ai.provider, (place, field)),
        };
        let path = ai.host.as_ref().and_then(|custom| custom.path.clone());
        Target { name, provider: ai.provider, host, port, authority, tls, model: ai.model.clone(), key, path }
    }

    /// A key as it is written at a place.
    pub(super) fn key(&self, token: &AuthToken, provider: Provider, (place, path): (&Place, &str)) -> Key {
        match token {
            AuthToken::Passthrough => Key::Passthrough,
            AuthToken::Inline(text) => self.resolve(text, place, path),
            AuthToken::Secret { name, namespace, place, path } => {
                self.secret(name, namespace, provider, place, path)
            }
        }
    }

    /// The key that is where people usually keep it.
    pub(super) fn usual_key(&self, provider: Provider, (place, path): (&Place, &str)) -> Key {
        let variable = usual_variable(provider);
        self.variable(variable, || missing(place, path, format!("no `authToken`, and {variable} is not set")))
    }

    fn secret(&self, name: &str, namespace: &str, provider: Provider, place: &Place, path: &str) -> Key {
        let id = Id { kind: "Secret", namespace: namespace.to_owned(), name: name.to_owned() };
        let found = self.resources.iter().find(|it| it.id == id).map(|it| (&it.spec, &it.place));
        match found {
            Some((Spec::Secret(secret::Secret { key: Some(text) }), at)) => {
                self.resolve(text, at, "Authorization")
            }
            Some((_, at)) => {
                self.report.add(
                    Severity::Error,
                    at,
                    "",
                    "the secret holds no `Authorization`, which is where a provider's key is looked for",
                );
                Key::Absent
            }
            // Where secrets live in a cluster, the files do not have them: the environment stands in.
            None => {
                let variable = usual_variable(provider);
                let what = format!("no Secret {namespace}/{name} among the files, and {variable} is not set");
                self.variable(variable, || missing(place, path, what))
            }
        }
    }

    fn resolve(&self, text: &KeyText, place: &Place, path: &str) -> Key {
        match text {
            KeyText::Literal(key) => Key::Known(key.clone()),
            KeyText::Variable(name) => {
                let what = format!("the environment variable {name} is not set");
                self.variable(name, || missing(place, path, what))
            }
        }
    }

    fn variable(&self, name: &str, missing: impl FnOnce() -> Problem) -> Key {
        let value = (self.env)(name).unwrap_or_default();
        match secret::bearer(&value) {
            "" => Key::Missing(Box::new(missing())),
            key => Key::Known(Secret::new(key.to_owned())),
        }
    }
}

/// A name for a target of an Upstream that no other has: hosts know clusters by it, and it stands in lists.
pub(super) fn free(targets: &[Target], upstream: &str, wanted: &str) -> String {
    // In a header, and in a list with commas.
    let fit = |c: char| if c.is_ascii_graphic() && c != ',' && c != ';' { c } else { '_' };
    let plain: String = wanted.chars().map(fit).collect();
    let numbered = (1..).map(|n| match n {
        1 => format!("{upstream}:{plain}"),
        n => format!("{upstream}:{plain}#{n}"),
    });
    let mut free = numbered.filter(|name| !targets.iter().any(|it| it.name == *name));
    free.next().unwrap_or_default()
}

fn service(id: &Id, it: &Static) -> Service {
    let first = it.hosts.first().map(|(host, _)| host.clone()).unwrap_or_default();
    let tls = it
        .tls
        .as_ref()
        .map(|tls| Tls { name: tls.sni.clone().unwrap_or(first), ca_file: tls.root_ca.clone() });
    Service { name: format!("{}/{}", id.namespace, id.name), hosts: it.hosts.clone(), tls }
}

fn missing(place: &Place, path: &str, what: String) -> Problem {
    let what = format!("{what}: there is no key for this provider");
    Problem { severity: Severity::Warning, place: place.clone(), path: path.to_owned(), what }
}

/// The variable in which people keep a provider's key.
fn usual_variable(provider: Provider) -> &'static str {
    match provider {
        Provider::Openai => "OPENAI_API_KEY",
        Provider::Mistral => "MISTRAL_API_KEY",
    }
}
