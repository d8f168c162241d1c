//! libFuzzer's entry to `foregate_fuzz::grpc_web`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| foregate_fuzz::grpc_web(input));
