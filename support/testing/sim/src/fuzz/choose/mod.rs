// SPDX-License-Identifier: BSD-2-Clause
//! Turns an operation into a request or an access, from its dice and the state of the model.
//!
//! Most requests can succeed, so that runs reach something. Some name objects of other peers,
//! objects that are gone, or nothing, and numbers from the ends of their range.

mod draw;
mod request;

use model::{Access, Handles, Model, Touch};
use pmserver_api::Request;
use proto::{Micros, PeerId, VirtAddr};

use super::operation::{Dice, Kind, Operation};

pub(crate) use draw::windows;

/// What happens in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A peer calls.
    Call(PeerId, Request),
    /// A program touches its memory. A fault that nothing repairs ends it, or is forgotten.
    Touch { peer: PeerId, vaddr: VirtAddr, access: Access, tells: bool },
    /// Time goes by.
    Advance(u64),
    /// The n-th invocation of the kernel from here on fails.
    FailNth(u64),
}

/// What a request is chosen from.
struct Chooser<'a> {
    dice: &'a mut Dice,
    model: &'a Model,
    peers: &'a [PeerId],
    peer: PeerId,
    own: Handles,
    scale: u64,
}

/// Returns whether a peer can do something of this kind with success.
fn is_suited(kind: Kind, model: &Model, peer: PeerId) -> bool {
    let may = model.privileges(peer);
    let has = |test: fn(&Handles) -> bool| test(&model.handles(peer));
    match kind {
        Kind::Pin | Kind::Contiguous => may.has_dma,
        Kind::BusAddress | Kind::Unlock => has(|own| !own.leases.is_empty()),
        Kind::Rescue | Kind::DeviceReset => may.is_supervisor,
        Kind::Disturb => may.may_disturb,
        Kind::NextFault => model.is_asked(peer),
        Kind::Supply | Kind::Refuse => has(|own| !own.faults.is_empty()),
        Kind::Unshare => has(|own| !own.shares.is_empty()),
        Kind::SetLimits => may.sets_policy || has(|own| !own.accounts.is_empty()),
        Kind::DestroyAccount | Kind::RemoveAccount | Kind::Lend | Kind::Recall => {
            has(|own| !own.accounts.is_empty())
        }
        Kind::Load | Kind::Store | Kind::Remap => !model.pages(peer).is_empty(),
        Kind::Detach => !model.regions(peer).is_empty(),
        Kind::Ungrant => !model.grants(peer).is_empty(),
        _ => true,
    }
}

/// How often something else is drawn where a call would fail, or do nothing.
const DRAWS_MAX: usize = 12;

/// Returns what an operation comes to in the state that the model has: in most cases something that
/// the model says will succeed, if that is soon found.
pub(crate) fn choose(
    operation: &Operation,
    (model, now): (&Model, Micros),
    peers: &[PeerId],
    word: u64,
) -> Action {
    let mut dice = operation.dice();
    let draws = if dice.once_in(5) { 1 } else { DRAWS_MAX };
    let mut action = draw(operation, model, peers, word, &mut dice);
    for _ in 1..draws {
        if will_succeed(&action, model, now) {
            break;
        }
        action = draw(operation, model, peers, word, &mut dice);
    }
    action
}

/// Whether the model says that something comes of an action.
fn will_succeed(action: &Action, model: &Model, now: Micros) -> bool {
    let mut model = model.clone();
    match action {
        Action::Call(peer, request) => model.call(*peer, request, now, None).is_success(),
        Action::Touch { peer, vaddr, access, .. } => {
            matches!(model.touch(*peer, *vaddr, *access, now, None), Touch::Done(_))
        }
        Action::Advance(_) | Action::FailNth(_) => true,
    }
}

fn draw(
    operation: &Operation,
    model: &Model,
    peers: &[PeerId],
    word: u64,
    dice: &mut Dice,
) -> Action {
    // Calls of stopped peers are all refused in the same way.
    let alive: Vec<PeerId> =
        peers.iter().copied().filter(|peer| !model.is_stopped(*peer)).collect();
    let callers = if dice.once_in(30) || alive.is_empty() { peers } else { &alive };
    let suited: Vec<PeerId> =
        callers.iter().copied().filter(|peer| is_suited(operation.kind, model, *peer)).collect();
    let callers = if suited.is_empty() || dice.once_in(12) { callers } else { &suited };
    let peer = dice.pick(callers).expect("there are peers");
    let (own, scale) = (model.handles(peer), operation.scale);
    let mut chooser = Chooser { dice, model, peers, peer, own, scale };
    match operation.kind {
        Kind::Load => chooser.touch(Access::Load),
        Kind::Store => chooser.touch(Access::Store(word)),
        Kind::Advance => {
            let span = chooser.dice.pick(&[100, 20_000, 60_000, 300_000, 1_200_000]);
            Action::Advance(chooser.dice.below(span.expect("a list")))
        }
        Kind::FailNth => Action::FailNth(1 + chooser.dice.below(30)),
        // A peer without a container makes one first.
        _ if chooser.own.strong.is_empty() && !chooser.dice.once_in(4) => {
            let kind = chooser.dice.pick(&[Kind::Create, Kind::CreateWith]).expect("a list");
            Action::Call(peer, chooser.request(kind))
        }
        kind => {
            let kind = chooser.instead_of(kind);
            Action::Call(peer, chooser.request(kind))
        }
    }
}

impl Chooser<'_> {
    /// Returns another kind if the peer has nothing that this kind needs.
    fn instead_of(&mut self, kind: Kind) -> Kind {
        let own = &self.own;
        let other = match kind {
            Kind::Destroy if self.dice.once_in(2) => Kind::Allocate,
            Kind::Unlock if own.leases.is_empty() => Kind::Lock,
            Kind::BusAddress if own.leases.is_empty() => Kind::Pin,
            Kind::Unshare if own.shares.is_empty() => Kind::Share,
            Kind::Supply | Kind::Refuse if own.faults.is_empty() => Kind::SetHandler,
            Kind::NextFault if !self.model.is_asked(self.peer) => Kind::SetHandler,
            Kind::DestroyAccount
            | Kind::RemoveAccount
            | Kind::SetLimits
            | Kind::Lend
            | Kind::Recall
                if own.accounts.is_empty() =>
            {
                Kind::Split
            }
            Kind::Remap if self.model.pages(self.peer).is_empty() => Kind::Map,
            Kind::Ungrant if self.model.grants(self.peer).is_empty() => Kind::Grant,
            kind => kind,
        };
        if self.dice.once_in(8) { kind } else { other }
    }

    fn touch(&mut self, access: Access) -> Action {
        let absent = self.model.absent_pages(self.peer);
        let pages = self.model.pages(self.peer);
        let page = match (self.dice.pick(&absent), self.dice.pick(&pages)) {
            (Some(page), _) if self.dice.once_in(2) => page,
            (_, Some(page)) if !self.dice.once_in(10) => page,
            _ => self.page().get(),
        };
        let vaddr = VirtAddr::new(page).expect("pages are in user space");
        let tells = self.dice.once_in(2);
        Action::Touch { peer: self.peer, vaddr, access, tells }
    }
}
