//! What a batch of scripts prints on the target.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cdist_core::config::fuzzing::framed_stream(data));
