//! libFuzzer's entry to `foregate_fuzz::certificate_pem`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| foregate_fuzz::certificate_pem(input));
