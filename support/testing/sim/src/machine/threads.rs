// SPDX-License-Identifier: BSD-2-Clause
//! Threads and notifications, as far as the system uses them: registers and flags. Scheduling is
//! the business of who runs the machine.

use std::collections::BTreeMap;

/// What the machine knows of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thread {
    /// Where it goes on.
    pub pc: u64,
    /// Its stack pointer.
    pub sp: u64,
    /// How often its registers were written from outside.
    pub writes: u64,
    /// Whether the last write also made it run.
    pub is_resumed: bool,
    /// Whether its fault handler was taken away: its next fault ends it.
    pub is_retired: bool,
}

/// All threads and notifications, by physical address.
#[derive(Default)]
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

    /// Forgets what lies in a range of memory that is cleared.
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

    /// Takes the flags of a notification.
    pub(crate) fn poll(&mut self, base: u64) -> u64 {
        self.notifications.get_mut(&base).map_or(0, std::mem::take)
    }
}
