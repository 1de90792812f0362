// SPDX-License-Identifier: BSD-2-Clause
//! What the model still knows after the kernel refused something (PM-4, `Kernel`).

use pmserver_api::{PmError, Request};

use crate::answers::{Doubt, Expected};
use crate::state::Model;

impl Model {
    /// Says whether the kernel may refuse from now on.
    pub fn doubt_kernel(&mut self, is_unsure: bool) {
        self.is_kernel_unsure = is_unsure;
        self.peers.values_mut().for_each(|peer| peer.had_tables |= is_unsure);
    }

    /// Returns whether the kernel refused in the middle of a teardown, so that nothing can be said
    /// of what comes after.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Returns the refusal if the kernel may refuse and the server says that it did: nothing has
    /// changed, but mappings and grants may be gone.
    pub(crate) fn refused_by_kernel(&mut self, request: &Request) -> Option<Expected> {
        let is_copy = matches!(
            request,
            Request::Copy { .. } | Request::CopyList { .. } | Request::Remap { .. }
        );
        // A page that bytes are copied to (PM-330, PM-380).
        let no_page = || self.observed.refusal(PmError::NoMemory).filter(|_| is_copy);
        // A pin that has run out is in the way for as long as the kernel keeps it (PM-273).
        let is_late = || self.leases.values().any(|it| it.is_pin && it.is_over == Doubt::Perhaps);
        let is_soon = |at: u64| self.within_call(0).contains(&at);
        let kept = self.observed.refusal(PmError::Locked);
        let kept = || kept.filter(|told| is_soon(told.at) && is_late());
        let refusal = self.observed.refusal(PmError::Kernel).or_else(no_page).or_else(kept);
        let failure = refusal.filter(|_| self.is_kernel_unsure)?;
        let takes_down = matches!(
            request,
            Request::ContainerDestroy { .. }
                | Request::AccountDestroy { .. }
                | Request::AccountRemove { .. }
                | Request::Reclaim
                | Request::Unshare { .. }
                | Request::Detach { .. }
                | Request::Take { .. }
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
        let error = failure.error;
        Some(Expected::Refused { error, done: 0..=u64::MAX, at: 0..=u64::MAX })
    }
}
