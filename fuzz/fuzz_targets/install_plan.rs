//! Layouts, facts of machines and disk rules, and the plans that are made of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cdist_core::install::fuzzing::install_plan(data));
