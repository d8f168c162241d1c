//! libFuzzer's entry to `foregate_fuzz::h2_frames_server`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| foregate_fuzz::h2_frames_server(input));
