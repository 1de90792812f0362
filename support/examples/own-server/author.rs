// SPDX-License-Identifier: BSD-2-Clause
//! Lends a text to the server of capital letters: as it has to be, and in ways that are refused.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod api;

use api::{CAPITALS, DONE, NOT_LENT, NOT_YOURS};
use console_api::Client;
use pmserver_client::{Error, MapFlags, Micros, PeerId, Pm, Rights, ShareTerms, VirtAddr};
use proto::{Console, Domain, Message, Transport};

const PMSERVER: u8 = 0;
const CAPITALS_SERVER: u8 = 1;
pub(crate) const CONSOLE: u8 = 2;
const CAPITALS_PEER: PeerId = PeerId::new(2).unwrap();
const WINDOW: VirtAddr = VirtAddr::new_page(0x1000_0000).unwrap();
const TEXT: &[u8; 28] = b"who lends memory pays for it";

#[cfg(target_os = "none")]
pd::program!(author, CONSOLE);

pub(crate) fn author(domain: &impl Domain) -> Result<(), Error> {
    let pm = Pm::new(domain.channel(PMSERVER));
    let mut server = domain.channel(CAPITALS_SERVER);
    let mut console = Client::new(domain.channel(CONSOLE));
    let before = pm.account().info()?;

    let text = pm.account().create_container()?;
    text.allocate(0..1)?;
    let mapping = text.map(0..1, WINDOW, MapFlags::READ | MapFlags::WRITE)?;
    mapping.copy_out(&mut domain.memory(), TEXT, 0)?;
    for (how, rights) in [("read, write and lock", Rights::all()), ("read", Rights::READ)] {
        let lease_max = Micros::new(if rights.contains(Rights::LOCK) { 50_000 } else { 0 });
        let terms = ShareTerms { peer: CAPITALS_PEER, rights, lease_max, once: false };
        let share = text.share(0..1, terms)?;
        let reply = server.call(Message::new(CAPITALS, [share.weak(), 1]));
        // What the server says is its own; that it has no access any more is pmserver's word.
        share.unshare_waiting()?;
        console.print(format_args!("lent to {how}: {}\n", sentence(&reply)));
    }
    let reply = server.call(Message::new(CAPITALS, [12345, 1]));
    console.print(format_args!("a number that is nobody's: {}\n", sentence(&reply)));

    let mut changed = [0; TEXT.len()];
    mapping.copy_in(&domain.memory(), 0, &mut changed)?;
    console.write(&changed);
    console.write(b"\n");
    mapping.unmap()?;
    text.destroy_waiting()?;
    let is_back = pm.account().info()? == before;
    console.print(format_args!("all memory is back: {is_back}\n"));
    Ok(())
}

/// Returns what a reply says.
fn sentence(reply: &Message) -> &'static str {
    match reply.label() {
        DONE => "done",
        NOT_YOURS => "the container is not the caller's",
        NOT_LENT => "the container was not lent as it has to be",
        _ => "the server does not know this",
    }
}
