//! Files of the inventory, and tags that are given on the command line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cdist_core::inventory::fuzzing::inventory(data));
