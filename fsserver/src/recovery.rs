// SPDX-License-Identifier: BSD-2-Clause
//! Where fsserver continues after a fault or a rescue: it drops all its state, answers the caller
//! that waits with `Restarted`, and serves on from the image.

use fsserver_api::{Failure, FsError};
use pd::recovery::{self, Event, Recovered};
use pmserver_client::{Error, Pm, Transport};

use crate::program::Program;
use crate::{PMSERVER, answer, build, refused, regions};

/// Tells pmserver where the domain continues after its next fault.
pub(crate) fn register<P: Program, T: Transport>(pm: &Pm<T>) -> Result<(), Error> {
    recovery::register(pm, recover::<P>)
}

extern "C" fn recover<P: Program>() -> ! {
    regions::install_heap();
    let kernel = Recovered::enter();
    let pm = Pm::new(kernel.channel(PMSERVER));
    let mut service = build::<P, _>(kernel.channel(PMSERVER))
        .and_then(|server| register::<P, _>(&pm).map(|()| server).map_err(refused));
    kernel.serve(Failure::from(FsError::Restarted).reply(), |event| match event {
        Event::Request { channel, message } => Some(answer::<P, _>(&mut service, channel, message)),
        // Nobody has a reason to notify fsserver.
        Event::Notification => None,
    })
}
