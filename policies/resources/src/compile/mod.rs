//! From resources to a plan: which of them counts, what they refer to, in which order matches are tried.

mod access;
mod affordable;
mod attached;
mod failover;
mod guard;
mod limits;
mod rules;
mod targets;
mod usage;

use std::cmp::Reverse;

use policy::PathMatch;
use policy::written::Enrich;

use crate::kinds::gateway::Gateway;
use crate::kinds::http_route::{BackendRef, HttpRoute, ParentRef};
use crate::kinds::prompt_guard::PromptGuard;
use crate::kinds::{Id, Resource, Spec};
use crate::plan::{Entry, Plan, Route};
use crate::problem::{Place, Report, Severity, did_you_mean};
use targets::Offer;

/// Looks up an environment variable.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// The resources that count, and who is told of what is wrong with them.
struct Compiler<'c> {
    resources: Vec<Resource>,
    report: &'c Report,
    env: Env<'c>,
}

/// Makes a plan of resources.
pub fn compile(resources: Vec<Resource>, env: Env<'_>, report: &Report) -> Plan {
    let compiler = Compiler { resources: latest(resources, report), report, env };
    let (targets, offers) = compiler.targets();
    let timeout = compiler.server().timeout;
    let mut plan = Plan {
        targets,
        services: compiler.services(),
        prices: compiler.settings().flat_map(|(_, it)| it.prices.clone()).collect(),
        sidecar_timeout_ms: timeout.and_then(|it| u64::try_from(it.as_millis()).ok()),
        metric_labels: compiler.metric_labels(),
        access_log: compiler.access_log(),
        ..Plan::default()
    };
    compiler.check_options();
    compiler.check_limits();
    for resource in &compiler.resources {
        if let Spec::HttpRoute(route) = &resource.spec {
            compiler.route(&resource.id, &resource.place, route, &offers, &mut plan);
        }
    }
    plan.entries.sort_by_key(|entry| precedence(entry.host.as_deref(), &entry.path));
    plan
}

/// Of several resources with one name the last counts, in the first one's place.
fn latest(resources: Vec<Resource>, report: &Report) -> Vec<Resource> {
    let mut kept: Vec<Resource> = Vec::new();
    for resource in resources {
        match kept.iter_mut().find(|it| it.id == resource.id) {
            Some(old) => {
                let Id { kind, namespace, name } = &resource.id;
                let what = format!("{kind} {namespace}/{name} is replaced by the one in {}", resource.place);
                match lost(&old.spec, &resource.spec).as_slice() {
                    [] => report.add(Severity::Note, &old.place, "", what),
                    rules => {
                        let what =
                            format!("{what}, and its rules with it: {} no longer holds", rules.join(", "));
                        report.add(Severity::Warning, &old.place, "", what);
                    }
                }
                *old = resource;
            }
            None => kept.push(resource),
        }
    }
    kept
}

/// The rules that one says and the other does not.
fn lost(old: &Spec, new: &Spec) -> Vec<&'static str> {
    let rules = |spec: &Spec| match spec {
        Spec::VirtualHostOption(it) | Spec::RouteOption(it) => {
            let options = &it.options;
            let guard = options.ai.as_ref().and_then(|it| it.value.guard.as_ref());
            let [request, response] = guard.map_or([false; 2], PromptGuard::guards);
            let rules = [
                options.jwt.as_ref().map(|it| it.field),
                options.rbac.as_ref().map(|it| it.field),
                request.then_some("options.ai.promptGuard.request"),
                response.then_some("options.ai.promptGuard.response"),
            ];
            rules.into_iter().chain(options.limits.fields()).collect()
        }
        Spec::RateLimitConfig(it) => vec![it.rules.limit_anything().then_some("spec.raw")],
        Spec::Settings(it) => vec![
            it.require_rbac.then_some("spec.rbac.requireRbac"),
            it.rules.as_ref().filter(|(rules, _)| rules.limit_anything()).map(|_| "spec.ratelimit"),
            it.server.deny_on_fail.then_some("spec.ratelimitServer.denyOnFail"),
        ],
        _ => Vec::new(),
    };
    rules(old).into_iter().zip(rules(new)).filter_map(|(old, new)| old.filter(|_| new.is_none())).collect()
}

/// Smaller comes first: exact hosts before patterns before none, longer before shorter; then exact paths before
/// prefixes, longer before shorter (Gateway API, `HTTPRouteRule.matches`). Equals keep their order.
fn precedence(host: Option<&str>, path: &PathMatch) -> (u8, Reverse<usize>, u8, Reverse<usize>) {
    let (host_rank, host_length) = match host {
        Some(pattern) if pattern.starts_with('*') => (1, pattern.len()),
        Some(exact) => (0, exact.len()),
        None => (2, 0),
    };
    let (path_rank, path_length) = match path {
        PathMatch::Exact(path) => (0, path.len()),
        PathMatch::Prefix(path) => (1, path.len()),
    };
    (host_rank, Reverse(host_length), path_rank, Reverse(path_length))
}

impl Compiler<'_> {
    fn route(&self, id: &Id, place: &Place, route: &HttpRoute, offers: &[Offer], plan: &mut Plan) {
        let Some(hosts) = self.hosts(id, place, route) else { return };
        let options = self.virtual_host(place, &self.listeners(id, route));
        for (number, rule) in route.rules.iter().enumerate() {
            let mut name = format!("{}/{}", id.namespace, id.name);
            if let (Some(rule_name), true) = (&rule.name, route.rules.len() > 1) {
                name = format!("{name}/{rule_name}");
            } else if route.rules.len() > 1 {
                name = format!("{name}/{number}");
            }
            let index = plan.routes.len();
            let mut matches: Vec<(Option<String>, PathMatch)> = Vec::new();
            for host in &hosts {
                matches.extend(rule.paths.iter().map(|path| (host.clone(), path.clone())));
            }
            matches.sort_by_key(|(host, path)| precedence(host.as_deref(), path));
            let entries = matches.iter().cloned();
            plan.entries.extend(entries.map(|(host, path)| Entry { host, path, route: index }));
            let own = self.route_options(id, rule);
            let access::Access { jwt, rbac } = self.access(&own, &options, plan);
            let named = rule.backends.iter().filter_map(|it| Some((self.offer(id, it, offers)?, it.weight)));
            let named: Vec<(&Offer, u32)> = named.filter(|(_, weight)| *weight > 0).collect();
            let retries = own.retries.as_ref().or(options.retries.as_ref());
            let (backends, failover) = self.chain(&named, own.ai.as_ref(), retries, offers, plan);
            let guard = own.ai.as_ref().and_then(|it| self.guard(it, plan));
            let placed = self.budgets(&own, &options, &cluster(&named));
            let enrich = own.ai.map(|it| it.value.enrich).filter(|it| *it != Enrich::default());
            let timeout = own.timeout.map_or(rule.timeout, |it| it.value);
            let rewrite = rule.rewrite.clone();
            plan.routes.push(Route {
                name,
                matches,
                rewrite,
                backends,
                failover,
                timeout,
                jwt,
                rbac,
                budgets: placed.iter().map(|it| it.budget.clone()).collect(),
                enrich,
                guard,
            });
            if let Some(route) = plan.routes.last() {
                self.afford(route, &placed, plan);
            }
            if rule.backends.is_empty() {
                self.report.add(
                    Severity::Error,
                    place,
                    &format!("spec.rules[{number}]"),
                    "a rule needs a backend",
                );
            }
        }
    }

    /// The hosts that a route serves; `None` among them is every host. Nothing at all if no listener takes it.
    fn hosts(&self, id: &Id, place: &Place, route: &HttpRoute) -> Option<Vec<Option<String>>> {
        let own: Vec<Option<String>> = match route.hostnames.as_slice() {
            [] => vec![None],
            names => names.iter().cloned().map(Some).collect(),
        };
        let gateways: Vec<(&Id, &Gateway)> = self.resources.iter().filter_map(as_gateway).collect();
        if gateways.is_empty() || route.parents.is_empty() {
            return Some(own);
        }
        let mut hosts: Vec<Option<String>> = Vec::new();
        for parent in &route.parents {
            // One that does not exist is an error already; what else is wrong with the route is worth knowing too.
            let Some(gateway) = self.parent(id, parent, &gateways) else { return Some(own) };
            let takes = |section: &str, port: Option<u16>| {
                parent.section.as_deref().is_none_or(|it| it == section)
                    && (parent.port.is_none() || parent.port == port)
            };
            for listener in gateway.listeners.iter().filter(|it| takes(&it.name, it.port)) {
                for host in own.iter().filter_map(|host| both(host.as_deref(), listener.hostname.as_deref()))
                {
                    if !hosts.contains(&host) {
                        hosts.push(host);
                    }
                }
            }
        }
        if hosts.is_empty() {
            self.report.add(
                Severity::Warning,
                place,
                "spec",
                "no listener of the gateways it names takes this route: it is not served",
            );
            return None;
        }
        Some(hosts)
    }

    fn parent<'g>(
        &self,
        id: &Id,
        parent: &ParentRef,
        gateways: &[(&Id, &'g Gateway)],
    ) -> Option<&'g Gateway> {
        let namespace = parent.namespace.as_ref().unwrap_or(&id.namespace);
        let found = gateways.iter().find(|(id, _)| id.name == parent.name && id.namespace == *namespace);
        if found.is_none() {
            let hint = did_you_mean(&parent.name, gateways.iter().map(|(id, _)| id.name.as_str()));
            let what = format!("there is no Gateway {namespace}/{}{hint}", parent.name);
            self.report.add(Severity::Error, &parent.place, &parent.path, what);
        }
        found.map(|(_, gateway)| *gateway)
    }

    fn offer<'o>(&self, id: &Id, backend: &BackendRef, offers: &'o [Offer]) -> Option<&'o Offer> {
        let name = format!("{}/{}", backend.namespace.as_ref().unwrap_or(&id.namespace), backend.name);
        let found = offers.iter().find(|offer| offer.name == name);
        if found.is_none() {
            let hint = did_you_mean(&name, offers.iter().map(|offer| offer.name.as_str()));
            let what = format!("there is no Upstream {name} with a model{hint}");
            self.report.add(Severity::Error, &backend.place, &backend.path, what);
        }
        found
    }
}

/// What Gloo calls the cluster of a route's first backend: `name_namespace` of its Upstream.
fn cluster(named: &[(&Offer, u32)]) -> String {
    let first = named.first().and_then(|(offer, _)| offer.name.split_once('/'));
    first.map(|(namespace, name)| format!("{name}_{namespace}")).unwrap_or_default()
}

fn as_gateway(resource: &Resource) -> Option<(&Id, &Gateway)> {
    match &resource.spec {
        Spec::Gateway(gateway) => Some((&resource.id, gateway)),
        _ => None,
    }
}

/// The hosts that two patterns have in common, where `None` has all.
fn both(one: Option<&str>, other: Option<&str>) -> Option<Option<String>> {
    let (Some(one), Some(other)) = (one, other) else { return Some(one.or(other).map(str::to_owned)) };
    let covers = |pattern: &str, host: &str| {
        pattern == host || pattern.strip_prefix('*').is_some_and(|suffix| host.ends_with(suffix))
    };
    if covers(other, one) {
        Some(Some(one.to_owned()))
    } else if covers(one, other) {
        Some(Some(other.to_owned()))
    } else {
        None
    }
}

#[cfg(test)]
mod access_tests;
#[cfg(test)]
mod ai_tests;
#[cfg(test)]
mod budgets_tests;
#[cfg(test)]
mod failover_tests;
#[cfg(test)]
mod guard_refusals_tests;
#[cfg(test)]
mod guard_tests;
#[cfg(test)]
mod rules_refusals_tests;
#[cfg(test)]
mod tests;
