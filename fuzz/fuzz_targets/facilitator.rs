//! See `groat_fuzz_targets::facilitator`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| groat_fuzz_targets::facilitator::target(data));
