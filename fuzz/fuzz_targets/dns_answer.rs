//! libFuzzer's entry to `foregate_fuzz::dns_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| foregate_fuzz::dns_answer(input));
