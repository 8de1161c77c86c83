//! See `groat_fuzz_targets::pass`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| groat_fuzz_targets::pass::target(data));
