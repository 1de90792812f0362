// SPDX-License-Identifier: BSD-2-Clause
//! Measures what happens between two readings of the processor's counter, of which QEMU makes an
//! instruction counter (`-icount shift=0`: an instruction takes 1 ns), and how often threads
//! entered the kernel meanwhile, if the kernel counts that.

/// Instructions per second: one a nanosecond.
const INSTRUCTIONS_PER_SECOND: u64 = 1_000_000_000;
/// A tick of aarch64's counter is so many instructions. Measurements begin at so many different
/// distances from a tick, so that their mean is exact to less than an instruction.
const PHASES: u64 = 16;
/// Rounds of a measurement.
pub(crate) const ROUNDS: u64 = 2 * PHASES;

/// How often the threads of the client, of pmserver and of fsserver entered the kernel.
#[derive(Clone, Copy, Default)]
pub(crate) struct Entries {
    pub(crate) client: u64,
    pub(crate) pmserver: u64,
    pub(crate) fsserver: u64,
}

impl Entries {
    fn zip(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            client: with(self.client, other.client),
            pmserver: with(self.pmserver, other.pmserver),
            fsserver: with(self.fsserver, other.fsserver),
        }
    }
}

/// Adds up measurements of the same operation.
#[derive(Clone, Copy, Default)]
pub(crate) struct Meter {
    ticks: u64,
    /// The fewest of a measurement: a timer interrupt enters the kernel, too.
    entries: Option<Entries>,
    times: u64,
}

impl Meter {
    /// Does `operation` and adds what it took.
    pub(crate) fn time<R>(&mut self, operation: impl FnOnce() -> R) -> R {
        wait_for_phase(self.times % PHASES);
        let entries = entries();
        let start = pd::counter().0;
        let result = core::hint::black_box(operation());
        let end = pd::counter().0;
        let entered = self::entries().zip(entries, u64::wrapping_sub);
        self.ticks = self.ticks.saturating_add(end.wrapping_sub(start));
        self.entries = Some(self.entries.unwrap_or(entered).zip(entered, u64::min));
        self.times = self.times.saturating_add(1);
        result
    }

    /// Returns how often something was measured.
    pub(crate) fn times(&self) -> u64 {
        self.times
    }

    /// Returns the instructions of all measurements, less those of measuring.
    pub(crate) fn instructions(&self) -> u64 {
        let empty = Self::of_nothing();
        let measuring =
            empty.raw_instructions().saturating_mul(self.times).checked_div(empty.times);
        self.raw_instructions().saturating_sub(measuring.unwrap_or_default())
    }

    /// Returns the instructions of one measurement.
    pub(crate) fn instructions_each(&self) -> u64 {
        self.instructions().checked_div(self.times).unwrap_or_default()
    }

    /// Returns the entries of one measurement, less those of measuring.
    pub(crate) fn entries(&self) -> Entries {
        let [all, measuring] =
            [*self, Self::of_nothing()].map(|meter| meter.entries.unwrap_or_default());
        all.zip(measuring, u64::saturating_sub)
    }

    fn of_nothing() -> Self {
        let mut empty = Self::default();
        for _ in 0..ROUNDS {
            empty.time(|| ());
        }
        empty
    }

    fn raw_instructions(&self) -> u64 {
        instructions_of(self.ticks)
    }
}

/// Returns how many instructions so many ticks are.
pub(crate) fn instructions_of(ticks: u64) -> u64 {
    let per_tick = match pd::counter().1 {
        Some(per_second) => INSTRUCTIONS_PER_SECOND.checked_div(per_second),
        // The time stamp counter of QEMU's processor counts nanoseconds.
        None => Some(1),
    };
    ticks.saturating_mul(per_tick.unwrap_or_default())
}

/// Waits for the next tick, and then for some instructions more.
#[inline(never)]
fn wait_for_phase(phase: u64) {
    let now = pd::counter().0;
    while pd::counter().0 == now {}
    for step in 0..phase {
        core::hint::black_box(step);
    }
}

sel4::sel4_cfg_if! {
    if #[sel4_cfg(BENCHMARK_TRACK_UTILISATION)] {
        /// Root slots of the threads whose entries are counted.
        const CLIENT: u64 = 16;
        const PMSERVER: u64 = 17;
        const FSSERVER: u64 = 18;
        /// Where the kernel writes how often a thread has entered it (seL4's
        /// `BENCHMARK_TCB_NUMBER_KERNEL_ENTRIES`).
        const KERNEL_ENTRIES: usize = 3;

        /// Whether the kernel counts entries. Instructions are not to be believed then: counting
        /// takes some, too.
        pub(crate) const COUNTS_ENTRIES: bool = true;

        /// Makes the kernel count. Called once.
        pub(crate) fn begin() {
            // It never fails without a log buffer.
            let _ = sel4::benchmark_reset_log();
        }

        fn entries() -> Entries {
            let of = |slot: u64| {
                // CAP: threads that the system file lets the client ask about. Nothing changes.
                sel4::benchmark_get_thread_utilisation(sel4::Cap::from_bits(slot << 58));
                sel4_microkit::with_msg_regs(|registers| {
                    registers.get(KERNEL_ENTRIES).copied().unwrap_or_default()
                })
            };
            Entries { client: of(CLIENT), pmserver: of(PMSERVER), fsserver: of(FSSERVER) }
        }
    } else {
        /// Whether the kernel counts entries.
        pub(crate) const COUNTS_ENTRIES: bool = false;

        /// Does nothing: this kernel does not count.
        pub(crate) fn begin() {}

        fn entries() -> Entries {
            Entries::default()
        }
    }
}
