//! What commands work on: policies, the module, an Envoy. Each is looked for in a fixed order, and said how to get.

use std::env;
use std::path::{Path, PathBuf};

use envoy_config::SYSTEM_CA_FILE;
use resources::{Loaded, Plan, Severity, load, read_files};

use crate::args::Policies;
use crate::{Failure, terminal};

/// The name of the module's file.
const MODULE: &str = "turnpike.wasm";

/// Reads policies.
///
/// # Errors
/// They cannot be read.
pub fn policies(policies: &Policies) -> Result<Loaded, Failure> {
    let missing = policies.files.iter().find(|path| !path.exists());
    if let Some(path) = missing {
        let place = env::current_dir().map(|it| it.display().to_string()).unwrap_or_default();
        return Err(format!("there is no {} in {place}; name files or folders with -f", path.display()));
    }
    Ok(load(&read_files(&policies.files)?, &|name| env::var(name).ok()))
}

/// Reads policies that are to be used: says what is wrong with them.
///
/// # Errors
/// They cannot be read, or there is an error in them.
pub fn plan(args: &Policies) -> Result<Plan, Failure> {
    let loaded = policies(args)?;
    terminal::report(&loaded.problems, Severity::Warning);
    let errors = loaded.problems.iter().filter(|it| it.severity == Severity::Error).count();
    loaded.plan.ok_or_else(|| format!("nothing is started: {}", counted(errors, "error")))
}

/// The module: where it is said to be, or beside this program.
///
/// # Errors
/// It is not there.
pub fn module(said: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = said {
        return if path.is_file() {
            absolute(path)
        } else {
            Err(format!("{}: there is no such module", path.display()))
        };
    }
    let beside =
        env::current_exe().ok().and_then(|exe| Some(exe.canonicalize().ok()?.parent()?.join(MODULE)));
    beside.filter(|path| path.is_file()).ok_or_else(|| {
        format!("the module {MODULE} is not beside this program; `make build` puts it there, --module names another")
    })
}

/// Envoy: where it is said to be, on the PATH, or in the cache of the project that this program was built in.
///
/// # Errors
/// It is nowhere.
pub fn envoy(said: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = said {
        return if path.is_file() {
            absolute(path)
        } else {
            Err(format!("{}: there is no such Envoy", path.display()))
        };
    }
    let on_path =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    let exe = env::current_exe().ok().and_then(|exe| exe.canonicalize().ok());
    let starts = [exe, env::current_dir().ok()];
    let caches =
        starts.iter().flatten().flat_map(|start| start.ancestors()).map(|it| it.join(".cache/envoy"));
    let mut places = on_path.into_iter().chain(caches).map(|folder| folder.join("envoy"));
    let found = places.find(|path| path.is_file());
    found.ok_or_else(|| {
        "there is no Envoy on the PATH; `make envoy` fetches one for this project, --envoy names another"
            .to_owned()
    })
}

/// The file in which this system keeps the authorities that it believes; `SSL_CERT_FILE` may name another.
pub fn ca_file() -> String {
    let usual =
        [SYSTEM_CA_FILE, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];
    let here =
        || usual.into_iter().find(|path| Path::new(path).is_file()).unwrap_or(SYSTEM_CA_FILE).to_owned();
    env::var("SSL_CERT_FILE").unwrap_or_else(|_| here())
}

/// `1 error`, `2 errors`
pub fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))
}
