// SPDX-License-Identifier: BSD-2-Clause
//! A server that makes capital letters of the text in memory that a client lends.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod api;

use api::{CAPITALS, DONE, NOT_LENT, NOT_YOURS};
use pmserver_client::{Error, LockMode, MapFlags, Micros, PeerId, Pm, VirtAddr, WeakContainer};
use proto::{AddressSpace, Domain, Message, ProtocolError, Service, Transport};

const PMSERVER: u8 = 0;
const WINDOW: VirtAddr = VirtAddr::new_page(0x1000_0000).unwrap();
/// The most frames of one call, so that its work has a bound.
const FRAMES_MAX: u64 = 16;
/// How long the server holds the text at most: then the client gets it back, whatever happens here.
const LEASE: Micros = Micros::new(50_000);

#[cfg(target_os = "none")]
pd::server!(capitals);

pub(crate) fn capitals(domain: impl Domain) -> impl Service {
    let pm = Pm::new(domain.channel(PMSERVER));
    move |client: u8, request: &Message| {
        if request.label() != CAPITALS {
            return ProtocolError::UnknownOperation.reply();
        }
        let [number, frames] = match request.exactly() {
            Ok(registers) => registers,
            Err(error) => return error.reply(),
        };
        let weak = WeakContainer::from_raw(&pm, number);
        // The channel is the client's peer number: nobody has the memory of others changed.
        if weak.owner() != PeerId::new(client.into()) {
            return Message::new(NOT_YOURS, []);
        }
        match change(&weak, frames.min(FRAMES_MAX), &mut domain.memory()) {
            Ok(changed) => Message::new(DONE, [changed]),
            Err(_) => Message::new(NOT_LENT, []),
        }
    }
}

/// Changes the text; returns how many letters were small. What is locked and mapped is unlocked and
/// unmapped on every way out.
fn change<T: Transport>(
    text: &WeakContainer<'_, T>,
    frames: u64,
    memory: &mut impl AddressSpace,
) -> Result<u64, Error> {
    // Nobody sees or changes it meanwhile.
    let _lease = text.lock(0..frames, LockMode::Exclusive, LEASE)?;
    let window = text.map(0..frames, WINDOW, MapFlags::READ | MapFlags::WRITE)?;
    let mut changed: u64 = 0;
    let mut piece = [0; 64];
    for offset in (0..window.bytes()).step_by(piece.len()) {
        window.copy_in(memory, offset, &mut piece)?;
        for byte in piece.iter_mut().filter(|byte| byte.is_ascii_lowercase()) {
            byte.make_ascii_uppercase();
            changed = changed.saturating_add(1);
        }
        window.copy_out(memory, &piece, offset)?;
    }
    Ok(changed)
}
