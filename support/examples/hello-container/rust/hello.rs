// SPDX-License-Identifier: BSD-2-Clause
//! Allocates memory, maps it, lends it to the greeter, takes it back, and looks at it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use console_api::Client;
use pmserver_client::{Error, MapFlags, Micros, PeerId, Pm, Rights, ShareTerms, VirtAddr};
use proto::{Console, Domain, Message, Transport};

// Channels and peers have the numbers of the system file.
const PMSERVER: u8 = 0;
const GREETER: u8 = 1;
pub(crate) const CONSOLE: u8 = 2;
const GREETER_PEER: PeerId = PeerId::new(2).unwrap();
/// Where the program has room in its address space.
const WINDOW: VirtAddr = VirtAddr::new_page(0x1000_0000).unwrap();

#[cfg(target_os = "none")]
pd::program!(hello, CONSOLE);

pub(crate) fn hello(domain: &impl Domain) -> Result<(), Error> {
    let pm = Pm::new(domain.channel(PMSERVER));
    let mut console = Client::new(domain.channel(CONSOLE));

    let container = pm.account().create_container()?;
    console.write(b"make a container: done\n");
    container.allocate(0..4)?;
    console.write(b"allocate four frames: done\n");
    let mapping = container.map(0..4, WINDOW, MapFlags::READ | MapFlags::WRITE)?;
    console.write(b"map them: done\n");
    let rights = Rights::READ | Rights::WRITE;
    let terms = ShareTerms { peer: GREETER_PEER, rights, lease_max: Micros::new(0), once: false };
    let share = container.share(0..4, terms)?;
    console.write(b"lend them: done\n");
    domain.channel(GREETER).call(Message::new(0, [share.weak()]));
    share.unshare_waiting()?;
    console.write(b"take them back: done\n");
    // From here on the greeter cannot change what is there.
    let mut greeting = [0; 36];
    mapping.copy_in(&domain.memory(), 0, &mut greeting)?;
    console.write(&greeting);
    container.destroy_waiting()?;
    console.write(b"free all: done\n");
    Ok(())
}
