//! libFuzzer's entry to `foregate_fuzz::forwarding`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| foregate_fuzz::forwarding(input));
