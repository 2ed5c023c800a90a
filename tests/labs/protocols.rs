//! Other ways to speak: HTTP/2 from clients, TLS and HTTP/2 to providers.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use labs::gateway::Start;
use labs::policies::{route, simple};
use labs::tokens::{ALICE, issuer};
use labs::{Ask, Gateway, Host, lab};
use mock_provider::{Mock, Script};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;

/// An authority of the lab's own, and a provider that has a certificate of it for `localhost`.
struct Authority {
    pem: String,
    provider: Mock,
}

impl Authority {
    fn with_provider(script: Script, protocols: &[&str]) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the lab's authority");
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        let provider = Mock::start_tls("127.0.0.1:0".parse().unwrap(), script, Arc::new(config)).unwrap();
        Authority { pem: issuer.pem(), provider }
    }
}

/// Policies for a provider behind TLS; `tls` are the fields of `sslConfig`.
fn policies(address: SocketAddr, tls: &str) -> String {
    format!(
        "apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {{name: openai, namespace: lab}}
spec: {{sslConfig: {{{tls}}}, ai: {{openai: {{authToken: {{inline: k}}, customHost: {{host: 127.0.0.1, port: {}, hostname: localhost}}}}}}}}
---
{}",
        address.port(),
        route("/openai", "openai", "")
    )
}

/// A file with an authority's certificate, and the folder that it is in.
fn file(pem: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    fs::write(&path, pem).unwrap();
    (folder, path.display().to_string())
}

lab!(a_provider_has_to_prove_that_it_is_the_one_that_is_meant, |host| {
    let authority = Authority::with_provider(Script::default(), &["http/1.1"]);
    let other = Authority::with_provider(Script::default(), &["http/1.1"]);
    let ((_a, ca), (_b, stranger)) = (file(&authority.pem), file(&other.pem));
    let ask = |tls: String| {
        let gateway = Gateway::up(host, &policies(authority.provider.address(), &tls));
        let reply = gateway.send(&Ask::chat("/openai"));
        (reply.status, reply.header("x-turnpike-reason").map(str::to_owned))
    };
    let unreachable = (503, Some("provider_unreachable".to_owned()));
    assert_eq!(ask(format!("sslFiles: {{rootCa: {ca}}}")), (200, None));
    assert_eq!(
        ask(format!("sslFiles: {{rootCa: {stranger}}}")),
        unreachable,
        "an authority that did not sign"
    );
    assert_eq!(ask(format!("sni: other.test, sslFiles: {{rootCa: {ca}}}")), unreachable, "another name");
    assert_eq!(ask("sni: localhost".into()), unreachable, "the system's authorities do not know it");
    let requests = authority.provider.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].host, "localhost");
});

lab!(keys_of_tokens_come_from_a_server_that_has_proved_its_name, |host: Host| {
    let page = Script { page: Some(issuer().jwks("EdDSA", "e")), ..Script::default() };
    let authority = Authority::with_provider(page, &["http/1.1"]);
    let other = Authority::with_provider(Script::default(), &["http/1.1"]);
    let ((_a, ca), (_b, stranger)) = (file(&authority.pem), file(&other.pem));
    let provider = Mock::start("127.0.0.1:0".parse().unwrap(), Script::default()).unwrap();
    let ask = |ca: &str, sni: &str| {
        let policies = format!(
            "apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {{name: idp, namespace: lab}}
spec: {{sslConfig: {{sni: {sni}, sslFiles: {{rootCa: {ca}}}}}, static: {{hosts: [{{addr: 127.0.0.1, port: {}}}]}}}}
---
apiVersion: gateway.solo.io/v1
kind: RouteOption
metadata: {{name: callers, namespace: lab}}
spec:
  targetRefs: [{{kind: HTTPRoute, name: openai}}]
  options: {{jwtProvidersStaged: {{beforeExtAuth: {{providers: {{idp: {{jwks: {{remote: {{url: 'https://localhost/keys', upstreamRef: {{name: idp}}}}}}}}}}}}}}}}
---
{}",
            authority.provider.address().port(),
            simple(provider.address())
        );
        let gateway = Gateway::up(host, &policies);
        let token = issuer().token("EdDSA", ALICE);
        let reply = gateway.send(&Ask::chat("/openai").bearer(&token));
        (reply.status, reply.header("x-turnpike-reason").map(str::to_owned))
    };
    let unavailable = (503, Some("jwks_unavailable".to_owned()));
    assert_eq!(ask(&ca, "localhost"), (200, None));
    assert_eq!(authority.provider.requests()[0].path, "/keys");
    assert_eq!(ask(&stranger, "localhost"), unavailable, "an authority that did not sign");
    assert_eq!(ask(&ca, "other.test"), unavailable, "another name");
    assert_eq!(provider.requests().len(), 1);
});

lab!(the_system_s_authorities_may_be_named_in_the_environment, |host| {
    let authority = Authority::with_provider(Script::default(), &["http/1.1"]);
    let (_folder, ca) = file(&authority.pem);
    let policies = policies(authority.provider.address(), "sni: localhost");
    let gateway = Start::new(host, &policies).env("SSL_CERT_FILE", &ca).up();
    let reply = gateway.send(&Ask::chat("/openai"));
    assert_eq!(reply.status, 200, "{}", reply.text());
});

lab!(a_provider_that_speaks_http_2_is_spoken_to_in_http_2, |host| {
    let authority = Authority::with_provider(Script::default(), &["h2"]);
    let (_folder, ca) = file(&authority.pem);
    let tls = format!("sslFiles: {{rootCa: {ca}}}");
    let gateway = Gateway::up(host, &policies(authority.provider.address(), &tls));
    assert_eq!(gateway.send(&Ask::chat("/openai")).status, 200);
    assert!(gateway.send(&Ask::chat_stream("/openai")).text().ends_with("data: [DONE]\n\n"));
    let got = &authority.provider.requests()[0];
    assert_eq!((got.version.as_str(), got.host.as_str()), ("HTTP/2.0", "localhost"));
    assert_eq!(got.header("authorization"), Some("Bearer k"));
});

/// Sends a request in HTTP/2 without any upgrade, perhaps with trailers after the body.
fn http2(to: SocketAddr, body: &str, trailers: bool) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let request = |body| {
            let uri = format!("http://{to}/openai");
            http::Request::post(uri).header("content-type", "application/json").body(body).unwrap()
        };
        let client = |executor| Client::builder(executor).http2_only(true).build_http();
        let bytes = Bytes::from(body.to_owned());
        let response = if trailers {
            let mut map = http::HeaderMap::new();
            map.insert("x-checksum", "1".parse().unwrap());
            let frames = [http_body::Frame::data(bytes), http_body::Frame::trailers(map)];
            let frames = frames.map(Ok::<_, std::convert::Infallible>);
            let body = StreamBody::new(futures_util::stream::iter(frames));
            let client: Client<_, _> = client(TokioExecutor::new());
            client.request(request(body.boxed())).await.unwrap()
        } else {
            let client: Client<_, _> = client(TokioExecutor::new());
            client.request(request(Full::new(bytes).boxed())).await.unwrap()
        };
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    })
}

lab!(clients_may_speak_http_2, |host: Host| {
    let provider = Mock::start("127.0.0.1:0".parse().unwrap(), Script::default()).unwrap();
    let gateway = Gateway::up(host, &simple(provider.address()));
    let (status, body) = http2(gateway.address, r#"{"model":"m","messages":[]}"#, false);
    assert_eq!(status, 200, "{body}");
    let (status, body) = http2(gateway.address, r#"{"model":"m","stream":true,"messages":[]}"#, false);
    assert!(status == 200 && body.ends_with("data: [DONE]\n\n"), "{body}");
    let (status, body) = http2(gateway.address, r#"{"model":"m","model":"n"}"#, false);
    assert_eq!(status, 400, "{body}");
});

// H4: with trailers, no callback of the body is the last one.
lab!(a_body_with_trailers_is_read_like_any_other, |host: Host| {
    let provider = Mock::start("127.0.0.1:0".parse().unwrap(), Script::default()).unwrap();
    let gateway = Gateway::up(host, &simple(provider.address()));
    let (status, body) = http2(gateway.address, r#"{"model":"m","messages":[]}"#, true);
    assert_eq!(status, 200, "{body}");
    let (status, body) = http2(gateway.address, r#"{"model":"m","model":"n"}"#, true);
    assert!(status == 400 && body.contains("duplicate_field"), "{status} {body}");
    assert_eq!(provider.requests().len(), 1);
});
