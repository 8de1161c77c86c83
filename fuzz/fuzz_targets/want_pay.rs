//! See `groat_fuzz_targets::want_pay`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| groat_fuzz_targets::want_pay::target(data));
