//! libFuzzer's entry to `foregate_fuzz::session_cookie`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| foregate_fuzz::session_cookie(input));
