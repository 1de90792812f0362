// SPDX-License-Identifier: BSD-2-Clause
//! Where fsserver goes on after a fault, or after a rescue (decision D11): drops all its state, tells
//! the pending caller so, and serves on from the image.

use fsserver_api::{Failure, FsError};
use pd::recovery::{self, Event, Recovered};
use pmserver_api::CallError;
use proto::Transport;

use crate::{PMSERVER, answer, new_service, refused, regions};

/// Tells pmserver where to go on after the next fault.
pub(crate) fn register<T: Transport>(pm: &mut pmserver_api::Calls<T>) -> Result<(), CallError> {
    recovery::register(pm, recover)
}

extern "C" fn recover() -> ! {
    regions::install_heap();
    let kernel = Recovered::enter();
    let mut pm = pmserver_api::Calls::new(kernel.channel(PMSERVER));
    let mut service = new_service(kernel.channel(PMSERVER))
        .and_then(|server| register(&mut pm).map(|()| server).map_err(refused));
    kernel.serve(Failure::from(FsError::Restarted).reply(), |event| match event {
        Event::Request { channel, message } => Some(answer(&mut service, channel, message)),
        // Nobody has a reason to notify fsserver.
        Event::Notification => None,
    })
}
