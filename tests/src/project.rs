//! Where things are in the project.

use std::path::{Path, PathBuf};

/// The folder of the project.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The program under test, as built with the tests' profile.
pub fn turnpike() -> PathBuf {
    beside_tests("turnpike")
}

/// The sidecar under test.
pub fn sidecar() -> PathBuf {
    beside_tests("turnpike-sidecar")
}

/// The module under test.
pub fn module() -> PathBuf {
    beside_tests("turnpike.wasm")
}

/// A module with guests that have nothing to do with the gateway.
pub fn guests() -> PathBuf {
    beside_tests("guests.wasm")
}

/// Where tests' servers and libraries are.
pub fn cache() -> PathBuf {
    root().join(".cache")
}

fn beside_tests(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // target/<profile>/deps/labs-<hash>
    let path = test.parent().unwrap().parent().unwrap().join(name);
    assert!(path.is_file(), "{} is missing: `make test` builds it", path.display());
    path
}
