// SPDX-License-Identifier: BSD-2-Clause
//! Where fsserver continues after a fault or a rescue: it drops all its state, answers the caller
//! that waits with `Restarted`, and serves on from the disk.

use alloc::boxed::Box;

use fsserver_api::{Failure, FsError};
use pd::Trace;
use pd::recovery::{self, Event, Recovered};
use pmserver_client::{Error, Pm, Transport};

use crate::program::Program;
use crate::{PMSERVER, answer, build, notify, refused, regions, wake};

/// Tells pmserver where the domain continues after its next fault.
pub(crate) fn register<P: Program, T: Transport>(pm: &Pm<T>) -> Result<(), Error> {
    recovery::register(pm, recover::<P>)
}

extern "C" fn recover<P: Program>() -> ! {
    regions::install_heap();
    // It lives as long as the domain, and so can what calls through it.
    let kernel: &'static Recovered = Box::leak(Box::new(Recovered::enter()));
    let pm = Pm::new(kernel.channel(PMSERVER));
    let mut service = build::<P, _>(|channel| kernel.channel(channel))
        .and_then(|server| register::<P, _>(&pm).map(|()| server).map_err(refused));
    notify::<P, _>(&mut service, |client| kernel.notify(client));
    let mut trace = Trace::open(|| None);
    kernel.serve(Failure::from(FsError::Restarted).reply(), |event| {
        let reply = match event {
            Event::Request { channel, message } => {
                trace.begin_request(channel, &message);
                let reply = answer::<P, _>(&mut service, channel, message);
                trace.end(&reply);
                Some(reply)
            }
            Event::Notification => {
                wake::<P, _>(&mut service, &mut trace);
                None
            }
        };
        notify::<P, _>(&mut service, |client| kernel.notify(client));
        reply
    })
}
