//! libFuzzer's entry to `foregate_fuzz::client_hello`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| foregate_fuzz::client_hello(input));
