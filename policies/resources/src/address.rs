//! Where a server is that policies do not name, such as the sidecar.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The longest path of a socket that every system takes, in bytes.
const PATH_BYTES: usize = 103;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A name or an address, and a port.
    Host(String, u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let expected = || "expected `host:8081` or `unix:/path`".to_owned();
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.len() {
                0 => Err(expected()),
                1..=PATH_BYTES => Ok(Address::Unix(path.into())),
                _ => Err(format!("the path of a socket has at most {PATH_BYTES} bytes")),
            };
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Address::Host(address.ip().to_string(), address.port()));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        match port.parse() {
            Ok(port) if port > 0 && is_name && !host.is_empty() => Ok(Address::Host(host.into(), port)),
            Ok(_) | Err(_) => Err(expected()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Host(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Host(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn an_address_is_a_name_or_numbers_with_a_port_or_a_path() {
        for text in ["127.0.0.1:8081", "[::1]:8081", "sidecar.svc:1", "unix:/run/a b.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("[::1]:1".parse(), Ok(Address::Host("::1".into(), 1)));
        let long = format!("unix:/{}", "a".repeat(200));
        for wrong in ["", ":1", "a", "a:", "a:b", "a:0", "a:65536", "http://a:1", "a b:1", "unix:", &long] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
