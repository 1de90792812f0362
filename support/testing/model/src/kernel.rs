// SPDX-License-Identifier: BSD-2-Clause
//! What the model still knows where the kernel refuses something (PM-4, `Kernel`).

use pmserver_api::{PmError, Request};

use crate::Model;
use crate::expected::{Expected, Seen};

impl Model {
    /// Says whether the kernel may refuse from now on.
    pub const fn doubt_kernel(&mut self, is_unsure: bool) {
        self.is_kernel_unsure = is_unsure;
    }

    /// Whether the kernel has refused half-way through something, so that nothing can be said of
    /// what comes after.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Returns the refusal where the kernel may refuse and the server says that it did: nothing has
    /// changed then, but what was taken away may stay away.
    pub(crate) fn refused_by_kernel(&mut self, request: &Request, seen: Seen) -> Option<Expected> {
        let failure = seen.failure().filter(|failure| failure.error == PmError::Kernel)?;
        if !self.is_kernel_unsure {
            return None;
        }
        let takes_down = matches!(
            request,
            Request::ContainerDestroy { .. }
                | Request::AccountDestroy { .. }
                | Request::AccountRemove { .. }
                | Request::Reclaim
                | Request::Unshare { .. }
                | Request::Detach { .. }
        );
        self.is_lost |= takes_down || failure.done > 0;
        for peer in self.peers.values_mut() {
            peer.mappings.values_mut().for_each(|mapping| mapping.is_doubtful = true);
            peer.grants.values_mut().for_each(|grant| grant.is_doubtful = true);
        }
        let containers = self.containers.values_mut();
        for frame in containers.flat_map(|container| container.frames.values_mut()) {
            frame.may_be_bound = true;
        }
        self.contents.blur_all();
        let error = PmError::Kernel;
        Some(Expected::Refused { error, done: 0..=u64::MAX, at: 0..=u64::MAX })
    }
}
