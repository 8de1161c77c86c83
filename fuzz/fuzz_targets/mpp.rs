//! See `groat_fuzz_targets::mpp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| groat_fuzz_targets::mpp::target(data));
