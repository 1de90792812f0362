// SPDX-License-Identifier: BSD-2-Clause
//! Taking down containers and what stopped peers had, in bounded steps (design D6).
//!
//! A container that is being destroyed is *dying*: nothing else can be done with it from the first
//! moment on. It stands in a queue, first come, first served; one that only a lease keeps goes to
//! the end, so that nobody's leases keep anybody else's memory.

use pmserver_api::{Failure, PmError};
use proto::PeerId;
use proto::limits::RECLAIM_STEP_FRAMES;

use crate::account::Account;
use crate::kernel::{Kernel, KernelError};
use crate::objects::{Container, Dying, Mapping};
use crate::peer::Peer;
use crate::records::Ref;
use crate::server::Server;

/// Dying containers that one step looks at.
const DYING_LOOK_MAX: u32 = 16;

impl<K: Kernel> Server<K> {
    /// Marks a container as dying: weak handles end here, and the owner's can do nothing else.
    pub(crate) fn doom(&mut self, container: Ref<Container>) {
        let record = self.pool.get_mut(container);
        if record.is_dying() {
            return;
        }
        record.dying = 1;
        let account: Ref<Account> = self.payer(container);
        let head = self.pool.get(account).containers;
        let (first, _) = self.unlink_container(container, head, 0);
        self.pool.get_mut(account).containers = first;
        self.queue_dying(container);
    }

    fn queue_dying(&mut self, container: Ref<Container>) {
        let last = self.dying.last;
        let record = self.pool.get_mut(container);
        record.next = 0;
        record.previous = last;
        match Ref::<Container>::from_link(last) {
            Some(before) => self.pool.get_mut(before).next = container.link(),
            None => self.dying.first = container.link(),
        }
        self.dying.last = container.link();
    }

    fn unqueue_dying(&mut self, container: Ref<Container>) {
        let Dying { first, last } = self.dying;
        let (first, last) = self.unlink_container(container, first, last);
        self.dying = Dying { first, last };
    }

    /// Takes a container out of a list and returns the list's new ends.
    fn unlink_container(&mut self, container: Ref<Container>, first: u32, last: u32) -> (u32, u32) {
        let record = self.pool.get(container);
        let (next, previous) = (record.next, record.previous);
        let last = match Ref::<Container>::from_link(next) {
            Some(after) => {
                self.pool.get_mut(after).previous = previous;
                last
            }
            None => previous,
        };
        let first = match Ref::<Container>::from_link(previous) {
            Some(before) => {
                self.pool.get_mut(before).next = next;
                first
            }
            None => next,
        };
        (first, last)
    }

    /// Frees up to `most` frames of a dying container and, when none is left, the container.
    ///
    /// # Errors
    /// `Pending` with how many were freed: with the deadline of a lease that is in the way, or
    /// without one where there is more to free now.
    pub(crate) fn destroy_step(
        &mut self,
        container: Ref<Container>,
        most: u64,
    ) -> Result<(), Failure> {
        self.expire_leases(container);
        let mut freed = 0;
        while let Some((frame, number)) = self.next_unleased_frame(container) {
            if freed == most {
                return Err(Failure { error: PmError::Pending, done: freed, at: 0 });
            }
            self.remove_frame(container, frame, number).map_err(|_: KernelError| Failure {
                error: PmError::Kernel,
                done: freed,
                at: number,
            })?;
            freed = freed.saturating_add(1);
        }
        if let Some(deadline) = self.last_deadline(container) {
            return Err(Failure { error: PmError::Pending, done: freed, at: deadline.get() });
        }
        self.remove_shares(container);
        self.remove_handlers(container);
        self.unqueue_dying(container);
        self.pool.free(container);
        Ok(())
    }

    /// Does one bounded step of what is left to do, and returns how many objects are left to free:
    /// stopped peers and dying containers. With nothing to free it scrubs a free page.
    pub(crate) fn reclaim(&mut self) -> u64 {
        match self.peers.iter().flatten().find(|peer| peer.is_stopped && self.has_objects(peer)) {
            Some(peer) => self.teardown_step(peer.id),
            None => self.destroy_dying(),
        }
        self.left_to_reclaim()
    }

    fn destroy_dying(&mut self) {
        for _ in 0..DYING_LOOK_MAX {
            let Some(container) = Ref::<Container>::from_link(self.dying.first) else { break };
            match self.destroy_step(container, RECLAIM_STEP_FRAMES) {
                // Only a lease is in the way: it ends by itself, the next container need not wait.
                Err(Failure { error: PmError::Pending, done: 0, .. }) => {
                    self.unqueue_dying(container);
                    self.queue_dying(container);
                }
                _ => return,
            }
        }
        self.pool.scrub_one();
    }

    fn has_objects(&self, peer: &Peer) -> bool {
        peer.vspace.mappings != 0 || self.pool.get(peer.account).containers != 0
    }

    /// Containers first: whoever was lent one loses it before the memory goes.
    fn teardown_step(&mut self, peer: PeerId) {
        for _ in 0..RECLAIM_STEP_FRAMES {
            let account = self.peer(peer).account;
            if let Some(container) = Ref::<Container>::from_link(self.pool.get(account).containers)
            {
                self.doom(container);
                continue;
            }
            let tree = self.peer(peer).vspace.mappings;
            let Some(mapping) = self.pool.tree_next::<Mapping>(tree, 0) else { return };
            if self.remove_mapping(mapping).is_err() {
                return;
            }
        }
    }

    fn left_to_reclaim(&self) -> u64 {
        let stopped = self.peers.iter().flatten().filter(|p| p.is_stopped && self.has_objects(p));
        let mut left = u64::try_from(stopped.count()).unwrap_or(u64::MAX);
        if self.dying.first != 0 {
            left = left.saturating_add(1);
        }
        left
    }
}
