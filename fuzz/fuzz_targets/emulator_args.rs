//! The words of a type call.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cdist_core::config::fuzzing::emulator_args(data));
