//! Connections of machines to the trigger server.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cdist_core::trigger::fuzzing::trigger_request(data));
