# SPDX-License-Identifier: BSD-2-Clause
#
# Builds, runs and tests the system; bare `make` says how. What boards need stands in
# support/boards, what takes more than a few lines of shell in support/make.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
# cargo uses all cores already, and one QEMU at a time keeps its time limits honest.
.NOTPARALLEL:

BOARDS := x86_64_generic qemu_virt_aarch64
CONFIGS := debug release
BOARD ?=
CONFIG ?= debug
FILES ?= support/files
MICROKIT_SDK ?= $(HOME)/microkit-sdk-2.3.0
# Seconds that QEMU gets, for the demo and for the scenarios.
TIMEOUT ?= 180
# By the environment, so that a folder may have any name.
export BOARD CONFIG FILES MICROKIT_SDK TIMEOUT
# The Git dependencies come by git itself, which knows the user's proxies and mirrors.
export CARGO_NET_GIT_FETCH_WITH_CLI := true

one-of = $(and $(filter 1,$(words $(1))),$(filter $(2),$(1)))
$(if $(call one-of,$(or $(BOARD),sim),sim $(BOARDS)),,$(error use BOARD=sim $(BOARDS:%=or BOARD=%)))
$(if $(call one-of,$(CONFIG),$(CONFIGS)),,$(error use CONFIG=debug or CONFIG=release))
-include $(wildcard support/boards/$(BOARD).mk)
export TARGET TARGET_RUSTFLAGS QEMU

# Where a run on BOARD puts what it makes, and the same run in the simulator.
OUT := build/$(if $(filter sim,$(BOARD)),sim,$(BOARD)/$(CONFIG))
SIM := build/sim
IMAGE_DIR = $(OUT)/$(SYSTEM)
SEL4 := --manifest-path support/sel4/Cargo.toml
PDS := support/make/toolchain.sh cargo
# One for all boards and configurations: they share what runs on the host while building.
PD_TARGET_DIR := build/cargo
BOOT := cargo run --quiet --package boot --

# The systems: the demo, the one that runs the scenarios, with puppets for actors and a sabotaged
# fsserver, and the demo with three clients.
SYSTEM := demo
demo_XML := microkit-system.xml
demo_PDS := console pmserver fsserver client-demo
demo_SIM := run
scenarios_XML := support/testing/scenarios/microkit-system.xml
# All puppets are one program.
scenarios_PDS := console pmserver fsserver scenario-client supervisor puppet
scenarios_FEATURES := --features fsserver/sabotage
scenarios_SIM := scenarios
clients_XML := support/testing/systems/three-clients.xml
clients_PDS := $(demo_PDS)
clients_SIM := run
# Each of the clients ends with PASS.
clients_PASSES := 3

.PHONY: usage run scenarios ktest missing need-cargo need-board fs-image simulate boot image
.PHONY: test check fuzz sim-test qemu-test board-test pd-check image-check setup sdk clean
usage:
	@echo 'make run        boots the demo: seL4 in QEMU where that is possible, else the simulator'
	@echo 'make scenarios  runs the acceptance scenarios on BOARD'
	@echo 'make check      formatting, clippy, tests on the host: for between edits'
	@echo 'make test       everything; says what it had to leave out'
	@echo 'make qemu-test  demo, clients, scenarios on BOARD with CONFIG, against the simulator'
	@echo 'make ktest      the kernel of BOARD against the model of it that the simulator has'
	@echo 'make fuzz       random operations against the reference model; SEED=n repeats a run'
	@echo 'make setup      installs what apt offers; may be run again'
	@echo 'make sdk        downloads the Microkit SDK 2.3.0 to MICROKIT_SDK'
	@echo 'make clean      removes what make made'
	@printf '\n%s\n' 'BOARD=sim|x86_64_generic|qemu_virt_aarch64  where to run'
	@echo 'CONFIG=debug|release                        which kernel           ($(CONFIG))'
	@echo 'FILES=folder                                what fsserver serves   ($(FILES))'
	@echo 'MICROKIT_SDK=folder                         where the SDK is       ($(MICROKIT_SDK))'

# Runs a system on BOARD. Without BOARD: on x86_64_generic, or in the simulator and why.
scenarios: SYSTEM := scenarios
run scenarios: need-cargo
ifeq ($(BOARD),)
	@missing=$$($(MAKE) missing BOARD=x86_64_generic); \
	if [ -z "$$missing" ]; then \
	  echo "make $@: seL4 on x86_64_generic, as there is a Microkit SDK at $$MICROKIT_SDK"; \
	  exec $(MAKE) $@ BOARD=x86_64_generic; \
	fi; \
	echo "make $@: the simulator, not seL4: $$missing"; \
	exec $(MAKE) $@ BOARD=sim
else ifeq ($(BOARD),sim)
	@exec $(MAKE) simulate SYSTEM=$(SYSTEM)
else
	@exec $(MAKE) boot SYSTEM=$(SYSTEM)
endif

# Prints what is missing to run BOARD with CONFIG; nothing where nothing is.
missing:
	@support/make/toolchain.sh missing
need-cargo:
	@command -v cargo >/dev/null || \
	  { echo 'cargo is not installed: see https://rustup.rs' >&2; exit 1; }
need-board: need-cargo
	@[ "$(filter $(BOARD),$(BOARDS))" ] || { echo 'say BOARD=… : one of $(BOARDS)' >&2; exit 1; }
	@missing=$$($(MAKE) missing); [ -z "$$missing" ] || { echo "$$missing" >&2; exit 1; }

# The file system image that fsserver serves; made anew each time, as FILES may have changed.
fs-image:
	@support/make/fs-image.sh "$$FILES" build/fs.img

simulate: need-cargo fs-image
	@cargo run --quiet --package sim -- $($(SYSTEM)_SIM) --system $($(SYSTEM)_XML) --image build/fs.img

boot: image
	@$(BOOT) run --timeout $(TIMEOUT) --passes $(or $($(SYSTEM)_PASSES),1) --transcript $(OUT)/$(SYSTEM).txt -- $(QEMU) $(QEMU_FLAGS)

image: need-board fs-image
	@mkdir -p $(IMAGE_DIR)
	@$(PDS) build $(SEL4) --quiet --release --target-dir $(PD_TARGET_DIR) \
	  $(addprefix --package ,$($(SYSTEM)_PDS)) $($(SYSTEM)_FEATURES)
	@for pd in $($(SYSTEM)_PDS); do \
	  cp $(PD_TARGET_DIR)/$(TARGET)/release/$$pd $(IMAGE_DIR)/$$pd.elf; done
	@cargo run $(SEL4) --quiet --package image -- --sdk "$$MICROKIT_SDK" --board $(BOARD) \
	  --config $(CONFIG) --search-path $(IMAGE_DIR) build --output $(IMAGE_DIR)/loader.img \
	  --report $(IMAGE_DIR)/report.txt $(if $(RAM),--ram $(RAM)) $($(SYSTEM)_XML)

# The rings. `check` and `sim-test` need nothing but published crates and mke2fs.
check: need-cargo
	@support/make/check.sh

sim-test:
	@mkdir -p $(SIM)
	$(MAKE) simulate SYSTEM=demo BOARD=sim >$(SIM)/demo.txt || { cat $(SIM)/demo.txt; exit 1; }
	support/make/verify.sh $(SIM)/demo.txt "$$FILES"
	$(MAKE) simulate SYSTEM=clients BOARD=sim >$(SIM)/clients.txt || { cat $(SIM)/clients.txt; exit 1; }
	$(MAKE) simulate SYSTEM=scenarios BOARD=sim | tee $(SIM)/scenarios.txt

qemu-test: sim-test board-test
board-test: need-board
	$(MAKE) boot SYSTEM=demo
	$(BOOT) compare $(SIM)/demo.txt $(OUT)/demo.txt
	$(MAKE) boot SYSTEM=clients
	$(BOOT) compare $(SIM)/clients.txt $(OUT)/clients.txt
	$(MAKE) boot SYSTEM=scenarios
	$(BOOT) compare $(SIM)/scenarios.txt $(OUT)/scenarios.txt
ktest: need-board
	@support/make/ktest.sh $(OUT) $(QEMU) $(subst $(IMAGE_DIR),$(OUT)/ktest,$(QEMU_FLAGS))

pd-check: need-board
	@$(PDS) clippy $(SEL4) --quiet --release --target-dir $(PD_TARGET_DIR) --workspace --exclude image \
	  -- -D warnings
image-check: need-cargo
	cargo clippy $(SEL4) --quiet --package image --all-targets -- -D warnings
	cargo test $(SEL4) --quiet --package image

# Without SEED each run has another; a failure prints the line that repeats it.
fuzz: need-cargo
	@cargo run --quiet --release --package sim -- fuzz pm $(SEED) --seeds 50

test: check sim-test
	[ "$$FILES" != support/files ] || $(BOOT) compare support/testing/boot/expected/demo.txt $(SIM)/demo.txt
	@support/make/test-sel4.sh '$(MAKE)' '$(BOARDS)' '$(CONFIGS)'

setup:
	@support/make/setup.sh
sdk:
	@support/make/sdk.sh "$$MICROKIT_SDK"
clean:
	rm -rf build target support/sel4/target
