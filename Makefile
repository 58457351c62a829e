# cdist: build, test, install. `make help` lists the targets.
#
# One staged layout, target/dist, is what runs in development and what is installed.

SHELL = /bin/sh
.DEFAULT_GOAL := build

# Where `cargo install` puts its programs.
export PATH := $(HOME)/.cargo/bin:$(PATH)

# How the staged program is built: release, or dev for a quick look.
PROFILE ?= release
# What `make build` compiles.
SELECTION ?= -p cdist -p cdist-preos-debian -p cdist-preos-ubuntu
PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
DIST := target/dist
# Cargo calls the directory of its profile dev "debug".
BUILT = target/$(PROFILE:dev=debug)
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# Oldest compiler that builds the workspace; Debian's cargo-web is newer.
RUST_MINOR := 95

BUILD_PACKAGES := gcc libc6-dev make
PREOS_PACKAGES := mmdebstrap debootstrap debian-archive-keyring curl
TEST_PACKAGES := $(PREOS_PACKAGES) apt-utils bash busybox-static bzip2 codespell cpio dnsmasq-base e2fsprogs fdisk fish g++ gpg gpgv groff-base \
	ipxe-qemu iproute2 openssh-client openssh-server patch procps python3 qemu-system-x86 rsync seabios shellcheck systemd time xz-utils zsh zstd

# The browser, the program that drives it, and a parser that takes nothing but valid HTML.
WEB_PACKAGES := chromium chromium-driver python3-html5lib python3-selenium python3-venv
SCHEMATHESIS := 4.32.5

# The conformance suite of the original's behaviour; it is no part of this repository.
CONFORMANCE ?= ../shared/conformance

# What `make test` runs, in this order; what is busy with one processor stands side by side. The staged program is built once.
TIERS = build lint package book unit integration web+conformance+conformance-types privileged sshd lab

# Tests wait as much as they compute.
THREADS := $(shell echo $$(($$(nproc) * 3 / 2)))
integration sshd: THREADS := $(shell echo $$(($$(nproc) * 2)))

# One selection of crates and features, so that one build serves all tiers.
NEXTEST = $(CARGO) nextest run --workspace --all-features --locked --test-threads $(THREADS)

# The tests of a tier: `make lab TEST=pxe_boot` runs those whose names match, also the long ones of .config/nextest.toml.
TEST ?=
tier = $(NEXTEST) $(if $(TEST),--ignore-default-filter) -E '($(1))$(if $(TEST), and test(/$(TEST)/))'

# The tests with a count.
SOAK = trigger_kill::|mutated_plugins::|fuzz::|histories|at_once_|no_plan_does_harm

# How long `make fuzz` runs each target.
FUZZ_SECONDS ?= 4

# The original, what its other peers in `make bench-config` are installed with, and what the benches are written in.
BENCH_PACKAGES := cdist python3 python3-venv time

# Parts of `make bench-config` (local floor growth ssh hosts fleet emulator objects) or `make bench-trigger` (keep-alive new
# latency memory start kill); all without a value.
PARTS ?=

# Where `make preos` puts its work, and what it is made from. MIRROR without a value is the bootstrap program's default.
PREOS_DIR ?= target/preos
SUITE ?= bookworm
MIRROR ?= $(shell apt-get indextargets --format '$$(REPO_URI)' 'Codename: $(SUITE)' 'Created-By: Packages' 2>/dev/null | head -n 1)

# What is installed already costs no look at the package lists. Two tiers may install at the same time.
define install-missing
missing=; for package in $(1); do \
	dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || missing="$$missing $$package"; \
done; \
if [ "$$missing" ]; then DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $$missing; fi
endef

.PHONY: help build preos install test soak soak-tests lint package book audit unit integration web conformance conformance-types fuzz privileged sshd lab bench bench-config bench-plugins bench-trigger clean \
	install-build-packages install-test-packages install-bench-packages install-test-tools install-web-tools

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 26

build: ## build and stage everything under target/dist
	$(CARGO) build --profile $(PROFILE) --locked $(SELECTION)
	rm -rf $(DIST)
	mkdir -p $(DIST)/bin $(DIST)/lib/cdist/preos $(DIST)/share/cdist
	cp $(BUILT)/cdist $(DIST)/bin/cdist
	cp $(BUILT)/libcdist_preos_debian.so $(DIST)/lib/cdist/preos/debian.so
	cp $(BUILT)/libcdist_preos_ubuntu.so $(DIST)/lib/cdist/preos/ubuntu.so
	mkdir -p $(DIST)/share/cdist/conf
	for part in explorer type manifest; do \
		if [ -d core/conf/$$part ]; then cp -R core/conf/$$part $(DIST)/share/cdist/conf/; fi; \
	done
	mkdir -p $(DIST)/share/cdist/include $(DIST)/share/cdist/plugin-api
	cp plugin-api/include/cdist_preos.h $(DIST)/share/cdist/include/
	cp -RL $(addprefix plugin-api/,Cargo.toml LICENSE-APACHE LICENSE-MIT README.md build.rs include src) $(DIST)/share/cdist/plugin-api/
	mkdir -p $(DIST)/share/cdist/systemd
	for file in cli/systemd/*; do sed 's|@bindir@|$(PREFIX)/bin|' $$file >$(DIST)/share/cdist/systemd/$${file##*/} || exit 1; done
	$(DIST)/bin/cdist --write-reference $(DIST)
	chmod -R go-w $(DIST)

install: build ## install to $(DESTDIR)$(PREFIX)
	mkdir -p $(DESTDIR)$(PREFIX)
	cp -R $(DIST)/. $(DESTDIR)$(PREFIX)/

# The main job on real input: a Debian PreOS with its netboot directory. Needs root.
preos: install-build-packages build ## set everything up and make a Debian PreOS with its netboot directory
	@command -v mmdebstrap >/dev/null || $(SUDO) apt-get install -y --no-install-recommends $(PREOS_PACKAGES)
	@mkdir -p $(PREOS_DIR)
	@[ -f $(PREOS_DIR)/key ] || { command -v ssh-keygen >/dev/null || $(SUDO) apt-get install -y --no-install-recommends openssh-client; \
		ssh-keygen -q -t ed25519 -N '' -C preos -f $(PREOS_DIR)/key; }
	$(SUDO) rm -rf --one-file-system $(PREOS_DIR)/root
	$(SUDO) $(DIST)/bin/cdist preos debian $(PREOS_DIR)/root -b -C -k $(PREOS_DIR)/key.pub -p $(PREOS_DIR)/pxe \
		-t "/usr/bin/curl http://10.0.2.2:3000/install/" -s $(SUITE) $(if $(MIRROR),-m $(MIRROR))
	@ls -l $(PREOS_DIR)/pxe

# The program of the tests' own profile: one compilation of all crates is enough. `make soak` and the benches run the optimised one.
test: export PROFILE = dev
test: export SELECTION = --workspace --all-features --all-targets
test: install-build-packages install-test-packages install-test-tools ## install what tests need, run all tiers, print a table of them
	tests/tiers $(TIERS)

# Counts of the tests that repeat themselves; a test without one of these variables repeats a little.
soak: export CDIST_TEST_KILLS = 1000
soak: export CDIST_TEST_MUTANTS = 10000
soak: export CDIST_TEST_HISTORIES = 100000
soak: export CDIST_TEST_MUTATIONS = 100000
soak: export CDIST_TEST_EXAMPLES = 100
soak: export CDIST_TEST_STARTS = 50
soak: export CDIST_TEST_PLANS = 100000
soak: export NEXTEST_PROFILE = soak
soak: FUZZ_SECONDS = 60
soak: install-build-packages install-test-packages install-test-tools ## what is long or repeated, whole: kills, mutants, mutations, histories, fuzzing, requests to the API; prints what it covered
	FUZZ_SECONDS=$(FUZZ_SECONDS) tests/tiers build soak-tests fuzz web

soak-tests: ## the tests that repeat themselves, as often as their variables say (`make soak` sets these), and the long ones
	$(NEXTEST) --ignore-default-filter -E 'test(/$(SOAK)/) or not default()'

lint: ## formatting, clippy, licences, unused dependencies, spelling, shell, types; needs `make build`
	$(CARGO) fmt --all --check
	for crate in fuzz/ examples/*/ tests/fixtures/*/ tests/museum/exhibit/; do \
		[ ! -f $${crate}Cargo.toml ] || (cd $$crate && $(CARGO) fmt --check) || exit 1; \
	done
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings
	$(CARGO) deny --all-features check bans licenses sources
	$(CARGO) machete --skip-target-dir
	codespell
	core/conf/lint
	$(DIST)/bin/cdist check-type --strict core/conf/type/*
	shellcheck -s sh fuzz/run tests/tiers tests/bench/preos tests/conformance/upstream-types plugins/apt-family/src/manifest.sh core/src/config/preview/diff_prelude.sh core/src/connector/*/*.sh core/src/preos/chroot_names.sh core/src/trust/guard.sh --exclude=SC2148 .ci/run examples/dummies/toolbox/bootstrap examples/*/src/*.sh \
		tests/abi/compiler tests/museum/build

package: ## the crate for authors of plugins: its documentation, and a package that could be published; needs the crate registry
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc -p cdist-plugin-api --no-deps --all-features --locked
	$(CARGO) publish --dry-run -p cdist-plugin-api --locked --allow-dirty

book: ## the book in docs/, for a browser: target/book; needs mdbook
	mdbook build docs

audit: ## known vulnerabilities of the crates; needs the network
	$(CARGO) deny --all-features check advisories

unit: ## tests inside the crates; no root, no network
	$(call tier,not package(cdist-tests) and not test(/privileged_/))
	$(CARGO) test --doc --workspace --all-features --locked

integration: ## the staged program with stub commands and hostile plugins, and the lab itself; no root needed
	$(call tier,package(cdist-tests) and (binary(integration) or kind(lib) or kind(bin)))

# Debian's Python has these modules; another one in the path may not.
web: install-web-tools ## the second listener of the trigger server: page in a browser, API by its description; needs `make build`
	CDIST=$(DIST)/bin/cdist /usr/bin/python3 -B tests/web/page.py
	CDIST=$(DIST)/bin/cdist /usr/bin/python3 -B tests/web/api.py

conformance: ## the staged program against recordings of the original, where the suite is beside the checkout
	@if [ -x $(CONFORMANCE)/run-conformance ]; then \
		$(CONFORMANCE)/run-conformance --cdist $(DIST)/bin/cdist $(CONFORMANCE)/cases; \
	else echo "conformance: not run, there is no $(CONFORMANCE)"; fi

conformance-types: ## the original's type library under both programs; needs root and a Debian mirror
	@if [ -x $(CONFORMANCE)/run-conformance ]; then \
		$(MAKE) --no-print-directory install-bench-packages && tests/conformance/upstream-types $(CONFORMANCE) $(DIST)/bin/cdist; \
	else echo "conformance: not run, there is no $(CONFORMANCE)"; fi

fuzz: ## each fuzz target for some seconds (FUZZ_SECONDS), a part of `make soak`; needs g++
	fuzz/run -t $(FUZZ_SECONDS)

privileged: ## real mounts, namespaces and bootstraps; needs root and a Debian mirror
	$(call tier,binary(privileged) or (not package(cdist-tests) and test(/privileged_/)))

sshd: ## hosts configured through real ssh servers, in namespaces of this machine; needs root
	$(call tier,binary(sshd))

lab: ## boots in QEMU, with DHCP and TFTP in a network namespace; needs root and a Debian mirror
	$(call tier,binary(lab))

bench: build ## ratios against the original's pipeline and other peers, measured in the same run
	tests/bench/preos

bench-config: build install-bench-packages ## `cdist config` beside the original, pyinfra and ansible; root, PyPI, an hour; PARTS=local is less
	tests/bench/config $(PARTS)

bench-plugins: build install-bench-packages ## listing and calling plugins beside the original, and beside dlopen alone
	tests/bench/plugins

bench-trigger: build install-bench-packages ## `cdist trigger` beside a server of the original's shape, one process for each request
	$(CARGO) build --release --locked -p cdist-tests --bin trigger_load
	tests/bench/trigger $(PARTS)

clean: ## remove what was built
	$(CARGO) clean

install-build-packages:
	@for tool in gcc make; do command -v $$tool >/dev/null || missing=1; done; \
	if [ "$$missing" ]; then $(SUDO) apt-get update && $(SUDO) apt-get install -y --no-install-recommends $(BUILD_PACKAGES); fi
	@minor=$$($(CARGO) --version 2>/dev/null | sed -n 's/^cargo 1\.\([0-9]*\)\..*/\1/p'); \
	if [ "$${minor:-0}" -lt $(RUST_MINOR) ]; then \
		$(SUDO) apt-get update && $(SUDO) apt-get install -y --no-install-recommends cargo-web; \
	fi

# The lists are refreshed always: tests download packages besides those that are installed here.
install-test-packages:
	@$(SUDO) apt-get update -qq
	@$(call install-missing,$(TEST_PACKAGES))

install-bench-packages:
	@$(call install-missing,$(BENCH_PACKAGES))

install-web-tools:
	@$(call install-missing,$(WEB_PACKAGES))
	@target/venv-web/bin/schemathesis --version 2>/dev/null | grep -q ' $(SCHEMATHESIS)$$' || { \
		/usr/bin/python3 -m venv --clear target/venv-web && target/venv-web/bin/pip install -q schemathesis==$(SCHEMATHESIS); }

# rustup has rustfmt and clippy; Debian has them apart. The others come from the crate registry.
install-test-tools:
	@$(CARGO) fmt --version >/dev/null 2>&1 || $(SUDO) apt-get install -y --no-install-recommends rustfmt-web
	@$(CARGO) clippy --version >/dev/null 2>&1 || $(SUDO) apt-get install -y --no-install-recommends rust-web-clippy
	@for tool in nextest deny machete; do \
		command -v cargo-$$tool >/dev/null || $(CARGO) install --locked cargo-$$tool || exit 1; \
	done
	@command -v mdbook >/dev/null || $(CARGO) install --locked --debug --no-default-features mdbook
