//! Configuration files.
#![no_main]

use cdist_core::config::settings::Settings;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let Ok(settings) = Settings::parse(&text) else { return };
    assert_eq!(settings.clone().overlaid(Settings::default()), settings, "nothing was said on top");
    assert_eq!(Settings::default().overlaid(settings.clone()), settings, "there was nothing below");

    // Every key stands for itself, so their order says nothing.
    let is_section = |line: &str| line.trim().starts_with('[') && line.trim().ends_with(']');
    let mut lines: Vec<&str> = text.lines().filter(|line| !is_section(line)).collect();
    lines.reverse();
    let turned = format!("# c\r\n[GLOBAL]\r\n{}", lines.join("\r\n"));
    assert_eq!(Settings::parse(&turned).expect("the same lines in another order"), settings);
});
