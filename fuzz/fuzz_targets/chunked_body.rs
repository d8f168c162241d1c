//! libFuzzer's entry to `foregate_fuzz::chunked_body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| foregate_fuzz::chunked_body(input));
