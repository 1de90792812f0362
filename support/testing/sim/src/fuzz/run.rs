// SPDX-License-Identifier: BSD-2-Clause
//! One run: operations against a server and the model, compared after each.

use model::{Access, Answer, CALL_MICROS_MAX, Config, Expected, Model, PeerSetup, Touch};
use pmserver_api::{AccountHandle, AccountInfo, Failure, PmError, Reply, Request};
use proto::{Micros, PAGE_BYTES, PeerId, VirtAddr};

use super::choose::{Action, choose};
use super::operation::Operation;
use super::subject::{Failed, Outcome, Subject};
use super::tally::Tally;

/// How often a program tries again before it is said to wait.
const TRIES_MAX: usize = 4;
/// The same if each try does a part of what there is to do.
const PARTS_MAX: usize = 200;
/// Who faults at a multiple of that is stopped.
const FATAL_BYTES: u64 = 64 * PAGE_BYTES;

/// What the model is not told, to see whether that is found.
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
    pub(super) subject: &'a mut S,
    pub(super) model: Model,
    pub(super) config: Config,
    pub(super) peers: Vec<PeerId>,
    pub(super) before: Vec<(PeerId, AccountHandle, AccountInfo)>,
    mistake: Mistake,
    echo: bool,
    /// Whether the kernel may refuse.
    is_failing: bool,
    tally: Tally,
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
            tally: Tally::default(),
        };
        run.before = run.read_accounts()?;
        Ok(run)
    }

    /// Returns what the run has reached.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = self.tally.clone();
        tally.add_large(self.subject.large_frames());
        tally
    }

    /// Does one operation, and checks everything.
    pub(crate) fn step(&mut self, operation: &Operation, word: u64) -> Result<(), Found> {
        let action = choose(operation, (&self.model, self.subject.now()), &self.peers, word);
        if self.echo {
            println!("{:>10} {action:?}", self.subject.now().get());
        }
        match action {
            Action::Call(peer, request) => self.call_again(peer, &request, operation.repeats())?,
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

    /// Calls, and calls again for as long as there is more to do.
    fn call_again(&mut self, peer: PeerId, request: &Request, repeats: u32) -> Result<(), Found> {
        for _ in 0..repeats {
            let answer = self.ask(peer, request)?;
            let more = Failure { error: PmError::Pending, done: 0, at: 0 };
            if answer != Err(more) || self.is_lost() {
                return Ok(());
            }
            self.settle()?;
        }
        self.call(peer, request)
    }

    /// Whether the model cannot say anything any more.
    pub(crate) const fn is_lost(&self) -> bool {
        self.model.is_lost()
    }

    /// Has the model learn which frames are extra or dropped, and compares the accounts.
    pub(super) fn settle(&mut self) -> Result<(), Found> {
        for (peer, request) in self.model.questions() {
            let _: Answer = self.consult(peer, &request)?;
        }
        self.read_accounts()?;
        self.check().map_err(|broken| format!("after the status was read: {broken}"))
    }

    fn check(&self) -> Result<(), Found> {
        self.subject.check().map_err(|broken| format!("invariant broken: {broken}"))
    }

    /// Lets a deadline pass that is near, so that none passes during a call: a server that reads
    /// the clock twice would see two answers. What the model knows to end within a call's time of a
    /// deadline needs that time twice.
    fn skip_deadlines(&mut self) {
        while let Some(deadline) = self.model.next_deadline(self.subject.now()) {
            let wait = deadline.get().saturating_sub(self.subject.now().get());
            if wait > 2 * CALL_MICROS_MAX {
                return;
            }
            self.subject.advance(wait);
        }
    }

    pub(super) fn call(&mut self, peer: PeerId, request: &Request) -> Result<(), Found> {
        self.ask(peer, request).map(|_: Answer| ())
    }

    /// Calls, checks the invariants, and returns what was answered.
    pub(super) fn ask(&mut self, peer: PeerId, request: &Request) -> Result<Answer, Found> {
        let answer = self.consult(peer, request)?;
        self.check().map_err(|broken| format!("peer {peer} {request:?}: {broken}"))?;
        Ok(answer)
    }

    /// Calls, and returns what was answered: for one of many calls that change little, after
    /// all of which the invariants are checked.
    fn consult(&mut self, peer: PeerId, request: &Request) -> Result<Answer, Found> {
        self.skip_deadlines();
        let now = self.subject.now();
        let answer = self
            .subject
            .call(peer, request)
            .map_err(|what| format!("peer {peer} {request:?}: {what}"))?;
        if self.echo {
            println!("{:>12} {answer:?}", "");
        }
        self.tally.answered(request, &answer);
        let took = self.subject.now().get() - now.get();
        assert!(took <= CALL_MICROS_MAX, "{request:?} takes {took} us: the margin is too small");
        let expected = self.believe(peer, request, now, &answer);
        if !expected.allows(&answer) {
            return Err(format!("peer {peer} {request:?}: expected {expected:?}, got {answer:?}"));
        }
        self.subject.check_work().map_err(|broken| format!("peer {peer} {request:?}: {broken}"))?;
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
        let is_needed = self.is_needed(peer);
        if tells && (is_needed || !vaddr.get().is_multiple_of(FATAL_BYTES)) {
            // Otherwise all peers would be stopped soon.
            let at = |address| VirtAddr::new(address).expect("it is in user space");
            let request = Request::RegisterRecovery { entry: at(0x20_1000), stack_top: at(0x3000) };
            self.call(peer, &request)?;
        }
        let now = self.subject.now();
        let first = self.subject.touch(peer, vaddr, access);
        let is_direct = first.is_ok();
        let (seen, fate) = self.try_touch(peer, vaddr, access, (first, tells))?;
        self.tally.touched(matches!(access, Access::Store(_)), seen);
        let is_lost = self.mistake == Mistake::StoreIsLost && matches!(access, Access::Store(_));
        if is_lost {
            return Ok(());
        }
        let expected = if is_direct {
            self.model.touch_directly(peer, vaddr, access, now, Some(seen))
        } else {
            self.model.touch(peer, vaddr, access, now, Some(seen))
        };
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
        self.check().map_err(|broken| format!("{what}: {broken}"))
    }

    /// Whether a peer is the last one that can do what the end of a run needs.
    fn is_needed(&self, peer: PeerId) -> bool {
        let is_last = |may: fn(&PeerSetup) -> bool| {
            let has = |setup: &&PeerSetup| may(setup) && !self.model.is_stopped(setup.peer);
            let mut all = self.config.peers.iter().filter(has);
            all.next().is_some_and(|setup| setup.peer == peer) && all.next().is_none()
        };
        is_last(|setup| setup.reads_accounts && setup.sets_policy)
            || is_last(|setup| setup.is_supervisor)
    }

    /// Touches memory as a program does that tries again when it is resumed, after a first try.
    fn try_touch(
        &mut self,
        peer: PeerId,
        vaddr: VirtAddr,
        access: Access,
        (mut result, tells): (Result<u64, Failed>, bool),
    ) -> Result<(Touch, Option<model::Fate>), Found> {
        let mut tries = 0;
        for _ in 0..PARTS_MAX {
            match result {
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
            } else if let Outcome::Ended(fate) = self.subject.fault(peer, vaddr, access) {
                return Ok((Touch::Faulted, Some(fate)));
            }
            result = self.subject.touch(peer, vaddr, access);
            tries += usize::from(!self.subject.has_worked());
            if tries == TRIES_MAX && result.is_err() {
                break;
            }
        }
        Ok((Touch::Waits, None))
    }

    /// Reads all accounts that can be read, which compares them.
    pub(super) fn read_accounts(
        &mut self,
    ) -> Result<Vec<(PeerId, AccountHandle, AccountInfo)>, Found> {
        let mut all = Vec::new();
        for (peer, account) in self.model.readable_accounts() {
            if let Ok(Reply::AccountInfo(info)) =
                self.consult(peer, &Request::AccountInfo { account })?
            {
                all.push((peer, account, info));
            }
        }
        Ok(all)
    }
}
