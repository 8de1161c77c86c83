//! See `groat_fuzz_targets::token_order`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| groat_fuzz_targets::token_order::target(data));
