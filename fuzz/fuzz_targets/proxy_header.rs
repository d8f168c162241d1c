//! libFuzzer's entry to `foregate_fuzz::proxy_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| foregate_fuzz::proxy_header(input));
