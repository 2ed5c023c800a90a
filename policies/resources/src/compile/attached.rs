//! Which options hold for a route: what hangs on the gateway and its listeners, and what on the route and its rules.

use super::Compiler;
use crate::kinds::gateway::Gateway;
use crate::kinds::http_route::{HttpRoute, Rule};
use crate::kinds::options::{OptionResource, Options, TargetRef};
use crate::kinds::{Id, Resource, Spec};
use crate::problem::{Place, Severity, did_you_mean};

/// A listener of a gateway.
type Listener<'c> = (&'c Id, &'c str);

impl Compiler<'_> {
    /// Says which options hang on nothing: a rule that holds nowhere protects nothing.
    pub(super) fn check_options(&self) {
        let gateways: Vec<&Id> = self.gateways().map(|(id, _)| id).collect();
        let routes: Vec<&Id> = self.routes().map(|(id, _)| id).collect();
        for resource in &self.resources {
            let (options, known, kind) = match &resource.spec {
                Spec::VirtualHostOption(options) => (options, &gateways, "Gateway"),
                Spec::RouteOption(options) => (options, &routes, "HTTPRoute"),
                _ => continue,
            };
            for target in &options.targets {
                self.check_target(resource, target, known, kind);
            }
            if options.targets.is_empty() && !self.is_named(&resource.id) {
                let what = format!("hangs on nothing: `spec.targetRefs` names no {kind}");
                self.report.add(Severity::Warning, &resource.place, "spec", what);
            }
        }
    }

    fn check_target(&self, resource: &Resource, target: &TargetRef, known: &[&Id], kind: &str) {
        let own = &resource.id.namespace;
        let namespace = target.namespace.as_ref().unwrap_or(own);
        if kind == "HTTPRoute" && namespace != own {
            let what = format!("a RouteOption and its HTTPRoute have to be in one namespace, here `{own}`");
            self.report.add(Severity::Error, &target.place, &target.path, what);
        } else if !known.iter().any(|id| id.name == target.name && id.namespace == *namespace) {
            let hint = did_you_mean(&target.name, known.iter().map(|id| id.name.as_str()));
            let what = format!("there is no {kind} {namespace}/{}{hint}", target.name);
            self.report.add(Severity::Error, &target.place, &target.path, what);
        } else if let Some(section) = &target.section {
            let sections = self.sections(kind, namespace, &target.name);
            if !sections.contains(section) {
                let hint = did_you_mean(section, sections.iter().map(String::as_str));
                let what = format!("{kind} {namespace}/{} has no `{section}`{hint}", target.name);
                self.report.add(Severity::Error, &target.place, &target.path, what);
            }
        }
    }

    /// The names of a gateway's listeners, or of a route's rules.
    fn sections(&self, kind: &str, namespace: &str, name: &str) -> Vec<String> {
        let named = |resource: &&Resource| {
            resource.id.kind == kind && resource.id.namespace == namespace && resource.id.name == name
        };
        match self.resources.iter().find(named).map(|it| &it.spec) {
            Some(Spec::Gateway(gateway)) => gateway.listeners.iter().map(|it| it.name.clone()).collect(),
            Some(Spec::HttpRoute(route)) => route.rules.iter().filter_map(|it| it.name.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a rule names this RouteOption itself.
    fn is_named(&self, id: &Id) -> bool {
        let mut rules = self.routes().flat_map(|(route, it)| it.rules.iter().map(move |rule| (route, rule)));
        rules.any(|(route, rule)| {
            route.namespace == id.namespace && rule.options.iter().any(|it| it.name == id.name)
        })
    }

    fn gateways(&self) -> impl Iterator<Item = (&Id, &Gateway)> {
        self.resources.iter().filter_map(super::as_gateway)
    }

    fn routes(&self) -> impl Iterator<Item = (&Id, &HttpRoute)> {
        self.resources.iter().filter_map(|resource| match &resource.spec {
            Spec::HttpRoute(route) => Some((&resource.id, route)),
            _ => None,
        })
    }

    /// The listeners that serve a route. One that names no gateway is served by all.
    pub(super) fn listeners(&self, id: &Id, route: &HttpRoute) -> Vec<Listener<'_>> {
        let mut serving = Vec::new();
        for (gateway, it) in self.gateways() {
            for listener in &it.listeners {
                let takes = route.parents.iter().any(|parent| {
                    parent.name == gateway.name
                        && *parent.namespace.as_ref().unwrap_or(&id.namespace) == gateway.namespace
                        && parent.section.as_ref().is_none_or(|it| *it == listener.name)
                        && (parent.port.is_none() || parent.port == listener.port)
                });
                if takes || route.parents.is_empty() {
                    serving.push((gateway, listener.name.as_str()));
                }
            }
        }
        serving
    }

    /// What holds for every rule of a route: the options of the listeners that serve it.
    pub(super) fn virtual_host(&self, place: &Place, listeners: &[Listener<'_>]) -> Options {
        let mut chosen: Option<Vec<&OptionResource>> = None;
        for listener in listeners {
            let here = self.options_of(*listener);
            let same = |there: &Vec<&OptionResource>| {
                there.len() == here.len() && there.iter().zip(&here).all(|(a, b)| std::ptr::eq(*a, *b))
            };
            if chosen.as_ref().is_some_and(|there| !same(there)) {
                let what = "the listeners that serve this route have different VirtualHostOptions, and this version \
                            has one listener for all: hang the options on the Gateway, or on the route";
                self.report.add(Severity::Error, place, "spec.parentRefs", what);
                break;
            }
            chosen = Some(here);
        }
        self.merged(chosen.unwrap_or_default())
    }

    /// The VirtualHostOptions of a listener: those for it alone first, then the gateway's, the oldest of each first.
    fn options_of(&self, (gateway, listener): Listener<'_>) -> Vec<&OptionResource> {
        let hanging = |own: bool| {
            self.resources.iter().filter_map(move |resource| {
                let Spec::VirtualHostOption(options) = &resource.spec else { return None };
                let here = |target: &TargetRef| {
                    target.name == gateway.name
                        && *target.namespace.as_ref().unwrap_or(&resource.id.namespace) == gateway.namespace
                        && if own {
                            target.section.as_deref() == Some(listener)
                        } else {
                            target.section.is_none()
                        }
                };
                options.targets.iter().any(here).then_some(options)
            })
        };
        hanging(true).chain(hanging(false)).collect()
    }

    /// The RouteOptions of a rule: those that it names itself, then those for it alone, then the route's, the oldest of
    /// each first.
    pub(super) fn route_options(&self, id: &Id, rule: &Rule) -> Options {
        let mut found: Vec<&OptionResource> = Vec::new();
        for reference in &rule.options {
            let wanted =
                Id { kind: "RouteOption", namespace: id.namespace.clone(), name: reference.name.clone() };
            match self.resources.iter().find(|it| it.id == wanted).map(|it| &it.spec) {
                Some(Spec::RouteOption(options)) => found.push(options),
                _ => {
                    let what = format!("there is no RouteOption {}/{}", id.namespace, reference.name);
                    self.report.add(Severity::Error, &reference.place, &reference.path, what);
                }
            }
        }
        for own in [true, false] {
            found.extend(self.resources.iter().filter_map(|resource| {
                let Spec::RouteOption(options) = &resource.spec else { return None };
                let here = |target: &TargetRef| {
                    target.name == id.name
                        && resource.id.namespace == id.namespace
                        && if own {
                            target.section.is_some() && target.section == rule.name
                        } else {
                            target.section.is_none()
                        }
                };
                options.targets.iter().any(here).then_some(options)
            }));
        }
        self.merged(found)
    }

    fn merged(&self, all: Vec<&OptionResource>) -> Options {
        let mut merged = Options::default();
        for options in all {
            merged.fill(&options.options, self.report);
        }
        merged
    }
}
