// SPDX-License-Identifier: BSD-2-Clause
//! Where a puppet continues after a fault: it forgets what it was told, answers the caller of the
//! order that it has faulted, and waits for the next order; unless it was told to do otherwise.

use core::sync::atomic::{AtomicU8, Ordering};

use pd::recovery::{self, Event, Recovered};
use pmserver_client::{Pm, Transport};
use proto::{AddressSpace, Message};
use puppet_core::{Puppet, Recovery, faulted};
use shm::OwnMemory;

use crate::PMSERVER;

/// Tells pmserver where the puppet continues after its next fault. If that is refused, the next
/// fault stops the puppet, and a scenario fails.
pub(crate) fn register<T: Transport>(pm: &Pm<T>) {
    let _ = recovery::register(pm, recover);
}

/// What to do at the entry, as a number.
static PLAN: AtomicU8 = AtomicU8::new(0);

/// Remembers what to do at the entry, if a request is about that.
pub(crate) fn plan(request: &Message) {
    if let Some(recovery) = Recovery::of(request) {
        PLAN.store(recovery.number(), Ordering::Relaxed);
    }
}

extern "C" fn recover() -> ! {
    let kernel = Recovered::enter();
    let planned = Recovery::from_number(PLAN.load(Ordering::Relaxed)).unwrap_or_default();
    if planned.registers() {
        register(&Pm::new(kernel.channel(PMSERVER)));
    }
    while planned.hangs() {
        OwnMemory.relax();
    }
    let mut puppet = Puppet::new(kernel.channel(PMSERVER), OwnMemory, &kernel);
    kernel.serve(faulted(), |event| match event {
        Event::Request { message, .. } => Some(match message {
            Ok(request) => {
                plan(&request);
                puppet.call(&request)
            }
            Err(error) => error.reply(),
        }),
        Event::Notification => {
            puppet.notified();
            None
        }
    })
}
