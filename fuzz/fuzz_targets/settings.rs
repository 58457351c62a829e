//! Configuration files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cdist_core::config::fuzzing::settings(data));
