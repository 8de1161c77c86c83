//! See `groat_fuzz_targets::answers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| groat_fuzz_targets::answers::target(data));
