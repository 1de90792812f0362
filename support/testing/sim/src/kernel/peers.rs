// SPDX-License-Identifier: BSD-2-Clause
//! Invocations that a peer makes with its own capabilities, and notifications to peers.

use proto::PeerId;

use super::SimKernel;
use crate::loader::{LEAF_OWN_VSPACE, LoadedPeer};
use crate::machine::{CapRights, Error, Invocation};

impl SimKernel {
    /// Maps a frame with a capability of the peer, as the peer itself would.
    ///
    /// # Errors
    /// Those of the kernel; [`Error::CapFault`] if the address does not resolve in its CSpace.
    ///
    /// # Panics
    /// If there is no such peer.
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

    /// Makes an invocation of a capability of the peer, as the peer itself would.
    ///
    /// # Errors
    /// The same as [`Self::map_granted`].
    ///
    /// # Panics
    /// The same as [`Self::map_granted`].
    pub fn invoke_as(
        &mut self,
        peer: PeerId,
        address: u64,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        self.clock.advance(self.invocation_micros);
        let cspace = self.peers.get(&peer).expect("the peer exists").cspace;
        self.machine.invoke(cspace, address, invocation).map(drop)
    }

    /// Returns the peers that were notified since the last call, and clears the notifications.
    pub fn take_notifications(&mut self) -> Vec<PeerId> {
        let first_thread = self.machine.root_cspace();
        let (machine, loaded) = (&mut self.machine, &self.peers);
        let mut was_notified = |peer: &PeerId| {
            let Some(LoadedPeer { notification, .. }) = loaded.get(peer) else { return false };
            let flags = machine.invoke(first_thread, *notification, &Invocation::Poll);
            flags.expect("each peer has a notification") != 0
        };
        let signalled = std::mem::take(&mut self.signalled).into_iter();
        signalled.filter(|peer| was_notified(peer)).collect()
    }
}
