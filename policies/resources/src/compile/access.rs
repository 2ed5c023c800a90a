//! What the options of a route come to: JWT rules and RBAC.

use policy::written;

use super::Compiler;
use crate::kinds::Spec;
use crate::kinds::jwt::{Jwt, Provider};
use crate::kinds::options::{Options, Written};
use crate::kinds::rbac::Rbac;
use crate::plan::Plan;
use crate::problem::{Severity, did_you_mean};

/// What a route asks of its callers.
#[derive(Debug, Default)]
pub struct Access {
    pub jwt: Vec<written::JwtRule>,
    pub rbac: Option<written::Rbac>,
}

/// A provider by the name that is written, and by the one that the module knows.
type Names = Vec<(String, String)>;

impl Compiler<'_> {
    /// What a rule asks of its callers. What the route says replaces what the virtual host says.
    pub(super) fn access(&self, route: &Options, host: &Options, plan: &mut Plan) -> Access {
        let (mut jwt, mut names) = (Vec::new(), Names::new());
        let off = route.switch.as_ref().map(|it| it.value).unwrap_or_default();
        for stage in ["beforeExtAuth", "afterExtAuth"] {
            let asks = |options: &Options| {
                let written = options.jwt.as_ref()?;
                let stage =
                    if stage == "beforeExtAuth" { &written.value.before } else { &written.value.after };
                stage.clone().map(|it| (it, written.owner.clone()))
            };
            let off = if stage == "beforeExtAuth" { off.before } else { off.after };
            if let Some((question, owner)) = asks(route).or_else(|| asks(host)).filter(|_| !off) {
                jwt.push(self.rule(&question, &owner, stage, plan, &mut names));
            }
        }
        let rbac = route.rbac.as_ref().or(host.rbac.as_ref());
        let rbac = match rbac {
            Some(written) if written.value.disable => None,
            Some(written) => Some(self.rbac(written, &names)),
            None => self.require_rbac().then(|| written::Rbac { policies: Vec::new() }),
        };
        Access { jwt, rbac }
    }

    fn require_rbac(&self) -> bool {
        self.resources.iter().any(|it| matches!(&it.spec, Spec::Settings(settings) if settings.require_rbac))
    }

    fn rule(
        &self,
        it: &Jwt,
        owner: &str,
        stage: &str,
        plan: &mut Plan,
        names: &mut Names,
    ) -> written::JwtRule {
        let mut providers = Vec::new();
        for provider in &it.providers {
            let name = self.provider(provider, owner, stage, plan);
            names.push((provider.name.clone(), name.clone()));
            providers.push(name);
        }
        written::JwtRule { providers, validation: it.validation }
    }

    /// Adds a provider to the plan, and gives the name that it has there: `namespace/resource/provider`.
    fn provider(&self, it: &Provider, owner: &str, stage: &str, plan: &mut Plan) -> String {
        let (kind, resource) = owner.split_once(' ').unwrap_or(("", owner));
        let mut written = it.written.clone();
        if let (written::Keys::Remote(remote), Some(upstream)) = (&mut written.keys, &it.upstream) {
            let own = resource.split('/').next().unwrap_or_default();
            let name = format!("{}/{}", upstream.namespace.as_deref().unwrap_or(own), upstream.name);
            match plan.services.iter().find(|service| service.name == name) {
                Some(service) if upstream.https && service.tls.is_none() => {
                    let what = format!(
                        "the URL is https, but Upstream {name} has no `sslConfig`: the keys would come in the clear"
                    );
                    self.report.add(Severity::Warning, &upstream.place, &upstream.path, what);
                }
                Some(_) => {}
                None => {
                    let hint = did_you_mean(&name, plan.services.iter().map(|it| it.name.as_str()));
                    let what = format!("there is no Upstream {name} with `static` hosts{hint}");
                    self.report.add(Severity::Error, &upstream.place, &upstream.path, what);
                }
            }
            remote.cluster = name;
        }
        let middle = if stage == "beforeExtAuth" { "" } else { "afterExtAuth/" };
        let mut name = format!("{resource}/{middle}{}", it.name);
        // A virtual host's and a route's options can have one name.
        if plan.jwt_providers.get(&name).is_some_and(|other| *other != written) {
            name = format!("{name} ({kind})");
        }
        plan.jwt_providers.insert(name.clone(), written);
        name
    }

    fn rbac(&self, written: &Written<Rbac>, names: &Names) -> written::Rbac {
        let field = format!("spec.{}", written.field);
        let complain = |severity, what: String| self.report.add(severity, &written.place, &field, what);
        if names.is_empty() && !written.value.policies.is_empty() {
            let what =
                "a route of these rules asks for no JWT, so no caller has claims there, and nobody passes";
            complain(Severity::Warning, what.into());
        }
        let mut policies = written.value.policies.clone();
        for policy in &mut policies {
            let resolved = policy.principals.iter().flat_map(|principal| {
                let Some(wanted) = &principal.provider else { return vec![principal.clone()] };
                let found: Vec<_> = names.iter().filter(|(name, _)| name == wanted).collect();
                if found.is_empty() {
                    let hint = did_you_mean(wanted, names.iter().map(|(name, _)| name.as_str()));
                    let what = format!("policy {}: no provider `{wanted}` is asked here{hint}", policy.name);
                    complain(Severity::Error, what);
                }
                let own = |(_, name): &&(String, String)| written::Principal {
                    provider: Some(name.clone()),
                    ..principal.clone()
                };
                found.iter().map(own).collect()
            });
            policy.principals = resolved.collect();
        }
        written::Rbac { policies }
    }
}
