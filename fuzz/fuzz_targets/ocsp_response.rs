//! libFuzzer's entry to `foregate_fuzz::ocsp_response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| foregate_fuzz::ocsp_response(input));
