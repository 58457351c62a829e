//! The lab: everything a test needs around a PreOS, real and thrown away afterwards.
//!
//! | module | gives |
//! |---|---|
//! | [`qemu`] | a virtual machine with a serial log |
//! | [`netns`] | a network of its own with DHCP, DNS and TFTP |
//! | [`ssh`] | a throwaway key and a connection to a machine |
//! | [`sshd`] | targets: ssh servers with a tree of their own |
//! | [`admin`] | who configures them |
//! | [`http`] | a server that remembers requests, a server of files |
//! | [`client`], [`response`] | requests from any address and of any bytes, answers |
//! | [`mirror`] | where Debian comes from |
//! | [`archive`] | a small signed apt archive |
//! | [`trigger`] | a trigger server, and machines that are directories |
//! | [`process`] | programs that end with the test |
//!
//! These are helpers of tests: whatever goes wrong panics with a message that says what to do. Nothing is ever skipped:
//! a missing program panics with the name of its package.

pub mod admin;
pub mod archive;
pub mod client;
pub mod http;
pub mod mirror;
pub mod netns;
pub mod process;
pub mod qemu;
pub mod response;
pub mod ssh;
pub mod sshd;
pub mod trigger;
