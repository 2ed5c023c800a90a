//! What the tests of this crate share. The same tests run natively and, under wasm-bindgen-test, on
//! `wasm32-unknown-unknown`: importing everything from here replaces `#[test]` there.

#[cfg(not(target_arch = "wasm32"))]
pub use core::prelude::v1::test;
#[cfg(target_arch = "wasm32")]
pub use wasm_bindgen_test::wasm_bindgen_test as test;
