//! See `groat_fuzz_targets::token_challenge`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| groat_fuzz_targets::token_challenge::target(data));
