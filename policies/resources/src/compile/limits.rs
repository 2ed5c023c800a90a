//! What the limits of a route come to: budgets, each with the place where it is written.

use policy::written::{Budget, ClaimPath, Counts, OnUnavailable, Part, Source};

use super::Compiler;
use super::rules::{self, Limiter};
use crate::kinds::budgets::{Placed, requests};
use crate::kinds::limits::{Asked, Basic, ConfigRef};
use crate::kinds::options::{Options, Written};
use crate::kinds::rate_limit::{Entry, RateLimitConfig};
use crate::kinds::settings::{Server, Settings};
use crate::kinds::{Id, Resource, Spec};
use crate::node::At;
use crate::problem::{Severity, did_you_mean};

impl Compiler<'_> {
    /// The budgets of a rule whose first backend is of this cluster. What the route says replaces what the virtual host
    /// says, of each field on its own.
    pub(super) fn budgets(&self, route: &Options, host: &Options, cluster: &str) -> Vec<Placed> {
        let (route, host) = (&route.limits, &host.limits);
        let own = route.budgets.as_ref().or(host.budgets.as_ref());
        let mut budgets = own.map(|it| it.value.clone()).unwrap_or_default();
        let (mut configs, mut entries) = (Vec::<&Resource>::new(), Vec::<&Entry>::new());
        for (own, host) in route.stages.iter().zip(&host.stages) {
            let both =
                matches!(own.as_ref().map(|it| &it.value), Some(Asked::Settings { include_host: true, .. }));
            let asked = [host.as_ref().filter(|_| both || own.is_none()), own.as_ref()];
            for asked in asked.into_iter().flatten() {
                match &asked.value {
                    Asked::Settings { entries: more, .. } => entries.extend(more),
                    Asked::Configs(refs) => {
                        let named = refs.iter().filter_map(|it| self.config(&asked.owner, it));
                        configs.extend(named);
                    }
                }
            }
        }
        for (i, resource) in configs.iter().enumerate() {
            let again = configs.iter().take(i).any(|it| it.id == resource.id);
            if let (Spec::RateLimitConfig(it), false) = (&resource.spec, again) {
                let entries: Vec<&Entry> = it.entries.iter().collect();
                budgets.extend(self.limiter(&resource.id, &it.rules).budgets(&entries, cluster));
            }
        }
        if let Some((id, settings)) = self.settings_rules().first()
            && let Some((rules, _)) = &settings.rules
        {
            budgets.extend(self.limiter(id, rules).budgets(&entries, cluster));
        }
        let basic = route.basic.as_ref().or(host.basic.as_ref());
        budgets.extend(basic.map(|it| self.basic(it)).unwrap_or_default());
        budgets
    }

    fn limiter<'l>(&self, id: &Id, rules: &'l crate::kinds::rate_limit::Rules) -> Limiter<'l> {
        Limiter { name: format!("{}/{}", id.namespace, id.name), rules, server: self.server() }
    }

    /// Limits for those who are known, and for those who are not: a `sub` that is absent is an empty one.
    fn basic(&self, written: &Written<Basic>) -> Vec<Placed> {
        let sub = |default: Option<&str>| Part {
            of: Source::Claim(ClaimPath::Name("sub".into())),
            default: default.map(str::to_owned),
            is: default.map(str::to_owned),
            unless: if default.is_none() { vec![String::new()] } else { Vec::new() },
        };
        let address = Part { of: Source::Address, default: None, is: None, unless: Vec::new() };
        let (kind, resource) = written.owner.split_once(' ').unwrap_or(("", &written.owner));
        // A virtual host's and a route's options can have one name, and are not to share a counter.
        let name = |who: &str| format!("{resource}/{who} ({kind})");
        let server = self.server();
        let on_unavailable = if server.deny_on_fail { OnUnavailable::Deny } else { OnUnavailable::Allow };
        let limits = [
            (&written.value.anonymous, "anonymous", vec![sub(Some("")), address]),
            (&written.value.authorized, "authorized", vec![sub(None)]),
        ];
        let placed = limits.into_iter().filter_map(|(limit, who, key)| {
            let (limit, at) = limit.as_ref()?;
            let budget = Budget {
                counts: Counts::Prompt,
                max: limit.max,
                per: limit.per,
                on_unavailable,
                headers: server.headers,
                ..requests(name(who), key)
            };
            Some(Placed { budget, at: at.clone() })
        });
        placed.collect()
    }

    /// The RateLimitConfig that the options `owner` mean.
    fn config(&self, owner: &str, it: &ConfigRef) -> Option<&Resource> {
        let id = config_id(owner, it);
        self.resources.iter().find(|it| it.id == id)
    }

    fn configs(&self) -> impl Iterator<Item = (&Resource, &RateLimitConfig)> {
        self.resources.iter().filter_map(|it| match &it.spec {
            Spec::RateLimitConfig(config) => Some((it, config)),
            _ => None,
        })
    }

    pub(super) fn settings(&self) -> impl Iterator<Item = (&Id, &Settings)> {
        self.resources.iter().filter_map(|it| match &it.spec {
            Spec::Settings(settings) => Some((&it.id, settings)),
            _ => None,
        })
    }

    /// The Settings with limits. The first counts.
    fn settings_rules(&self) -> Vec<(&Id, &Settings)> {
        self.settings().filter(|(_, it)| it.rules.is_some()).collect()
    }

    /// How limits are enforced: as strictly as any Settings say.
    pub(super) fn server(&self) -> Server {
        let mut server = Server::default();
        for (_, it) in self.settings() {
            server.deny_on_fail |= it.server.deny_on_fail;
            server.headers |= it.server.headers;
            server.timeout = server.timeout.or(it.server.timeout);
        }
        server
    }

    /// Says which limits hold nowhere, and which are asked for and not there.
    pub(super) fn check_limits(&self) {
        let mut named: Vec<Id> = Vec::new();
        for resource in &self.resources {
            let (Spec::VirtualHostOption(it) | Spec::RouteOption(it)) = &resource.spec else { continue };
            for asked in it.options.limits.stages.iter().flatten() {
                match &asked.value {
                    Asked::Configs(refs) => {
                        refs.iter().for_each(|it| self.check_ref(&asked.owner, it));
                        named.extend(refs.iter().map(|it| config_id(&asked.owner, it)));
                    }
                    Asked::Settings { entries, .. } => self.check_entries(asked, entries),
                }
            }
        }
        for (resource, config) in self.configs() {
            if !named.contains(&resource.id) {
                let what =
                    "limits nothing: no `rateLimitConfigs` of a RouteOption or VirtualHostOption names it";
                self.report.add(Severity::Warning, &resource.place, "spec", what);
            }
            let entries: Vec<&Entry> = config.entries.iter().collect();
            self.complain(rules::of_entries(&config.rules, &entries));
            self.complain(rules::of_limits(&config.rules, &entries));
        }
        for (_, settings) in self.settings_rules().iter().skip(1) {
            if let Some((_, at)) = &settings.rules {
                let what = "is not used: other Settings say it already, and come first";
                self.report.add(Severity::Warning, &at.place, &at.path, what);
            }
        }
    }

    fn check_ref(&self, owner: &str, it: &ConfigRef) {
        if self.config(owner, it).is_some() {
            return;
        }
        let Id { namespace, name, .. } = config_id(owner, it);
        let full = format!("{namespace}/{name}");
        let known: Vec<String> =
            self.configs().map(|(it, _)| format!("{}/{}", it.id.namespace, it.id.name)).collect();
        let hint = did_you_mean(&full, known.iter().map(String::as_str));
        let what = format!("there is no RateLimitConfig {full}{hint}");
        self.report.add(Severity::Error, &it.at.place, &it.at.path, what);
    }

    fn check_entries(&self, asked: &Written<Asked>, entries: &[Entry]) {
        let entries: Vec<&Entry> = entries.iter().collect();
        match self.settings_rules().first().and_then(|(_, it)| it.rules.as_ref()) {
            Some((rules, _)) => self.complain(rules::of_entries(rules, &entries)),
            None if entries.is_empty() => {}
            None => {
                let what = "leads to descriptors in `spec.ratelimit` of the Settings, and there are none among the files: \
                            nothing would be limited";
                let field = format!("spec.{}", asked.field);
                self.report.add(Severity::Error, &asked.place, &field, what);
            }
        }
    }

    fn complain(&self, complaints: Vec<rules::Complaint>) {
        for (severity, At { place, path }, what) in complaints {
            self.report.add(severity, &place, &path, what);
        }
    }
}

/// The name of the RateLimitConfig that the options `owner` mean.
fn config_id(owner: &str, it: &ConfigRef) -> Id {
    let own = owner.split_once(' ').and_then(|(_, it)| it.split('/').next()).unwrap_or_default();
    let namespace = it.namespace.as_deref().unwrap_or(own).to_owned();
    Id { kind: "RateLimitConfig", namespace, name: it.name.clone() }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
