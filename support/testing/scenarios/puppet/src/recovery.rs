// SPDX-License-Identifier: BSD-2-Clause
//! Where a puppet continues after a fault: it forgets what it was told, answers the caller of the
//! order that it has faulted, and waits for the next order.

use pd::recovery::{self, Event, Recovered};
use pmserver_client::{Pm, Transport};
use puppet_core::{Puppet, faulted};
use shm::OwnMemory;

use crate::PMSERVER;

/// Tells pmserver where the puppet continues after its next fault. If that is refused, the next
/// fault stops the puppet, and a scenario fails.
pub(crate) fn register<T: Transport>(pm: &Pm<T>) {
    let _ = recovery::register(pm, recover);
}

extern "C" fn recover() -> ! {
    let kernel = Recovered::enter();
    register(&Pm::new(kernel.channel(PMSERVER)));
    let mut puppet = Puppet::new(kernel.channel(PMSERVER), OwnMemory, &kernel);
    kernel.serve(faulted(), |event| match event {
        Event::Request { message, .. } => Some(match message {
            Ok(request) => puppet.call(&request),
            Err(error) => error.reply(),
        }),
        Event::Notification => {
            puppet.notified();
            None
        }
    })
}
