// SPDX-License-Identifier: BSD-2-Clause
//! One run: operations against a server and the model, compared after each.

use model::{Access, Answer, CALL_MICROS_MAX, Config, Expected, Model, Touch};
use pmserver_api::{AccountHandle, AccountInfo, PmError, Reply, Request};
use proto::{FrameCount, Micros, PAGE_BYTES, PeerId, VirtAddr};

use super::choose::{Action, choose};
use super::operation::Operation;
use super::subject::{Failed, Outcome, Subject};

/// How often a program tries again before it is said to wait.
const TRIES_MAX: usize = 4;
/// How often an operation that is done in steps is called.
const STEPS_MAX: usize = 200;
/// Who faults at a multiple of that is stopped.
const FATAL_BYTES: u64 = 64 * PAGE_BYTES;
/// Longer than any lease.
const LEASES_OVER_MICROS: u64 = 2_000_000;

/// What the model is told wrongly, to see whether that is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// Nothing.
    None,
    /// That frames are renewed.
    RenewKeeps,
    /// That somebody stored something.
    StoreIsLost,
    /// That a share has ended.
    ShareStays,
    /// That time goes by.
    LeasesStay,
    /// That an account is gone.
    AccountStays,
}

/// A server, the model of it, and what both were like before.
pub(crate) struct Run<'a, S: Subject> {
    subject: &'a mut S,
    model: Model,
    config: Config,
    peers: Vec<PeerId>,
    before: Vec<(PeerId, AccountHandle, AccountInfo)>,
    mistake: Mistake,
    echo: bool,
    /// Whether the kernel may refuse.
    is_failing: bool,
}

/// What went wrong, in one line.
pub(crate) type Found = String;

impl<'a, S: Subject> Run<'a, S> {
    pub(crate) fn new(
        subject: &'a mut S,
        config: Config,
        mistake: Mistake,
        echo: bool,
    ) -> Result<Self, Found> {
        let model = Model::new(config.clone());
        let peers = config.peers.iter().map(|setup| setup.peer).collect();
        let mut run = Self {
            subject,
            model,
            config,
            peers,
            before: Vec::new(),
            mistake,
            echo,
            is_failing: false,
        };
        run.before = run.read_accounts()?;
        Ok(run)
    }

    /// Does one operation, and checks everything.
    pub(crate) fn step(&mut self, operation: &Operation, word: u64) -> Result<(), Found> {
        let action = choose(operation, &self.model, &self.peers, word);
        if self.echo {
            println!("{:>10} {action:?}", self.subject.now().get());
        }
        match action {
            Action::Call(peer, request) => self.call(peer, &request)?,
            Action::Touch { peer, vaddr, access, tells } => {
                self.touch(peer, vaddr, access, tells)?;
            }
            Action::Advance(micros) => self.subject.advance(micros),
            Action::FailNth(n) => {
                self.model.doubt_kernel(true);
                self.is_failing = true;
                self.subject.fail_nth(Some(n));
                return Ok(());
            }
        }
        self.subject.fail_nth(None);
        self.model.doubt_kernel(false);
        self.is_failing = false;
        if self.is_lost() { Ok(()) } else { self.settle() }
    }

    /// Whether the model cannot say anything any more.
    pub(crate) const fn is_lost(&self) -> bool {
        self.model.is_lost()
    }

    /// Lets the model learn what only the server knows, and compares the accounts.
    fn settle(&mut self) -> Result<(), Found> {
        for (peer, request) in self.model.questions() {
            self.call(peer, &request)?;
        }
        self.read_accounts().map(drop)
    }

    /// No deadline passes while a call is under way: whoever reads the clock twice in a call would
    /// see two answers.
    fn skip_deadlines(&mut self) {
        while let Some(deadline) = self.model.next_deadline() {
            let now = self.subject.now().get();
            let wait = deadline.get().saturating_sub(now);
            if wait > CALL_MICROS_MAX || wait == 0 {
                return;
            }
            self.subject.advance(wait);
        }
    }

    fn call(&mut self, peer: PeerId, request: &Request) -> Result<(), Found> {
        self.ask(peer, request).map(|_: Answer| ())
    }

    /// Calls, and returns what was answered.
    fn ask(&mut self, peer: PeerId, request: &Request) -> Result<Answer, Found> {
        self.skip_deadlines();
        let now = self.subject.now();
        let answer = self
            .subject
            .call(peer, request)
            .map_err(|what| format!("peer {peer} {request:?}: {what}"))?;
        if self.echo {
            println!("{:>12} {answer:?}", "");
        }
        let took = self.subject.now().get() - now.get();
        assert!(took <= CALL_MICROS_MAX, "{request:?} takes {took} us: the margin is too small");
        let expected = self.believe(peer, request, now, &answer);
        if !expected.allows(&answer) {
            return Err(format!("peer {peer} {request:?}: expected {expected:?}, got {answer:?}"));
        }
        self.subject
            .check()
            .map_err(|broken| format!("peer {peer} {request:?}: invariant broken: {broken}"))?;
        Ok(answer)
    }

    /// Tells the model of a call, if it is not one of those that it shall not know of.
    fn believe(
        &mut self,
        peer: PeerId,
        request: &Request,
        now: Micros,
        answer: &Answer,
    ) -> Expected {
        let now = if self.mistake == Mistake::LeasesStay { Micros::new(1) } else { now };
        let is_unknown = matches!(
            (self.mistake, request),
            (Mistake::RenewKeeps, Request::Renew { .. })
                | (Mistake::ShareStays, Request::Unshare { .. })
                | (Mistake::AccountStays, Request::AccountDestroy { .. })
        );
        if is_unknown {
            return Expected::Exactly(*answer);
        }
        self.model.call(peer, request, now, Some(answer))
    }

    fn touch(
        &mut self,
        peer: PeerId,
        vaddr: VirtAddr,
        access: Access,
        tells: bool,
    ) -> Result<(), Found> {
        if self.model.is_stopped(peer) {
            return Ok(());
        }
        self.skip_deadlines();
        let now = self.subject.now();
        let predicted = self.model.clone().touch(peer, vaddr, access, now, None);
        let tells = tells && predicted == Touch::Faulted && !self.is_failing;
        let is_needed = self
            .config
            .peers
            .iter()
            .any(|setup| setup.peer == peer && (setup.reads_accounts || setup.is_supervisor));
        if tells && (is_needed || !vaddr.get().is_multiple_of(FATAL_BYTES)) {
            // Otherwise everybody would be stopped soon.
            let at = |address| VirtAddr::new(address).expect("it is in user space");
            let request = Request::RegisterRecovery { entry: at(0x20_1000), stack_top: at(0x3000) };
            self.call(peer, &request)?;
        }
        let now = self.subject.now();
        let (seen, fate) = self.try_touch(peer, vaddr, access, tells)?;
        let is_lost = self.mistake == Mistake::StoreIsLost && matches!(access, Access::Store(_));
        if is_lost {
            return Ok(());
        }
        let expected = self.model.touch(peer, vaddr, access, now, Some(seen));
        let what = format!("peer {peer} {access:?} at {vaddr}");
        if expected != seen {
            return Err(format!("{what}: expected {expected:?}, got {seen:?}"));
        }
        if let Some(fate) = fate {
            let expected = self.model.fault(peer);
            if expected != fate {
                return Err(format!("{what}: expected {expected:?}, got {fate:?}"));
            }
        }
        self.subject.check().map_err(|broken| format!("{what}: invariant broken: {broken}"))
    }

    /// Touches memory as a program does that tries again when it is resumed.
    fn try_touch(
        &mut self,
        peer: PeerId,
        vaddr: VirtAddr,
        access: Access,
        tells: bool,
    ) -> Result<(Touch, Option<model::Fate>), Found> {
        for _ in 0..TRIES_MAX {
            match self.subject.touch(peer, vaddr, access) {
                Ok(word) => return Ok((Touch::Done(word), None)),
                Err(Failed::Torn(what)) => {
                    return Err(format!("peer {peer} {access:?} at {vaddr}: {what}"));
                }
                Err(Failed::Faulted) => {}
            }
            if !tells {
                if !self.subject.resolve(peer, vaddr, access) {
                    return Ok((Touch::Faulted, None));
                }
                continue;
            }
            match self.subject.fault(peer, vaddr, access) {
                Outcome::Resumed => {}
                Outcome::Ended(fate) => return Ok((Touch::Faulted, Some(fate))),
            }
        }
        Ok((Touch::Waits, None))
    }

    /// Reads all accounts that can be read, which compares them.
    fn read_accounts(&mut self) -> Result<Vec<(PeerId, AccountHandle, AccountInfo)>, Found> {
        let mut all = Vec::new();
        for (peer, account) in self.model.readable_accounts() {
            if let Ok(Reply::AccountInfo(info)) =
                self.ask(peer, &Request::AccountInfo { account })?
            {
                all.push((peer, account, info));
            }
        }
        Ok(all)
    }

    /// Ends all that there is, and compares the accounts with what they were at first (I4).
    pub(crate) fn finish(&mut self) -> Result<(), Found> {
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
        let is_pending =
            |answer: &Answer| answer.is_err_and(|failure| failure.error == PmError::Pending);
        let handles = self.model.handles(peer);
        let pages = self.model.pages(peer);
        let end = |request: Request, run: &mut Self| {
            run.repeat(peer, &request, |answer| !is_pending(answer))
        };
        for lease in handles.leases {
            end(Request::Unlock { lease }, self)?;
        }
        for vaddr in self.model.regions(peer) {
            end(Request::Detach { vaddr }, self)?;
        }
        for page in pages {
            let vaddr = VirtAddr::new_page(page).expect("it is mapped");
            end(Request::Unmap { vaddr, count: FrameCount::ONE }, self)?;
        }
        for address in self.model.grants(peer) {
            end(Request::Ungrant { address, count: FrameCount::ONE }, self)?;
        }
        self.unmap_everywhere(peer)?;
        for share in handles.shares {
            end(Request::Unshare { share }, self)?;
        }
        for container in handles.strong {
            end(Request::ContainerDestroy { container }, self)?;
        }
        for account in handles.accounts {
            end(Request::AccountDestroy { account }, self)?;
        }
        Ok(())
    }

    /// Takes away the tables that were made ahead.
    fn unmap_everywhere(&mut self, peer: PeerId) -> Result<(), Found> {
        let count = FrameCount::new(256).expect("a call has so many");
        for vaddr in super::choose::windows() {
            self.call(peer, &Request::Unmap { vaddr, count })?;
        }
        Ok(())
    }

    /// What a stopped peer has split off is nobody's: it goes with the account that it was split
    /// from.
    fn end_stopped(&mut self) -> Result<(), Found> {
        let policy = self.config.peers.iter().find(|setup| setup.sets_policy);
        let Some(policy) = policy.map(|setup| setup.peer) else { return Ok(()) };
        for peer in self.peers.clone() {
            if self.model.is_stopped(peer) && !self.model.is_stopped(policy) {
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
        let after = self.read_accounts()?;
        let mut is_whole = after.len() == self.before.len();
        for (peer, account, first) in &self.before {
            let last = after.iter().find(|(_, other, _)| other == account);
            let Some((_, _, last)) = last else { continue };
            if *account == AccountHandle::POOL {
                continue;
            }
            let same = |info: &AccountInfo| (info.used, info.extra, info.promised);
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
