#!/bin/sh
# What continuous integration runs. It needs cdist, which also brings the sources of cdist-plugin-api.
set -eu
cd "$(dirname "$0")"
cargo test --release
cargo build --release
cdist plugin check target/release/libpreos_{{ident}}.so
