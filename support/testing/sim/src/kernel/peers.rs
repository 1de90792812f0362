// SPDX-License-Identifier: BSD-2-Clause
//! What a peer does with its own CSpace, and what it is told.

use proto::PeerId;

use super::{INVOCATION_MICROS, SimKernel};
use crate::loader::LEAF_OWN_VSPACE;
use crate::machine::{CapRights, Error, Invocation};

impl SimKernel {
    /// Maps a frame that a peer has a capability for, as the peer does it itself.
    ///
    /// # Errors
    /// As the kernel: [`Error::CapFault`] where the peer has no such address.
    ///
    /// # Panics
    /// Where there is no such peer.
    pub fn map_granted(
        &mut self,
        peer: PeerId,
        address: u64,
        vaddr: u64,
        rights: CapRights,
    ) -> Result<(), Error> {
        let map = Invocation::PageMap { vspace: LEAF_OWN_VSPACE, vaddr, rights };
        self.invoke_as(peer, address, &map)
    }

    /// Makes any invocation as a peer, of a capability of its own.
    ///
    /// # Errors
    /// As [`Self::map_granted`].
    ///
    /// # Panics
    /// As [`Self::map_granted`].
    pub fn invoke_as(
        &mut self,
        peer: PeerId,
        address: u64,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        self.clock.advance(INVOCATION_MICROS);
        let cspace = self.peers.get(&peer).expect("there is such a peer").cspace;
        self.machine.invoke(cspace, address, invocation).map(drop)
    }

    /// Returns who was notified since this was asked last, and takes the notifications away.
    pub fn take_notifications(&mut self) -> Vec<PeerId> {
        let first_thread = self.machine.root_cspace();
        let machine = &mut self.machine;
        let mut was_notified = |notification| {
            let flags = machine.invoke(first_thread, notification, &Invocation::Poll);
            flags.expect("a notification for each") != 0
        };
        let peers = self.peers.iter();
        peers.filter(|(_, has)| was_notified(has.notification)).map(|(&peer, _)| peer).collect()
    }
}
