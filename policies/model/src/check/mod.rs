//! From the configuration as written to the one that decides.

mod access;
mod budget;
mod enrich;
mod failover;
mod guard;
mod usage;

use crate::{
    Attempt, Credential, DEFAULT_MAX_REQUEST_BYTES, Gateway, Match, PathMatch, Plugin, Problem, Rewrite,
};
use crate::{Route, Secret, Target, TargetPath, written};

/// What has been found wrong so far, and where the check stands.
struct Report<'e> {
    problems: Vec<Problem>,
    env: &'e dyn Fn(&str) -> Option<String>,
}

impl Plugin {
    /// Reads the bytes of a plugin configuration. `env` looks up a variable of the VM's environment.
    ///
    /// # Errors
    /// Everything that is wrong with it. Never empty.
    pub fn read(json: &[u8], env: &dyn Fn(&str) -> Option<String>) -> Result<Plugin, Vec<Problem>> {
        match serde_json::from_slice(json) {
            Ok(written) => Plugin::check(written, env),
            Err(error) => Err(vec![Problem { path: String::new(), what: error.to_string() }]),
        }
    }

    /// Checks a configuration as written. `env` looks up a variable of the VM's environment.
    ///
    /// # Errors
    /// Everything that is wrong with it. Never empty.
    pub fn check(
        written: written::Plugin,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Plugin, Vec<Problem>> {
        let mut report = Report { problems: Vec::new(), env };
        let plugin = match written {
            written::Plugin::Downstream(it) => Plugin::Downstream(report.gateway(it)),
            written::Plugin::Upstream(it) => Plugin::Upstream(report.target("upstream", it)),
        };
        if report.problems.is_empty() { Ok(plugin) } else { Err(report.problems) }
    }
}

impl Report<'_> {
    fn refuse(&mut self, path: String, what: impl Into<String>) {
        self.problems.push(Problem { path, what: what.into() });
    }

    fn gateway(&mut self, it: written::Gateway) -> Gateway {
        let mut names = std::collections::HashSet::new();
        for (i, route) in it.routes.iter().enumerate() {
            if !names.insert(route.name.as_str()) {
                self.refuse(
                    format!("downstream.routes[{i}].name"),
                    format!("there are two routes `{}`, and a name has to tell them apart", route.name),
                );
            }
        }
        // Of the written ones, so that a provider with a problem is not also said to be missing.
        let known: Vec<String> = it.jwt_providers.keys().cloned().collect();
        let jwt_providers = self.jwt_providers(it.jwt_providers);
        let sidecar = it.sidecar.map(|it| self.sidecar("downstream.sidecar", it));
        let prices = self.prices(it.prices);
        let metric_labels = self.metric_labels(it.metric_labels);
        let access_log = it.access_log.map(|it| self.access_log(it));
        let routes = it.routes.into_iter().enumerate();
        let routes: Vec<Route> =
            routes.map(|(i, route)| self.route(&format!("downstream.routes[{i}]"), route, &known)).collect();
        self.affordable(&routes, sidecar.as_ref(), &prices);
        Gateway {
            routes,
            jwt_providers,
            sidecar,
            prices,
            metric_labels,
            access_log,
            max_request_bytes: it.max_request_bytes.unwrap_or(DEFAULT_MAX_REQUEST_BYTES),
            unmatched: it.unmatched,
        }
    }

    fn route(&mut self, at: &str, mut it: written::Route, providers: &[String]) -> Route {
        if it.name.is_empty() {
            self.refuse(format!("{at}.name"), "a route needs a name");
        }
        match &it.rewrite {
            Some(Rewrite::FullPath(path)) => self.absolute(&format!("{at}.rewrite.fullPath"), path),
            Some(Rewrite::Prefix(path)) => self.absolute(&format!("{at}.rewrite.prefix"), path),
            None => {}
        }
        let attempt = match it.target {
            Some(target) => Attempt::Here(self.target(&format!("{at}.target"), target)),
            None => Attempt::Upstream { passthrough: it.passthrough },
        };
        let backups = it.failover.as_mut().map(|it| std::mem::take(&mut it.backups)).unwrap_or_default();
        let backends = self.backends(at, it.backends, &attempt, backups);
        let failover = it.failover.map(|it| self.failover(&format!("{at}.failover"), it));
        let matches = it.matches.into_iter().enumerate();
        let matches = matches.map(|(i, m)| self.route_match(&format!("{at}.matches[{i}]"), m)).collect();
        let jwt = self.jwt_rules(&format!("{at}.jwt"), it.jwt, providers);
        let rbac = it.rbac.map(|rbac| self.rbac(&format!("{at}.rbac"), rbac, providers));
        let budgets = self.budgets(&format!("{at}.budgets"), it.budgets);
        let enrich = it.enrich.map(|it| self.enrich(&format!("{at}.enrich"), it));
        let guard = it.guard.map(|it| self.guard(&format!("{at}.guard"), it)).unwrap_or_default();
        let (name, rewrite) = (it.name, it.rewrite);
        Route { name, matches, rewrite, attempt, backends, failover, jwt, rbac, budgets, enrich, guard }
    }

    fn route_match(&mut self, at: &str, it: written::Match) -> Match {
        match &it.path {
            PathMatch::Prefix(path) => self.absolute(&format!("{at}.path.prefix"), path),
            PathMatch::Exact(path) => self.absolute(&format!("{at}.path.exact"), path),
        }
        let mut hosts = Vec::new();
        for (i, host) in it.hosts.into_iter().enumerate() {
            let name = host.strip_prefix("*.").unwrap_or(&host);
            if name.is_empty() || name.contains(['*', ':', '/']) {
                self.refuse(
                    format!("{at}.hosts[{i}]"),
                    format!("`{host}` is no host name: expected `api.example.com` or `*.example.com`, without port"),
                );
            }
            hosts.push(host.to_ascii_lowercase());
        }
        Match { hosts, path: it.path }
    }

    fn target(&mut self, at: &str, it: written::Target) -> Target {
        let path = match (it.full_path, it.base_path) {
            (Some(_), Some(_)) => {
                self.refuse(format!("{at}.basePath"), "`fullPath` and `basePath` exclude each other");
                None
            }
            (Some(path), None) => {
                self.absolute(&format!("{at}.fullPath"), &path);
                Some(TargetPath::Full(path))
            }
            (None, Some(path)) => {
                self.absolute(&format!("{at}.basePath"), &path);
                Some(TargetPath::Base(path.trim_end_matches('/').to_owned()))
            }
            (None, None) => None,
        };
        Target {
            name: it.name.unwrap_or_else(|| it.provider.name().to_owned()),
            provider: it.provider,
            host: it.host.unwrap_or_else(|| it.provider.default_host().to_owned()),
            model: it.model,
            credential: self.credential(&format!("{at}.credential"), it.credential),
            path,
        }
    }

    fn credential(&mut self, at: &str, it: written::Credential) -> Credential {
        let name = match it {
            written::Credential::Injected => return Credential::Injected,
            written::Credential::Passthrough => return Credential::Passthrough,
            written::Credential::None => return Credential::Absent,
            written::Credential::Env(name) => name,
        };
        let value = (self.env)(&name).unwrap_or_default();
        let key = value.strip_prefix("Bearer ").unwrap_or(&value).trim();
        if key.is_empty() {
            self.refuse(
                format!("{at}.env"),
                format!("the VM has no environment variable `{name}`, or it is empty"),
            );
        }
        Credential::Key(Secret::new(key.to_owned()))
    }

    fn absolute(&mut self, at: &str, path: &str) {
        if !path.starts_with('/') {
            self.refuse(at.to_owned(), format!("`{path}` is no path: expected one that begins with `/`"));
        }
    }
}

#[cfg(test)]
mod access_tests;
#[cfg(test)]
mod failover_tests;
#[cfg(test)]
mod guard_tests;
#[cfg(test)]
mod tests;
