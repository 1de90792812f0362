// SPDX-License-Identifier: BSD-2-Clause
//! A server that writes a greeting into memory that a client lends. It allocates nothing.
#![cfg_attr(target_os = "none", no_std, no_main)]

use pmserver_client::{MapFlags, PeerId, Pm, VirtAddr, WeakContainer};
use proto::{Domain, Message, Service};

const PMSERVER: u8 = 0;
const WINDOW: VirtAddr = VirtAddr::new_page(0x1000_0000).unwrap();

#[cfg(target_os = "none")]
pd::server!(greeter);

pub(crate) fn greeter(domain: impl Domain) -> impl Service {
    let pm = Pm::new(domain.channel(PMSERVER));
    move |client: u8, request: &Message| {
        let number = request.exactly().map_or(0, |[number]| number);
        let weak = WeakContainer::from_raw(&pm, number);
        // The channel is the client's peer number: only its own memory is written to.
        if weak.owner() == PeerId::new(client.into())
            && let Ok(window) = weak.map(0..1, WINDOW, MapFlags::WRITE)
        {
            let greeting = b"a greeting, in memory that was lent\n";
            let _ = window.copy_out(&mut domain.memory(), greeting, 0);
        }
        Message::new(0, [])
    }
}
