# SPDX-License-Identifier: BSD-2-Clause
#
# Builds, runs and tests the system; `make` alone prints how. The settings of each board are in
# support/boards; whatever needs more than a few lines of shell is in support/make.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
# cargo uses all cores already, and QEMU's time limits assume that only one QEMU runs at a time.
.NOTPARALLEL:

# Each file in support/boards is a board. Where QEMU has it, it says how QEMU is started.
ALL_BOARDS := $(patsubst support/boards/%.mk,%,$(wildcard support/boards/*.mk))
BOARDS := $(patsubst support/boards/%.mk,%,$(shell grep -l '^QEMU_FLAGS' support/boards/*.mk))
CONFIGS := debug release
BOARD ?=
CONFIG ?= debug
FILES ?= support/files
IMAGE ?=
WRITE ?=
# IOMMU=yes: a machine with an IOMMU, and an image for one.
IOMMU ?=
# Domains that are put on the second core, with CONFIG=smp-debug or smp-release.
CORE_1 ?=
# TRACE=yes: servers that write a trace of what they serve.
TRACE ?=
MICROKIT_SDK ?= $(HOME)/microkit-sdk-2.3.0
# Seconds after which QEMU is stopped, for the demo and for the scenarios.
TIMEOUT ?= 180
# How long `make soak` reads, on the board's clock.
SECONDS ?= 600
# Passed to scripts in the environment, and not expanded before, so that names may have any character.
override FILES := $(value FILES)
override IMAGE := $(value IMAGE)
export BOARD CONFIG FILES IMAGE WRITE IOMMU MICROKIT_SDK TIMEOUT SEED
# What a Makefile that calls this one was told of its own compiler is not for what cargo compiles.
$(foreach tool,CC CXX AS LD AR CFLAGS LDFLAGS,$(if $(filter command,$(origin $(tool))),$(eval unexport $(tool))))
# cargo calls git to fetch Git dependencies, because git knows the user's proxies and mirrors.
export CARGO_NET_GIT_FETCH_WITH_CLI := true

one-of = $(and $(filter 1,$(words $(1))),$(filter $(2),$(1)))
$(if $(call one-of,$(or $(BOARD),sim),sim $(ALL_BOARDS)),,$(error there is no board '$(BOARD)': use BOARD=sim $(ALL_BOARDS:%=or BOARD=%)))
SMP_CONFIGS := $(CONFIGS:%=smp-%)
$(if $(call one-of,$(CONFIG),$(CONFIGS) $(SMP_CONFIGS) benchmark),,$(error there is no configuration '$(CONFIG)': use CONFIG=debug or CONFIG=release, or one of $(SMP_CONFIGS)))
-include $(wildcard support/boards/$(BOARD).mk)
# QEMU counts instructions for a clock, so that a run repeats; ICOUNT= leaves it to the host's clock.
comma := ,
# While it waits for a disk, which knows no such clock, time must pass as it does for the host.
QEMU_SLEEP = $(if $($(SYSTEM)_DISK),on,off)
QEMU_ICOUNT = $(if $(ICOUNT),-icount shift=$(ICOUNT)$(comma)sleep=$(QEMU_SLEEP))
# As many cores as the kernel was built for, of which each runs at the others' pace.
QEMU_CORES = $(if $(filter $(SMP_CONFIGS),$(CONFIG)),-smp 4)
export TARGET TARGET_RUSTFLAGS QEMU

$(if $(filter-out yes,$(IOMMU)),$(error use IOMMU=yes))
$(if $(filter-out yes,$(TRACE)),$(error use TRACE=yes))
$(if $(IOMMU),$(if $(or $(QEMU_HAS_IOMMU),$(filter-out $(ALL_BOARDS),$(or $(BOARD),sim))),,$(error $(BOARD) has no IOMMU that the kernel uses)))
WITH := $(if $(IOMMU),-iommu)
# The folder for the files of a run on BOARD, and the folder for the same run in the simulator.
OUT := build/$(if $(filter sim,$(BOARD)),sim,$(BOARD)/$(CONFIG))$(WITH)
SIM := build/sim$(WITH)
IMAGE_DIR = $(OUT)/$(SYSTEM)
SEL4 := --manifest-path support/sel4/Cargo.toml
PDS := support/make/toolchain.sh cargo
# One for all boards and configurations: they share what runs on the host while building.
PD_TARGET_DIR := build/cargo
# The image tool is compiled into the host workspace's folder: they share dependencies, too.
IMAGE_TOOL := $(SEL4) --package image --target-dir $(or $(CARGO_TARGET_DIR),target)
# Prints what is compiled, and why, if there is something to compile.
COMPILE := support/make/compile.sh
BOOT := cargo run --quiet --package boot --

# Whether a board has a disk that there is a driver for, and a serial port that the kernel test knows:
# that is no system, and has drivers of its own.
HAS_DISK := $(if $(value QEMU_DISK),yes)
HAS_KTEST := $(if $(KTEST_LACKS),,$(filter pl011 io_ports,$(SERIAL)))

# The systems: the demo, the same with the files in memory in place of a disk, the one that runs the
# scenarios, with puppets for actors and a sabotaged fsserver, and the demo with three clients.
# On a board without a disk that there is a driver for, the second is the demo.
SYSTEM := $(or $(DEMO),demo)
demo_XML := microkit-system.xml
demo_PDS := console pmserver virtio-blk fsserver client-demo
demo_SIM := run
demo_DISK := files
# The demo on the disk of an earlier run.
restart_XML := $(demo_XML)
restart_PDS := $(demo_PDS)
restart_SIM := $(demo_SIM)
restart_DISK := $(demo_DISK)
region_XML := support/testing/systems/region.xml
region_PDS := console pmserver fsserver client-demo
region_SIM := run
scenarios_XML := support/testing/scenarios/microkit-system.xml
# All puppets are one program.
scenarios_PDS := console pmserver sabotaged-fsserver scenario-client supervisor puppet
scenarios_SIM := scenarios
clients_XML := support/testing/systems/three-clients.xml
clients_PDS := $(region_PDS)
clients_SIM := run
# Each of the clients ends with PASS.
clients_PASSES := 3
bench_XML := support/bench/microkit-system.xml
bench_PDS := console pmserver fsserver bench-client rival puppet
# The same of files on a disk.
disk-bench_XML := support/bench/disk/microkit-system.xml
disk-bench_PDS := console pmserver virtio-blk fsserver disk-bench disk-rival idler
disk-bench_DISK := files
soak_XML := support/testing/systems/soak.xml
soak_PDS := console pmserver sabotaged-fsserver supervisor soak
soak_PASSES := 2
disk_XML := support/testing/systems/disk.xml
# Its driver misbehaves if it is told to, where an IOMMU stops it.
disk_PDS := console pmserver sabotaged-virtio-blk disk-test
disk_SIM := disk
# A disk that make makes anew for each run; and one that does two requests a second.
disk_DISK := quick
slow-disk_XML := $(disk_XML)
slow-disk_PDS := $(disk_PDS)
slow-disk_SIM := $(disk_SIM)
slow-disk_DISK := slow
# What serves a client; and the demo with a client in C in the place of its own. In the simulator that
# is the client's twin.
SERVERS := console pmserver virtio-blk fsserver
c-client_XML := $(demo_XML)
c-client_PDS := $(SERVERS)
c-client_C := support/testing/c-client/main.c
c-client_SIM := c-client
c-client_DISK := files
# What is typed to the shell, unless somebody does.
shell_XML := support/shell/system.xml
shell_PDS := console pmserver virtio-blk sabotaged-fsserver supervisor puppet shell
shell_SIM := run
shell_DISK := files
shell_TYPED := support/shell/session.txt
# The demo with servers that write a trace, and who prints it then.
trace_XML := support/trace/system.xml
trace_PDS := $(demo_PDS) trace-reader
trace_SIM := run
trace_DISK := files
trace_PASSES := 2
# Its disk keeps a log of what is written.
crash_XML := support/testing/systems/crash.xml
crash_PDS := console pmserver virtio-blk sabotaged-fsserver crash-writer
crash_SIM := run
crash_DISK := crash
# The examples: a folder each, with a system file and what is printed. A package has several programs.
SIM_EXAMPLES := hello-container own-server virtual-memory
# In the simulator a heap is the host's.
EXAMPLES := $(SIM_EXAMPLES) heap-on-demand
$(foreach example,$(EXAMPLES),$(eval $(example)_XML := support/examples/$(example)/system.xml))
$(foreach example,$(SIM_EXAMPLES),$(eval $(example)_SIM := run))
SYSTEMS := $(sort $(patsubst %_XML,%,$(filter %_XML,$(.VARIABLES))))
$(if $(call one-of,$(or $(SYSTEM),demo),$(SYSTEMS)),,$(error there is no system '$(SYSTEM)': use one of $(SYSTEMS)))
hello-container_PDS := console pmserver greeter hello
own-server_PDS := console pmserver capitals author
virtual-memory_PDS := console pmserver squares reader
heap-on-demand_PDS := console pmserver hoarder
PACKAGE_greeter := hello-container
PACKAGE_hello := hello-container
PACKAGE_capitals := own-server
PACKAGE_author := own-server
PACKAGE_squares := virtual-memory
PACKAGE_reader := virtual-memory
PACKAGE_hoarder := heap-on-demand
package-of = $(or $(PACKAGE_$(1)),$(1))
C_EXAMPLES := hello-container heap-on-demand
# What fsserver serves: the disk of a system with one, or the image in the boot image.
DISK = $(if $($(SYSTEM)_DISK),$(IMAGE_DIR)/disk.img,build/fs.img)
# A block of the quick one cannot be read.
QEMU_DRIVE = -drive if=none,id=disk,$(QEMU_DRIVE_$($(SYSTEM)_DISK))
QEMU_DRIVE_quick = driver=blkdebug,image.driver=file,image.filename=$(DISK),$(BAD_BLOCK)
QEMU_DRIVE_slow = format=raw,file=$(DISK),throttling.iops-total=2
QEMU_DRIVE_files = format=raw,file=$(DISK)
QEMU_DRIVE_crash = driver=blklogwrites,file.driver=file,file.filename=$(DISK),$(QEMU_LOG)
QEMU_LOG = log.driver=file,log.filename=$(DISK).log
BAD_BLOCK := inject-error.0.event=none,inject-error.0.iotype=read,inject-error.0.sector=16000
# The same two in the simulator.
SIM_DISK = --disk $(DISK) $(SIM_DISK_$($(SYSTEM)_DISK))
SIM_DISK_quick := --bad-block 16000
SIM_DISK_slow := --pace 500000
# What a run reads: the keyboard of who called make, or a file of lines.
KEYBOARD ?=
TYPED = $(if $(KEYBOARD),--keyboard --timeout 1000000,--timeout $(TIMEOUT) $(if $($(SYSTEM)_TYPED),--typed $($(SYSTEM)_TYPED)))
SIM_TYPED = $(if $(KEYBOARD),,$(if $($(SYSTEM)_TYPED),<$($(SYSTEM)_TYPED)))
TERMINAL = $(if $(KEYBOARD),support/make/terminal.sh)
# Looks at it after a run, which had that result.
check-disk = support/make/disk.sh check $(DISK) $(or $($(SYSTEM)_DISK),region); exit $$result

# These use the folder build, so each waits for any other of them that runs in this checkout.
ALONE := run shell trace map scenarios soak ktest fs-image simulate boot image bench bench-check bench-accept
ALONE += test sim-test qemu-test smp-test board-test iommu-test c-test example-test trace-test parts clean
ifneq ($(if $(MAKE_IS_ALONE),,$(filter $(ALONE),$(MAKECMDGOALS))),)
.PHONY: $(MAKECMDGOALS) alone
$(MAKECMDGOALS): alone
	@:
alone:
	@exec support/make/alone.sh $(MAKE) $(MAKECMDGOALS)
else

.PHONY: usage help run shell trace map scenarios soak ktest missing need-cargo need-board fs-image simulate boot image
.PHONY: boot-tool image-tool
.PHONY: test check fuzz fuzz-coverage canary mutants stop explore evidence sim-test qemu-test board-test
.PHONY: smp-test c-test example-test trace-test parts disk-board-test left-out
.PHONY: crash-test sweep pd-check image-check bench bench-check bench-accept bench-growth doc setup sdk clean
usage help:
	@echo 'make run        boots the demo: seL4 in QEMU if the Microkit SDK is there, else the simulator'
	@echo 'make shell      boots the system with a shell on the console; exit ends it'
	@echo 'make trace      runs the demo, and writes who called whom and how long it took, for Perfetto'
	@echo 'make map        draws who holds what while it runs: target/map/BOARD.html, for a browser'
	@echo 'make scenarios  runs the acceptance scenarios on BOARD'
	@echo 'make check      runs formatting, clippy and host tests: for use between edits'
	@echo 'make test       runs every test; says at the end which ones it could not run'
	@echo 'make qemu-test  runs demo, clients, scenarios on BOARD with CONFIG; compares with the simulator'
	@echo 'make smp-test   runs demo and scenarios on two cores, with CONFIG=smp-debug|smp-release'
	@echo 'make sweep      runs the scenarios on BOARD with faster and slower processors'
	@echo 'make soak       reads files on BOARD while fsserver is killed, for SECONDS=$(SECONDS); SEED=n'
	@echo 'make ktest      compares the kernel of BOARD with the model of it; SEED=n draws others'
	@echo 'make c-test     runs the client and the examples in C on BOARD; compares what they print'
	@echo 'make example-test   runs the examples on BOARD; compares what they print'
	@echo 'make trace-test   makes a trace on BOARD, and measures what it costs'
	@echo 'make parts      the servers for BOARD and the image tool, for other systems, to PARTS'
	@echo 'make bench      prints what operations cost on BOARD, in instructions'
	@echo 'make bench-growth   how they grow with the books, counted on the host by valgrind'
	@echo 'make bench-check    fails if one costs more than accepted; bench-accept accepts'
	@echo 'make fuzz       runs random operations against the reference model; SEED=n repeats a run'
	@echo 'make fuzz-coverage   the same guided by coverage, decoding and ext4, too; SECONDS=n for each'
	@echo 'make canary     takes one protection out at a time: a test has to fail for each'
	@echo 'make stop       stops domains at every call, refuses every kernel invocation; RUNS'
	@echo 'make crash-test cuts the power of a disk, and stops fsserver, while files change; RUNS'
	@echo 'make explore    tries every order of calls in small systems, STATES of each'
	@echo 'make mutants    changes single expressions of the cores: a test has to fail; SHARD=k/n'
	@echo 'make evidence   runs all of this and more, and writes support/docs/evidence.md'
	@echo 'make doc        the documentation of the crates for programs, in target/doc/index.html'
	@echo 'make setup      installs the packages needed, with apt; may be run again'
	@echo 'make sdk        downloads the Microkit SDK 2.3.0 to MICROKIT_SDK'
	@echo 'make clean      removes everything that make has made'
	@echo 'make image      makes the boot image of SYSTEM for any BOARD of support/docs/boards.md'
	@printf '\n%s\n' 'BOARD=sim|$(subst $() $(),|,$(BOARDS))'
	@echo '                                            where to run'
	@echo 'CONFIG=debug|release|smp-debug|smp-release  which kernel           ($(CONFIG))'
	@echo 'CORE_1=names                                domains on the second core, with an SMP kernel'
	@echo 'SYSTEM=name                                 which system: demo, hello-container, own-server, ...'
	@echo 'ICOUNT=n                                    an instruction takes 2^n ns; empty: as it comes'
	@echo "FILES=folder                                what fsserver serves   ($$FILES)"
	@echo 'IMAGE=file                                  the same, an image: a copy, unless WRITE=yes'
	@echo 'MICROKIT_SDK=folder                         where the SDK is       ($(MICROKIT_SDK))'

# Runs a system on BOARD. Without BOARD: on x86_64_generic if that is possible, else in the
# simulator. What it chose, and why, goes to standard error, in a line of its own.
scenarios: SYSTEM := scenarios
shell: SYSTEM := shell
shell: KEYBOARD := yes
trace: SYSTEM := trace
ifeq ($(BOARD),)
run scenarios shell trace: need-cargo
	@missing=$$($(MAKE) missing BOARD=x86_64_generic); \
	if [ -z "$$missing" ]; then \
	  echo "make $@: seL4 on x86_64_generic, with the Microkit SDK at $$MICROKIT_SDK" >&2; \
	  exec $(MAKE) $@ BOARD=x86_64_generic; \
	fi; \
	printf '%s\n' "make $@: THIS IS THE SIMULATOR, NOT seL4, because something is missing:" \
	  "make $@: $$missing" >&2; \
	exec $(MAKE) $@ BOARD=sim
else
run scenarios shell: need-cargo
ifeq ($(BOARD),sim)
	@exec $(MAKE) simulate SYSTEM=$(SYSTEM) KEYBOARD=$(KEYBOARD)
else
ifeq ($(origin SYSTEM)-$(SYSTEM),file-region)
	@echo 'make $@: there is no driver for a disk of $(BOARD): the files are in memory (SYSTEM=region)' >&2
endif
	@exec $(MAKE) boot SYSTEM=$(SYSTEM) KEYBOARD=$(KEYBOARD)
endif
# The demo with servers that write a trace, which is made a file for Perfetto.
trace: need-cargo
	@mkdir -p $(OUT)
	@$(MAKE) $(if $(filter sim,$(BOARD)),simulate,boot) SYSTEM=$(SYSTEM) TRACE=yes \
	  | tee $(OUT)/$(SYSTEM).log | { grep -v '^trace ' || true; }
	@$(COMPILE) 'what makes a file of the trace' cargo build --package trace-json
	@cargo run --quiet --package trace-json -- --system $($(SYSTEM)_XML) \
	  --transcript $(OUT)/$(SYSTEM).log --output target/trace/$(BOARD).json
endif

# A picture of the shell's system, in the simulator or on BOARD, while memory is lent.
map: need-cargo
	@support/make/map.sh '$(MAKE)' $(or $(BOARD),sim)

# Prints the first thing that is missing to run BOARD with CONFIG; nothing if all is there.
missing:
	@support/make/toolchain.sh missing
need-cargo:
	@command -v cargo >/dev/null || \
	  { echo 'cargo is not installed: install it from https://rustup.rs' >&2; exit 1; }
need-board: need-cargo
	@[ "$(filter $(BOARD),$(ALL_BOARDS))" ] || \
	  { echo 'this needs a board: add one of $(BOARDS:%=BOARD=%), or of support/docs/boards.md' >&2; exit 1; }
	@missing=$$($(MAKE) missing); [ -z "$$missing" ] || { echo "$$missing" >&2; exit 1; }

# What fsserver serves; made on every run, because FILES or IMAGE may have changed.
fs-image:
	@support/make/disk.sh make $(DISK) $(or $($(SYSTEM)_DISK),region)

simulate: need-cargo fs-image
	@[ "$($(SYSTEM)_SIM)" ] || { echo '$(SYSTEM) does not run in the simulator: use a board' >&2; exit 1; }
	@$(COMPILE) 'the simulator (a few minutes the first time)' cargo build --package sim
	@result=0; $(TERMINAL) cargo run --quiet --package sim -- $($(SYSTEM)_SIM) $(WITH:%=-%) --system $($(SYSTEM)_XML) \
	  $(if $($(SYSTEM)_DISK),$(SIM_DISK),--image $(DISK)) $(SIM_TYPED) || result=$$?; $(check-disk)

boot: image boot-tool
	@[ "$(QEMU)" ] || { echo '$(SYSTEM) was NOT run: QEMU has no $(BOARD)' >&2; exit 1; }
	@result=0; $(TERMINAL) $(BOOT) run $(TYPED) --passes $(or $($(SYSTEM)_PASSES),1) \
	  --transcript $(OUT)/$(SYSTEM).txt -- $(QEMU) $(QEMU_FLAGS) $(if $($(SYSTEM)_DISK),$(QEMU_DISK)) \
	  || result=$$?; $(check-disk)

boot-tool: need-cargo
	@$(COMPILE) 'what starts QEMU and reads its console (about 10 seconds the first time)' \
	  cargo build --package boot
image-tool: need-cargo
	@$(COMPILE) 'the tool that makes boot images (about half a minute the first time)' \
	  cargo build $(IMAGE_TOOL)

# Builds the protection domains $(1) into the folder $(2). TRACE=yes: servers that write a trace.
define build-pds
	@mkdir -p $(2)
	@$(COMPILE) 'the protection domains for $(BOARD), $(CONFIG) (about 1 minute the first time)' \
	  $(PDS) build $(SEL4) --release --target-dir $(PD_TARGET_DIR) \
	  $(addprefix --package ,$(sort $(foreach pd,$(1),$(call package-of,$(pd))))) \
	  $(if $(TRACE),--features pmserver/trace)
	@for pd in $(1); do cp $(PD_TARGET_DIR)/$(TARGET)/release/$$pd $(2)/$$pd.elf; done
endef
# The system file; with CORE_1, a copy in which those are on another core, and nobody is passive.
SYSTEM_FILE = $(if $(CORE_1),$(IMAGE_DIR)/system.xml,$($(SYSTEM)_XML))
image: need-board fs-image image-tool
	@[ -z "$($(SYSTEM)_DISK)" ] || [ "$(HAS_DISK)" ] || \
	  { echo 'SYSTEM=$(SYSTEM) needs a disk, and there is no driver for one of $(BOARD): use SYSTEM=$(DEMO)' >&2; exit 1; }
	$(call build-pds,$($(SYSTEM)_PDS),$(IMAGE_DIR))
	@$(if $($(SYSTEM)_C),support/make/c.sh build $($(SYSTEM)_C) $(IMAGE_DIR)/client-demo.elf)
	@$(if $(CORE_1),sed -e 's/ passive="true"//' $(CORE_1:%=-e 's/<protection_domain name="%"/& cpu="1"/') $($(SYSTEM)_XML) >$(SYSTEM_FILE))
	@cargo run --quiet $(IMAGE_TOOL) -- --sdk "$$MICROKIT_SDK" --board $(BOARD) \
	  --config $(CONFIG) --search-path $(IMAGE_DIR) build --output $(IMAGE_DIR)/loader.img \
	  --report $(IMAGE_DIR)/report.txt $(IMAGE_FLAGS) $(SYSTEM_FILE)
	@[ -z "$(filter image,$(MAKECMDGOALS))" ] || \
	  echo 'make: the image is $(IMAGE_DIR)/loader.img$(if $(ON_THE_BOARD),; on the board: $(ON_THE_BOARD))' >&2

# What a system of somebody else's needs for BOARD with CONFIG, in the folder PARTS: the servers, and the
# tool that makes images; and the programs of the package in the folder CRATE, if there is one.
PARTS ?= $(OUT)/parts
parts: need-board image-tool
	$(call build-pds,$(SERVERS),$(PARTS))
	@cp $(or $(CARGO_TARGET_DIR),target)/debug/image $(PARTS)/image
	@$(if $(CRATE),$(PDS) build --quiet --manifest-path $(CRATE)/Cargo.toml --release \
	  --target-dir $(PD_TARGET_DIR) -Z unstable-options --artifact-dir $(PARTS)/programs)
	@$(if $(CRATE),for pd in $(PARTS)/programs/*; do cp $$pd $(PARTS)/$$(basename $$pd).elf; done)

# The tests. `check` and `sim-test` need only published crates and mke2fs.
check: need-cargo
	@support/make/check.sh

sim-test:
	@mkdir -p $(SIM)
	$(MAKE) simulate SYSTEM=demo BOARD=sim >$(SIM)/demo.txt || { cat $(SIM)/demo.txt; exit 1; }
	support/make/verify.sh $(SIM)/demo.txt "$$FILES" $(SIM)/demo/disk.img
	support/make/restart.sh '$(MAKE)' sim $(SIM)
	$(MAKE) simulate SYSTEM=region BOARD=sim >$(SIM)/region.txt || { cat $(SIM)/region.txt; exit 1; }
	support/make/verify.sh $(SIM)/region.txt "$$FILES"
	$(MAKE) simulate SYSTEM=clients BOARD=sim >$(SIM)/clients.txt || { cat $(SIM)/clients.txt; exit 1; }
	$(MAKE) simulate SYSTEM=scenarios BOARD=sim | tee $(SIM)/scenarios.txt
	$(MAKE) simulate SYSTEM=c-client BOARD=sim | tee $(SIM)/c-client.txt
	$(MAKE) simulate SYSTEM=disk BOARD=sim | tee $(SIM)/disk.txt
	$(MAKE) simulate SYSTEM=slow-disk BOARD=sim | tee $(SIM)/slow-disk.txt
	$(MAKE) simulate SYSTEM=shell BOARD=sim | tee $(SIM)/shell.txt
	$(MAKE) example-test BOARD=sim

qemu-test: sim-test board-test
board-test: need-board $(if $(HAS_DISK),disk-board-test)
	$(MAKE) boot SYSTEM=region
	$(BOOT) compare $(SIM)/region.txt $(OUT)/region.txt
	$(MAKE) boot SYSTEM=clients
	$(BOOT) compare $(SIM)/clients.txt $(OUT)/clients.txt
	$(MAKE) boot SYSTEM=scenarios
	$(BOOT) compare $(SIM)/scenarios.txt $(OUT)/scenarios.txt
	$(MAKE) c-test
	@$(MAKE) left-out
# The tests of a disk.
disk-board-test:
	$(MAKE) boot SYSTEM=demo
	$(BOOT) compare $(SIM)/demo.txt $(OUT)/demo.txt
	support/make/verify.sh $(OUT)/demo.txt "$$FILES" $(OUT)/demo/disk.img
	support/make/restart.sh '$(MAKE)' $(BOARD) $(OUT)
	$(BOOT) compare $(SIM)/restarted.txt $(OUT)/restarted.txt
	$(MAKE) boot SYSTEM=disk
	$(BOOT) compare $(SIM)/disk.txt $(OUT)/disk.txt
	$(MAKE) boot SYSTEM=slow-disk
	$(BOOT) compare $(SIM)/slow-disk.txt $(OUT)/slow-disk.txt
	$(MAKE) boot SYSTEM=shell
	$(BOOT) compare $(SIM)/shell.txt $(OUT)/shell.txt
	@if [ "$(QEMU_HAS_IOMMU)" = no ]; then echo 'an IOMMU was NOT tried: $(QEMU) has none'; \
	  elif [ "$(QEMU_HAS_IOMMU)" ]; then $(MAKE) iommu-test IOMMU=yes; fi
# Systems with a disk again, which an IOMMU confines.
iommu-test: need-board
	@[ '$(IOMMU)' = yes ] || { echo 'say IOMMU=yes' >&2; exit 1; }
	@mkdir -p $(SIM)
	$(MAKE) simulate SYSTEM=demo BOARD=sim >$(SIM)/demo.txt
	$(MAKE) boot SYSTEM=demo
	$(BOOT) compare $(SIM)/demo.txt $(OUT)/demo.txt
	support/make/verify.sh $(OUT)/demo.txt "$$FILES" $(OUT)/demo/disk.img
	$(MAKE) simulate SYSTEM=disk BOARD=sim >$(SIM)/disk.txt
	$(MAKE) boot SYSTEM=disk
	$(BOOT) compare $(SIM)/disk.txt $(OUT)/disk.txt
	$(MAKE) simulate SYSTEM=slow-disk BOARD=sim >$(SIM)/slow-disk.txt
	$(MAKE) boot SYSTEM=slow-disk
	$(BOOT) compare $(SIM)/slow-disk.txt $(OUT)/slow-disk.txt
# The demo with its driver on another core, and the scenarios with four of their domains there. What
# waits for another core takes longer: the clock is slower, where the board's file says how slow.
CORE_1_OF_SCENARIOS := $(foreach number,1 2 3 4,puppet-$(number))
smp-test: need-board
	@[ '$(filter $(SMP_CONFIGS),$(CONFIG))' ] || { echo 'say CONFIG=smp-debug or CONFIG=smp-release' >&2; exit 1; }
	$(MAKE) boot SYSTEM=demo CORE_1=virtio-blk
	$(BOOT) compare $(SIM)/demo.txt $(OUT)/demo.txt
	support/make/verify.sh $(OUT)/demo.txt "$$FILES" $(OUT)/demo/disk.img
	@if [ '$(ICOUNT_OF_CORES)' ]; then \
	  $(MAKE) boot SYSTEM=scenarios TIMEOUT=600 ICOUNT=$(ICOUNT_OF_CORES) CORE_1='$(CORE_1_OF_SCENARIOS)' && \
	  $(BOOT) compare $(SIM)/scenarios.txt $(OUT)/scenarios.txt; \
	else echo 'the scenarios were NOT run on two cores of $(BOARD)'; fi
# Prints which tests BOARD cannot run, and why.
left-out:
	@[ "$(HAS_DISK)" ] || \
	  echo 'demo, disk test and C client were NOT run on $(BOARD): there is no driver for a disk of it'
	@[ "$(HAS_KTEST)" ] || \
	  echo 'the kernel was NOT tested on $(BOARD): the test has no $(or $(KTEST_LACKS),driver for its serial port)'
# What is in C: it needs a compiler of its own.
c-test: need-board
	@missing=$$(support/make/c.sh missing); \
	if [ -n "$$missing" ]; then echo "programs in C were NOT run: $$missing"; else \
	  $(if $(HAS_DISK),$(MAKE) boot SYSTEM=c-client && \
	  $(BOOT) compare $(SIM)/c-client.txt $(OUT)/c-client.txt &&) \
	  $(MAKE) $(C_EXAMPLES:%=c-example-test-%) own-system-test-c; fi
# The examples in C, by their own Makefiles.
c-example-test-%: IMAGE_DIR = $(OUT)/$*-c
c-example-test-%: boot-tool
	@$(MAKE) -C support/examples/$*/c PMSERVER=$(CURDIR) BUILD_DIR=$(CURDIR)/$(IMAGE_DIR) \
	  MICROKIT_BOARD=$(BOARD) MICROKIT_CONFIG=$(CONFIG)
	@$(BOOT) run --timeout $(TIMEOUT) --transcript $(IMAGE_DIR).txt -- $(QEMU) $(QEMU_FLAGS)
	@$(BOOT) compare support/examples/$*/expected.txt $(IMAGE_DIR).txt
# Systems out of the tree, made as the page on that says: the SDK's example in C, and a package in Rust.
own-system-test-%: IMAGE_DIR = $(OUT)/own-system-$*/build
own-system-test-%: boot-tool
	@support/make/own-system.sh $* $(OUT)/own-system-$*
	@$(BOOT) run --timeout $(TIMEOUT) --transcript $(OUT)/own-system-$*.txt -- $(QEMU) $(QEMU_FLAGS)
# The examples in Rust, on BOARD or in the simulator.
example-test: $(patsubst %,example-test-%,$(if $(filter sim,$(BOARD)),$(SIM_EXAMPLES),$(EXAMPLES)))
ifneq ($(BOARD),sim)
example-test: own-system-test-rust
endif
example-test-%: need-cargo boot-tool
	@mkdir -p $(OUT)
	@$(MAKE) $(if $(filter sim,$(BOARD)),simulate SYSTEM=$* | tee $(OUT)/$*.txt,boot SYSTEM=$*)
	@$(BOOT) compare support/examples/$*/expected.txt $(OUT)/$*.txt
# The scenarios under every clock of ICOUNTS, and twice under the chosen one.
sweep: need-board sim-test
	@support/make/sweep.sh '$(MAKE)' $(OUT) $(SIM)/scenarios.txt $(ICOUNT) $(ICOUNTS)
# What operations cost, in instructions; and whether one costs more than the accepted figures say.
bench bench-check bench-accept: need-board
	@support/make/bench.sh '$(MAKE)' $(or $(patsubst bench-%,%,$(filter bench-%,$@)),table)
bench-growth: need-cargo
	@support/make/growth.sh
# Twelve seconds of the board's clock are setup and end; a second of it may take several.
soak: need-board
	@SOAK_SECONDS=$(SECONDS) SOAK_SEED=$(SEED) $(MAKE) boot SYSTEM=soak \
	  TIMEOUT=$$(($(SECONDS) * 10 + 300))
	@echo 'soak: $(BOARD), $(CONFIG), seconds $(SECONDS), and all memory is back'
# A trace, and what writing it costs.
trace-test: need-board
	@if [ "$(HAS_DISK)" ]; then $(MAKE) trace; else echo 'a trace was NOT made on $(BOARD): it has no disk'; fi
	@support/make/trace-cost.sh '$(MAKE)'
ktest: need-board image-tool boot-tool
	@[ -z "$(HAS_KTEST)" ] || support/make/ktest.sh $(OUT) $(QEMU) $(subst $(IMAGE_DIR),$(OUT)/ktest,$(QEMU_FLAGS))

pd-check: need-board
	@$(PDS) clippy $(SEL4) --quiet --release --target-dir $(PD_TARGET_DIR) --workspace --exclude image \
	  -- -D warnings
image-check: need-cargo
	cargo clippy --quiet $(IMAGE_TOOL) --all-targets -- -D warnings
	cargo test --quiet $(IMAGE_TOOL)

# Without SEED every run has a new one; a failure prints the command that repeats it.
fuzz: need-cargo
	@$(COMPILE) 'the simulator, optimised (about 2 minutes the first time)' \
	  cargo build --release --package sim
	@cargo run --quiet --release --package sim -- fuzz pm $(SEED) --seeds 50
fuzz-coverage: need-cargo
	@support/make/fuzz-coverage.sh $(or $(SECONDS),60)

# Long runs: each call and each kernel invocation of the demo and the scenarios, one run for each.
stop: need-cargo
	@$(COMPILE) 'the simulator, optimised (about 2 minutes the first time)' \
	  cargo build --release --package sim
	@support/make/fs-image.sh support/files build/stop.img
	@support/make/fs-image.sh support/files build/stop-disk.img files
	@for system in $(region_XML) $(scenarios_XML) $(disk_XML) $(demo_XML); do \
	  image=build/stop.img; [ $$system != $(demo_XML) ] || image=build/stop-disk.img; \
	  cargo run --quiet --release --package sim -- stop $(if $(RUNS),--sample $(RUNS)) \
	    --system $$system --image $$image || exit 1; \
	done

# Every order of what the peers of small systems can do, up to STATES states of each system.
STATES ?= 200000
# fsserver on a disk: the power is cut RUNS times, and fsserver is stopped RUNS times.
ifeq ($(filter $(BOARDS),$(BOARD)),)
crash-test: need-cargo
	@VOLUME_CUTS=$(or $(RUNS),1000) cargo test --quiet --package fsserver-volume --test suite -- power:: --nocapture
	@RUNS=$(or $(RUNS),1000) cargo test --quiet --package sim --test files -- crash:: --nocapture
else
crash-test: need-board
	@if [ "$(HAS_DISK)" ]; then support/make/crash.sh '$(MAKE)' $(OUT) $(or $(RUNS),50); \
	else echo 'the crash test was NOT run on $(BOARD): it has no disk'; fi
endif

explore: need-cargo
	@$(COMPILE) 'the simulator, optimised (about 2 minutes the first time)' \
	  cargo build --release --package sim
	@cargo run --quiet --release --package sim -- explore --states $(STATES)

canary: need-cargo
	@support/make/canary.sh
# Every nth change of the cores, from the kth on, with SHARD=k/n.
mutants: need-cargo
	@SHARD='$(SHARD)' support/make/mutants.sh
# EVIDENCE=short takes minutes for each row, EVIDENCE=long takes hours; ROWS are some rows only.
evidence: need-cargo
	@EVIDENCE='$(EVIDENCE)' support/make/evidence.sh '$(MAKE)' '$(BOARDS)' $(ROWS)

test: check sim-test boot-tool
	[ "$$FILES" != support/files ] || $(BOOT) compare support/testing/boot/expected/demo.txt $(SIM)/demo.txt
	@support/make/test-sel4.sh '$(MAKE)' '$(BOARDS)' '$(CONFIGS)'

doc: need-cargo
	@support/make/crates.sh doc
setup:
	@support/make/setup.sh
sdk:
	@support/make/sdk.sh "$$MICROKIT_SDK"
clean:
	rm -rf build target support/sel4/target

endif
