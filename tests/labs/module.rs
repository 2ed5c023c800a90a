//! The module itself: what it asks of a host, and how much of it there is.

use labs::project;

#[test]
fn the_module_asks_a_host_for_nothing_that_has_not_been_tried() {
    let wasm = std::fs::read(project::module()).unwrap();
    let imports = host_sim::vm::Module::compile(&wasm).unwrap().imports().join("\n") + "\n";
    // Every function of the SDK's traits is among them, called or not: what is called goes through `host-calls`.
    let golden = project::root().join("tests/labs/imports.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&golden, &imports).unwrap();
    }
    assert_eq!(imports, std::fs::read_to_string(&golden).unwrap(), "UPDATE_EXPECT=1 writes the list anew");
}

#[test]
fn the_module_is_small_enough_to_be_loaded_in_a_moment() {
    // Envoy compiles all of it at start: about two seconds a megabyte. Half of it are the algorithms of tokens.
    let bytes = std::fs::metadata(project::module()).unwrap().len();
    assert!(bytes < 2_200_000, "{bytes} bytes");
}
