// SPDX-License-Identifier: BSD-2-Clause
//! Threads and notifications: only the registers and flags that the system uses. The user of the
//! machine schedules the threads.

use std::collections::BTreeMap;

/// The modelled state of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thread {
    /// The program counter.
    pub pc: u64,
    /// The stack pointer.
    pub sp: u64,
    /// How often another thread wrote its registers.
    pub writes: u64,
    /// Whether the last write also resumed it.
    pub is_resumed: bool,
    /// Whether its fault handler was removed, so that its next fault ends it.
    pub is_retired: bool,
}

/// All threads and notifications, keyed by physical address.
#[derive(Clone, Default)]
pub(crate) struct Threads {
    threads: BTreeMap<u64, Thread>,
    notifications: BTreeMap<u64, u64>,
}

impl Threads {
    pub(crate) fn add_thread(&mut self, base: u64) {
        self.threads.insert(base, Thread::default());
    }

    pub(crate) fn add_notification(&mut self, base: u64) {
        self.notifications.insert(base, 0);
    }

    /// Removes the objects in a range of memory that is cleared.
    pub(crate) fn clear(&mut self, start: u64, bytes: u64) {
        self.threads.retain(|base, _| !(start..start + bytes).contains(base));
        self.notifications.retain(|base, _| !(start..start + bytes).contains(base));
    }

    pub(crate) fn thread(&self, base: u64) -> Thread {
        self.threads.get(&base).copied().unwrap_or_default()
    }

    pub(crate) fn write_registers(&mut self, base: u64, pc: u64, sp: u64, resume: bool) {
        let thread = self.threads.entry(base).or_default();
        *thread = Thread { pc, sp, writes: thread.writes + 1, is_resumed: resume, ..*thread };
    }

    pub(crate) fn retire(&mut self, base: u64) {
        self.threads.entry(base).or_default().is_retired = true;
    }

    pub(crate) fn signal(&mut self, base: u64, badge: u64) {
        *self.notifications.entry(base).or_default() |= badge;
    }

    /// Returns and clears the flags of a notification.
    pub(crate) fn poll(&mut self, base: u64) -> u64 {
        self.notifications.get_mut(&base).map_or(0, std::mem::take)
    }
}
