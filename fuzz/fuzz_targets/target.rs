//! libFuzzer's entry to `foregate_fuzz::target`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| foregate_fuzz::target(input));
