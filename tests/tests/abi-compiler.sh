#!/bin/sh
# Builds the dummies, and with the older compiler the other examples, with a compiler of Debian 12 that is unpacked, never installed.
#
# usage: abi-compiler.sh COMPILER DIR
# COMPILER: rustc (1.63, with Debian's cargo of that time) or rustc-web (1.96, with the cargo that runs this)
# DIR: where everything is kept; DIR/COMPILER/libdummies.so is the result
set -eu

compiler=$1
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
mkdir -p "$2"
dir=$(cd "$2" && pwd)
cargo=${CARGO:-cargo}

fail() {
	echo "abi-compiler.sh: $*" >&2
	exit 1
}

# Libraries that the compilers need, and that a machine without them may lack.
case $compiler in
	rustc)
		packages='rustc libstd-rust-1.63 libstd-rust-dev libllvm14 cargo libgit2-1.5 libssh2-1 libmbedcrypto7
			libmbedtls14 libmbedx509-1 libhttp-parser2.9 libcurl3-gnutls libnghttp2-14 libpsl5 librtmp1
			libldap-2.5-0 libbrotli1 libsasl2-2'
		;;
	rustc-web) packages='rustc-web libstd-rust-web-1.96 libstd-rust-web-dev libllvm22' ;;
	*) fail "unknown compiler $compiler" ;;
esac
packages="$packages libedit2 libxml2 libicu72 libz3-4 libtinfo6 libbsd0 libmd0"

# What the result depends on.
key=$({ cat "$0"; find "$top/plugin-api" "$top/examples" "$here/../abi" -name target -prune -o -type f -print | LC_ALL=C sort | xargs cat; } |
	sha256sum | cut -d ' ' -f 1)
out=$dir/$compiler
[ "$(cat "$out/key" 2>/dev/null)" = "$key" ] && [ -f "$out/libdummies.so" ] && exit 0

root=$dir/$compiler-root
if [ "$(cat "$root/packages" 2>/dev/null)" != "$packages" ]; then
	rm -rf "$root" "$dir/$compiler-debs"
	mkdir -p "$root" "$dir/$compiler-debs"
	cd "$dir/$compiler-debs"
	# apt warns when its own user cannot write here; that is no error.
	# shellcheck disable=SC2086 # a list of words
	apt-get -q download $packages >log 2>&1 ||
		fail "apt-get cannot download the compiler; it needs sources for Debian 12 (bookworm and" \
			"bookworm-security) and a fresh apt-get update: $(grep '^E:' log | tail -n 3)"
	for deb in *.deb; do
		dpkg-deb -x "$deb" "$root"
	done
	rm -- *.deb
	printf %s "$packages" >"$root/packages"
fi
multiarch=$(basename "$root"/usr/lib/*-linux-gnu)
libraries=$root/usr/lib/$multiarch:$root/lib/$multiarch

# A copy of what an author has: the API's sources and crates beside it.
work=$dir/$compiler-src
rm -rf "$work"
mkdir -p "$work"
cp -R "$top/plugin-api" "$top/examples" "$work"
rm -rf "$work"/examples/*/target
# Or cargo takes the workspace above this directory for theirs.
printf '[workspace]\nmembers = ["plugin-api"]\nexclude = ["examples"]\n' >"$work/Cargo.toml"
cd "$work/examples/dummies"
export CARGO_PROFILE_DEV_DEBUG=0

if [ "$compiler" = rustc ]; then
	# Crates that this compiler can build. Its cargo cannot read today's registry, so another one fetches them.
	lock=$here/../abi/Cargo.lock.rustc-1.63
	cp "$lock" Cargo.lock
	"$cargo" vendor --quiet --locked "$work/vendor" >/dev/null || fail "cargo cannot fetch the crates of Cargo.lock.rustc-1.63"
	mkdir "$work/.cargo"
	cat >"$work/.cargo/config.toml" <<-CONFIG
		[source.crates-io]
		replace-with = "vendor"
		[source.vendor]
		directory = "$work/vendor"
	CONFIG
	for manifest in "$work"/examples/*/Cargo.toml; do
		cd "${manifest%/*}"
		crate=${PWD##*/}
		sed "s/^name = \"dummies\"/name = \"$crate\"/" "$lock" >Cargo.lock
		for step in build 'test --lib'; do
			# shellcheck disable=SC2086 # a list of words
			CARGO_HOME=$dir/cargo-home LD_LIBRARY_PATH=$libraries RUSTC=$root/usr/bin/rustc \
				"$root/usr/bin/cargo" $step --quiet --offline --locked --target-dir "$dir/$compiler-target" ||
				fail "cargo $step fails for the example $crate with Debian's rustc 1.63"
		done
	done
else
	printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libraries" "$root/usr/bin/rustc" >"$work/rustc"
	chmod 0755 "$work/rustc"
	RUSTC=$work/rustc "$cargo" build --quiet --locked --target-dir "$dir/$compiler-target" ||
		fail "Debian's rustc-web does not build the dummies"
fi

mkdir -p "$out"
cp "$dir/$compiler-target/debug/libdummies.so" "$out/libdummies.so"
printf %s "$key" >"$out/key"
