// SPDX-License-Identifier: BSD-2-Clause
//! Where a puppet goes on after a fault: forgets what it was told, tells who told it that it has
//! faulted, and is there for the next.

use pd::recovery::{self, Event, Recovered};
use proto::Transport;
use puppet_core::{Puppet, faulted};
use shm::OwnMemory;

use crate::PMSERVER;

/// Tells pmserver where to go on after the next fault. Where that is refused, the next fault stops
/// the puppet, which a scenario will notice.
pub(crate) fn register<T: Transport>(pm: &mut pmserver_api::Calls<T>) {
    let _ = recovery::register(pm, recover);
}

extern "C" fn recover() -> ! {
    let kernel = Recovered::enter();
    let mut pm = pmserver_api::Calls::new(kernel.channel(PMSERVER));
    register(&mut pm);
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
