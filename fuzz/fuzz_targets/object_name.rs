//! Object ids, and names of objects in `require`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cdist_core::config::fuzzing::object_name(data));
