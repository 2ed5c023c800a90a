//! What can be asked on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use resources::Address;

/// An AI gateway that lives inside the proxy you already run.
#[derive(Debug, Parser)]
#[command(name = "turnpike", version, arg_required_else_help = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway until Ctrl-C
    Up(Up),
    /// Say everything that is wrong with policy files
    Check(Check),
    /// Write out what a host would be given
    #[command(subcommand)]
    Render(Render),
    /// Run a provider that answers by script, to try things out
    Mock(Mock),
    /// Make keys and tokens, and look into tokens
    #[command(subcommand)]
    Token(Token),
}

/// `turnpike token`
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a private key and print it as PEM
    Keygen(Keygen),
    /// Print the public key of a private one, for a policy
    Public(Public),
    /// Sign a token and print it
    Sign(Sign),
    /// Show what a token says, and what is wrong with its form
    Inspect(Inspect),
}

/// `turnpike token keygen`
#[derive(Debug, clap::Args)]
pub struct Keygen {
    /// What the key is to sign with
    #[arg(long, value_enum, ignore_case = true, default_value_t = SigningAlgorithm::Rs256)]
    pub alg: SigningAlgorithm,
}

/// What a private key signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SigningAlgorithm {
    /// RSA of 2048 bits
    #[value(name = "RS256")]
    Rs256,
    /// P-256
    #[value(name = "ES256")]
    Es256,
    /// Ed25519
    #[value(name = "EdDSA")]
    EdDsa,
}

/// `turnpike token public`
#[derive(Debug, clap::Args)]
pub struct Public {
    /// The private key, a PEM file; `-` reads it from the standard input
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// As a JWKS instead of PEM
    #[arg(long)]
    pub jwks: bool,
    /// The `kid` of the key in the JWKS
    #[arg(long, requires = "jwks")]
    pub kid: Option<String>,
}

/// `turnpike token sign`
#[derive(Debug, Clone, clap::Args)]
pub struct Sign {
    /// The same by position: KEY SUB TEAM LLM MODEL
    #[arg(value_name = "KEY SUB TEAM LLM MODEL", num_args = 5, conflicts_with_all = ["key", "sub", "team", "llm", "model"])]
    pub positional: Vec<String>,
    /// The private key, a PEM file; `-` reads it from the standard input
    #[arg(long, value_name = "FILE", required_unless_present = "positional")]
    pub key: Option<PathBuf>,
    /// Claim `sub`: who the caller is
    #[arg(long)]
    pub sub: Option<String>,
    /// Claim `team`
    #[arg(long)]
    pub team: Option<String>,
    /// The provider whose models follow, for claim `llms`
    #[arg(long, requires = "model")]
    pub llm: Option<String>,
    /// A model that the caller may use; may be given several times
    #[arg(long, requires = "llm")]
    pub model: Vec<String>,
    /// Claim `iss`: who signs; claim `org` says the same
    #[arg(long, default_value = "solo.io")]
    pub iss: String,
    /// Claim `aud`: for whom it is; may be given several times
    #[arg(long)]
    pub aud: Vec<String>,
    /// A claim more, or another value for one; may be given several times
    #[arg(long = "claim", value_name = "NAME=JSON")]
    pub claims: Vec<String>,
    /// After what time it is over, such as `1h` or `30d`; never if absent
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub expires: Option<Duration>,
    /// The name of the key, for the header
    #[arg(long)]
    pub kid: Option<String>,
}

/// `turnpike token inspect`
#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// The token, with or without `Bearer `; read from the standard input if absent or `-`
    pub token: Option<String>,
    /// Policies that are asked what they say of it: a YAML file, or a folder of them; may be given several times
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
}

/// Which policies.
#[derive(Debug, clap::Args)]
pub struct Policies {
    /// A YAML file, or a folder of them; may be given several times
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR", default_value = "policies")]
    pub files: Vec<PathBuf>,
}

/// `turnpike up`
#[derive(Debug, clap::Args)]
pub struct Up {
    #[command(flatten)]
    pub policies: Policies,
    /// What the module runs in
    #[arg(long, value_enum, default_value_t = Host::Sim)]
    pub host: Host,
    /// Where clients come in; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where health, configuration and metrics are told; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9901")]
    pub admin: SocketAddr,
    /// Send requests for providers whose key is missing to a bundled mock provider
    #[arg(long)]
    pub mock: bool,
    /// The sidecar that counts budgets, if one runs already; else one is part of this program where policies need it
    #[arg(long, value_name = "HOST:PORT|unix:PATH")]
    pub sidecar: Option<Address>,
    /// Where counters of budgets are, if not in this program's memory: a URL as `turnpike-sidecar` takes it. Or REDIS_URL
    #[arg(long, value_name = "URL", conflicts_with = "sidecar")]
    pub redis: Option<String>,
    /// How many threads serve; by default as many as there are processors
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// The quietest messages that are logged
    #[arg(long, value_enum, default_value_t = LogLevel::Warning)]
    pub log_level: LogLevel,
    /// The file that the policies' access log is appended to; `-`, which it is by default, is the standard output
    #[arg(long, value_name = "PATH|-")]
    pub access_log: Option<PathBuf>,
    /// The module, if it is not beside this program
    #[arg(long, value_name = "PATH", env = "TURNPIKE_MODULE")]
    pub module: Option<PathBuf>,
    /// The Envoy to run, if it is not on the PATH or in the project's cache
    #[arg(long, value_name = "PATH")]
    pub envoy: Option<PathBuf>,
}

/// What the module runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Host {
    /// The host that is part of this program
    Sim,
    /// A real Envoy
    Envoy,
}

/// How loud a message is, by Envoy's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warning,
    Error,
}

/// `turnpike check`
#[derive(Debug, clap::Args)]
pub struct Check {
    #[command(flatten)]
    pub policies: Policies,
}

/// `turnpike render`
#[derive(Debug, Subcommand)]
pub enum Render {
    /// The Envoy configuration that `up --host envoy` uses
    Envoy(RenderEnvoy),
}

/// `turnpike render envoy`
#[derive(Debug, clap::Args)]
pub struct RenderEnvoy {
    #[command(flatten)]
    pub policies: Policies,
    /// The folder to write to
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Where clients come in
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where Envoy tells about itself
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9901")]
    pub admin: SocketAddr,
    /// A PEM file of the authorities that providers' certificates have to come from, as Envoy will find it
    #[arg(long, value_name = "PATH", default_value = envoy_config::SYSTEM_CA_FILE)]
    pub ca_file: String,
    /// The file that the policies' access log goes to, as Envoy will find it; `-` is its standard output
    #[arg(long, value_name = "PATH|-", default_value = "-")]
    pub access_log: String,
    /// Where the sidecar is that counts budgets, as Envoy will find it
    #[arg(long, value_name = "HOST:PORT|unix:PATH", default_value = "127.0.0.1:8081")]
    pub sidecar: Address,
    /// Write the files with the providers' keys too, for your eyes only
    #[arg(long)]
    pub keys: bool,
}

/// `turnpike mock`
#[derive(Debug, clap::Args)]
pub struct Mock {
    /// Where it listens; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    pub listen: SocketAddr,
    /// The status of every answer
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..600))]
    pub status: u16,
    /// How many requests meet with that status, with a delay or with hanging up; all others are answered well
    #[arg(long, value_name = "N")]
    pub times: Option<u64>,
    /// Hang up instead of answering
    #[arg(long)]
    pub hang_up: bool,
    /// What a model says; by default it repeats the question
    #[arg(long)]
    pub text: Option<String>,
    /// Answer with the request itself, as plain text
    #[arg(long)]
    pub echo: bool,
    /// How long it thinks before it answers, as in 500ms
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "0s")]
    pub delay: Duration,
    /// How long it waits before each event of a stream
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "0s")]
    pub chunk_delay: Duration,
    /// Break every stream off after so many events
    #[arg(long, value_name = "N")]
    pub cut_after: Option<usize>,
    /// How a stream breaks off
    #[arg(long, value_enum, default_value_t = Cut::End, requires = "cut_after")]
    pub cut: Cut,
    /// The media type of every answer
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// A header of every answer, as in 'retry-after: 5'; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
}

/// How a stream breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cut {
    /// The message ends, without its last event
    End,
    /// The message ends in the middle of an event
    HalfEvent,
    /// The connection closes in the middle of the message
    Close,
}
