//! Where Redis is, as a URL says it. What is shown of it never has the password.
//!
//! `redis://[user:password@]host[:port][/db]`, `rediss://` for TLS, `redis+unix:///path?db=0`; for a cluster
//! `redis+cluster://host:port,host:port`, for sentinels `redis+sentinel://host:port,host:port/name[/db]`; both with
//! `rediss+` for TLS. User and password are those of the servers that hold data.

use std::fmt;
use std::str::FromStr;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

/// Where Redis is.
#[derive(Clone)]
pub struct Place {
    pub(super) way: Way,
    shown: String,
    url: String,
}

#[derive(Clone)]
pub(super) enum Way {
    Single(Box<ConnectionInfo>),
    Cluster(Vec<ConnectionInfo>),
    /// The sentinels, the name they know the master by, and how to speak to it.
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        name: String,
        master: Box<ConnectionInfo>,
    },
}

impl Place {
    /// What only those know who can change the counters anyway.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(url: &str) -> Result<Place, String> {
        // No part of a URL that cannot be read is repeated: it may hold a password.
        let (scheme, rest) = url.split_once("://").ok_or("expected a URL such as redis://127.0.0.1:6379")?;
        let (plain, kind) = match scheme.split_once('+') {
            Some((plain @ ("redis" | "rediss"), kind @ ("cluster" | "sentinel"))) => (plain, kind),
            None | Some(_) => return single(url),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = hosts
            .rsplit_once('@')
            .map_or((String::new(), hosts), |(user, hosts)| (format!("{user}@"), hosts));
        let hosts: Vec<&str> = hosts.split(',').collect();
        let nodes = |user: &str| {
            hosts.iter().map(|host| info(&format!("{plain}://{user}{host}"))).collect::<Result<Vec<_>, _>>()
        };
        let (way, shown) = if kind == "cluster" {
            (Way::Cluster(nodes(&user)?), format!("the Redis cluster of {}", hosts.join(", ")))
        } else {
            let (name, db) = path.split_once('/').unwrap_or((path, "0"));
            if name.is_empty() {
                return Err(
                    "expected the master's name after the sentinels: redis+sentinel://host:26379/name".into(),
                );
            }
            let master = info(&format!("{plain}://{user}host/{db}"))?;
            let sentinels = nodes("")?;
            let shown = format!("Redis, the master {name}/{db} of the sentinels {}", hosts.join(", "));
            (Way::Sentinel { sentinels, name: name.into(), master: Box::new(master) }, shown)
        };
        Ok(Place { way, shown, url: url.into() })
    }
}

fn single(url: &str) -> Result<Place, String> {
    let info = info(url)?;
    let db = info.redis_settings().db();
    let shown = match info.addr() {
        ConnectionAddr::Unix(path) => format!("Redis at {}, database {db}", path.display()),
        tcp => format!("Redis at {tcp}/{db}"),
    };
    Ok(Place { way: Way::Single(Box::new(info)), shown, url: url.into() })
}

fn info(url: &str) -> Result<ConnectionInfo, String> {
    url.into_connection_info().map_err(|error| format!("this is no URL of a Redis: {}", error.category()))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    fn shown(url: &str) -> String {
        format!("{0}|{0:?}", url.parse::<Place>().unwrap()).split('|').next().unwrap().to_owned()
    }

    #[test]
    fn every_kind_of_redis_has_a_url() {
        assert_eq!(shown("redis://127.0.0.1"), "Redis at 127.0.0.1:6379/0");
        assert_eq!(shown("rediss://r.example:6380/2"), "Redis at r.example:6380/2");
        assert_eq!(shown("redis+unix:///run/redis.sock?db=3"), "Redis at /run/redis.sock, database 3");
        assert_eq!(shown("redis+cluster://a:1,b:2"), "the Redis cluster of a:1, b:2");
        assert_eq!(
            shown("rediss+sentinel://a:1,b:2/main/1"),
            "Redis, the master main/1 of the sentinels a:1, b:2"
        );
    }

    #[test]
    fn a_password_is_never_shown() {
        for url in
            ["redis://u:s3cret@h:1", "redis+cluster://u:s3cret@h:1,i:2", "redis+sentinel://:s3cret@h:1/main"]
        {
            let place: Place = url.parse().unwrap();
            assert!(!format!("{place} {place:?}").contains("s3cret"), "{place}");
        }
        for url in ["redis://u:s3cret@h:port", "http://u:s3cret@h", "s3cret", "redis+sentinel://u:s3cret@h:1"]
        {
            assert!(!url.parse::<Place>().unwrap_err().contains("s3cret"), "{url}");
        }
    }
}
