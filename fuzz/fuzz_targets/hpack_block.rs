//! libFuzzer's entry to `foregate_fuzz::hpack_block`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| foregate_fuzz::hpack_block(input));
