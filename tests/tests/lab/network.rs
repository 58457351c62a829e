//! Shows that the lab's network serves, and that nothing of it is left afterwards.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use cdist_tests::lab::{
    http::Recorder,
    netns::{GATEWAY, Network},
    process::{run, tool, wait_until},
};

#[test]
fn lab_network_serves_files_and_disappears() {
    let pxe = tempfile::tempdir().unwrap();
    fs::write(pxe.path().join("pxelinux.0"), "loader").unwrap();
    let network = Network::new();
    let recorder = Recorder::answering(network.listen(), &[]);
    let dnsmasq = network.serve_pxe(pxe.path());
    assert!(recorder.url().contains(GATEWAY));

    let inside = |url: &str| {
        let enter = network.enter();
        let mut command = Command::new(&enter[0]);
        run(command.args(&enter[1..]).arg(tool("curl", "curl")).args([
            "--silent",
            "--show-error",
            "--fail",
            url,
        ]))
    };
    assert_eq!(inside(&recorder.url()), "ok\n");
    let _ = recorder.wait_for("/", Duration::from_secs(5));
    assert_eq!(inside(&format!("tftp://{GATEWAY}/pxelinux.0")), "loader");

    let namespace = network.enter()[1].to_string_lossy().trim_start_matches("--net=").to_owned();
    assert!(PathBuf::from(&namespace).exists());
    drop((dnsmasq, network));
    let gone = || (!PathBuf::from(&namespace).exists()).then_some(());
    wait_until(Duration::from_secs(5), gone).unwrap();
}
