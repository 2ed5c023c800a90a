//! `Gateway` (Gateway API v1 and v1beta1): the listeners that routes hang on.

use crate::node::{Object, Unknown};

/// Where clients come in.
#[derive(Debug, Default)]
pub struct Gateway {
    /// Its listeners.
    pub listeners: Vec<Listener>,
}

/// A door of a gateway. Which address it has is for whoever starts the gateway to say.
#[derive(Debug)]
pub struct Listener {
    /// Its name, for `sectionName`.
    pub name: String,
    /// Its port, for `parentRefs[].port`.
    pub port: Option<u16>,
    /// The only host, exact or `*.suffix`, that its routes serve.
    pub hostname: Option<String>,
}

/// Reads a spec.
pub fn read(spec: &Object<'_>) -> Option<Gateway> {
    // Which controller runs the gateway, and how, is not asked here.
    for field in ["gatewayClassName", "addresses", "infrastructure", "backendTLS", "tls"] {
        spec.get(field);
    }
    let mut gateway = Gateway::default();
    for item in spec.need("listeners")?.list()? {
        let Some(listener) = item.object() else { continue };
        // Every route of the same files may attach, and TLS ends in front of the gateway.
        for field in ["protocol", "allowedRoutes", "tls"] {
            listener.get(field);
        }
        let name = listener.need("name").and_then(|it| it.text());
        let port = listener.get("port").and_then(|it| it.number(1..=65535));
        let hostname = listener.get("hostname").and_then(|it| it.text());
        if let Some(name) = name {
            let port = port.and_then(|port| u16::try_from(port).ok());
            gateway.listeners.push(Listener { name, port, hostname: hostname.map(|it| it.to_lowercase()) });
        }
        listener.finish(Unknown::Warn);
    }
    Some(gateway)
}
