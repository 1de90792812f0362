// SPDX-License-Identifier: BSD-2-Clause
//! The end of a run: everything is freed, and the accounts are as they were at first (I4).

use model::{Answer, PeerSetup};
use pmserver_api::{AccountHandle, AccountInfo, PmError, Reply, Request};
use proto::limits::LARGE_FRAMES;
use proto::{FrameCount, PAGE_BYTES, PeerId, VirtAddr};

use super::run::{Found, Run};
use super::subject::Subject;

/// How often an operation that is done in steps is called.
const STEPS_MAX: usize = 200;
/// Longer than any lease.
const LEASES_OVER_MICROS: u64 = 2_000_000;

impl<S: Subject> Run<'_, S> {
    /// Ends all that there is, and compares the accounts with what they were at first (I4).
    pub(crate) fn end_run(&mut self) -> Result<(), Found> {
        self.subject.advance(LEASES_OVER_MICROS);
        for peer in self.peers.clone() {
            if !self.model.is_stopped(peer) {
                self.end_all_of(peer)?;
            }
        }
        self.end_stopped()?;
        for setup in self.config.peers.clone() {
            if setup.is_supervisor && !self.model.is_stopped(setup.peer) {
                for peer in self.peers.clone() {
                    self.call(setup.peer, &Request::DeviceReset { peer })?;
                }
            }
        }
        for peer in self.peers.clone() {
            let is_over = |answer: &Answer| *answer == Ok(Reply::Number(0));
            self.repeat(peer, &Request::Reclaim, is_over)?;
        }
        self.compare_with_first()
    }

    fn repeat(
        &mut self,
        peer: PeerId,
        request: &Request,
        is_over: impl Fn(&Answer) -> bool,
    ) -> Result<(), Found> {
        if self.model.is_stopped(peer) {
            return Ok(());
        }
        for _ in 0..STEPS_MAX {
            let answer = self.ask(peer, request)?;
            self.settle()?;
            if is_over(&answer) {
                return Ok(());
            }
        }
        Err(format!("peer {peer} {request:?}: does not come to an end"))
    }

    fn end_all_of(&mut self, peer: PeerId) -> Result<(), Found> {
        // What the kernel refuses once, because the run says so, is asked for again.
        let is_to_repeat = |answer: &Answer| {
            answer.is_err_and(|failure| matches!(failure.error, PmError::Pending | PmError::Kernel))
        };
        let handles = self.model.handles(peer);
        let pages = self.model.pages(peer);
        let end = |request: Request, run: &mut Self| {
            run.repeat(peer, &request, |answer| !is_to_repeat(answer))
        };
        for lease in handles.leases {
            end(Request::Unlock { lease }, self)?;
        }
        for vaddr in self.model.regions(peer) {
            end(Request::Detach { vaddr }, self)?;
        }
        let many = FrameCount::new(LARGE_FRAMES).filter(|many| pages.len() as u64 > many.get());
        let count = many.unwrap_or(FrameCount::ONE);
        let mut next = 0;
        for page in pages.into_iter().filter(|page| {
            let is_left = *page >= next;
            next = if is_left { page.saturating_add(count.get() * PAGE_BYTES) } else { next };
            is_left
        }) {
            let vaddr = VirtAddr::new_page(page).expect("it is mapped");
            end(Request::Unmap { vaddr, count }, self)?;
        }
        for address in self.model.grants(peer) {
            end(Request::Ungrant { address, count: FrameCount::ONE }, self)?;
        }
        self.unmap_everywhere(peer)?;
        for share in handles.shares {
            end(Request::Unshare { share }, self)?;
        }
        for container in handles.strong.into_iter().chain(handles.dying) {
            end(Request::ContainerDestroy { container }, self)?;
        }
        for account in handles.accounts {
            end(Request::AccountDestroy { account }, self)?;
        }
        Ok(())
    }

    /// Takes away the tables that were made ahead. A table that the kernel refuses to take away,
    /// which it does once, stays until the next `unmap` beside it.
    fn unmap_everywhere(&mut self, peer: PeerId) -> Result<(), Found> {
        let count = FrameCount::new(LARGE_FRAMES).expect("a call has so many");
        for vaddr in (0..2).flat_map(|_| super::choose::windows()) {
            self.call(peer, &Request::Unmap { vaddr, count })?;
        }
        Ok(())
    }

    /// What a stopped peer has split off is nobody's: it goes with the account that it was split
    /// from.
    fn end_stopped(&mut self) -> Result<(), Found> {
        let can_end = |setup: &&PeerSetup| setup.sets_policy && !self.model.is_stopped(setup.peer);
        let policy = self.config.peers.iter().find(can_end).map(|setup| setup.peer);
        let Some(policy) = policy else { return Ok(()) };
        for peer in self.peers.clone() {
            if self.model.is_stopped(peer) {
                let account = AccountHandle::of_peer(peer);
                let request = Request::AccountDestroy { account };
                let is_over = |answer: &Answer| {
                    !answer.is_err_and(|failure| failure.error == PmError::Pending)
                };
                self.repeat(policy, &request, is_over)?;
            }
        }
        Ok(())
    }

    fn compare_with_first(&mut self) -> Result<(), Found> {
        if self.model.has_pins_left() {
            return Ok(());
        }
        let has_stopped = self.peers.iter().any(|peer| self.model.is_stopped(*peer));
        let after = self.read_accounts()?;
        let mut is_whole = after.len() == self.before.len();
        for (peer, account, first) in &self.before {
            let last = after.iter().find(|(_, other, _)| other == account);
            let Some((_, _, last)) = last else { continue };
            if *account == AccountHandle::POOL {
                continue;
            }
            // What a stopped peer has split off an account of another goes with that account.
            let promised = |info: &AccountInfo| (!has_stopped).then_some(info.promised);
            let same = |info: &AccountInfo| (info.used, info.extra, promised(info));
            if same(first) != same(last) {
                return Err(format!(
                    "peer {peer}: at the end {account:?} is {last:?}, and was {first:?}"
                ));
            }
            is_whole &= first.limit == last.limit;
        }
        let pool = |of: &[(PeerId, AccountHandle, AccountInfo)]| {
            let all = of.iter().find(|(_, account, _)| *account == AccountHandle::POOL);
            all.map(|(_, _, info)| (info.used, info.free))
        };
        let (first, last) = (pool(&self.before), pool(&after));
        if is_whole && first != last {
            return Err(format!("at the end the pool is {last:?}, and was {first:?}"));
        }
        Ok(())
    }
}
