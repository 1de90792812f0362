// SPDX-License-Identifier: BSD-2-Clause
//! Random operations: a kind and dice.
//!
//! What the dice select is decided when the operation is carried out, from the state at that time.
//! So any operation can be left out of a run and the others still work: that is how a failing run
//! is made short.

use fastrand::Rng;

use super::shape::Shape;

const DICE: usize = 16;

/// Kinds of operations: the protocol's, accesses of programs, and what else happens in a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Destroy,
    Allocate,
    Anywhere,
    Contiguous,
    Deallocate,
    Renew,
    Mark,
    Status,
    Share,
    Unshare,
    Lock,
    Unlock,
    Map,
    Unmap,
    Remap,
    Attach,
    Detach,
    Copy,
    CopyList,
    CreateWith,
    CreateFrom,
    CreateGather,
    Grant,
    Ungrant,
    EnsureTables,
    Split,
    DestroyAccount,
    RemoveAccount,
    SetLimits,
    Lend,
    Recall,
    VspaceAccount,
    ExtraRequest,
    Pin,
    BusAddress,
    DeviceReset,
    SetHandler,
    NextFault,
    Supply,
    Refuse,
    Disturb,
    Reclaim,
    Recovery,
    Watch,
    Rescue,
    Who,
    Load,
    Store,
    Advance,
    FailNth,
    Arm,
    Disarm,
    Take,
}

/// How often each kind is drawn; the seed multiplies each weight by 0 to 4.
const WEIGHTS: [(Kind, u32); 54] = [
    (Kind::Create, 5),
    (Kind::Destroy, 2),
    (Kind::Allocate, 20),
    (Kind::Anywhere, 2),
    (Kind::Contiguous, 2),
    (Kind::Deallocate, 3),
    (Kind::Renew, 3),
    (Kind::Mark, 2),
    (Kind::Status, 4),
    (Kind::Share, 7),
    (Kind::Unshare, 3),
    (Kind::Lock, 6),
    (Kind::Unlock, 3),
    (Kind::Map, 20),
    (Kind::Unmap, 4),
    (Kind::Remap, 4),
    (Kind::Attach, 4),
    (Kind::Detach, 2),
    (Kind::Copy, 24),
    (Kind::CopyList, 6),
    (Kind::CreateWith, 2),
    (Kind::CreateFrom, 3),
    (Kind::CreateGather, 6),
    (Kind::Grant, 3),
    (Kind::Ungrant, 2),
    (Kind::EnsureTables, 1),
    (Kind::Split, 3),
    (Kind::DestroyAccount, 1),
    (Kind::RemoveAccount, 1),
    (Kind::SetLimits, 3),
    (Kind::Lend, 2),
    (Kind::Recall, 2),
    (Kind::VspaceAccount, 1),
    (Kind::ExtraRequest, 1),
    (Kind::Pin, 4),
    (Kind::BusAddress, 3),
    (Kind::DeviceReset, 1),
    (Kind::SetHandler, 8),
    (Kind::NextFault, 10),
    (Kind::Supply, 14),
    (Kind::Refuse, 2),
    (Kind::Disturb, 5),
    (Kind::Reclaim, 4),
    (Kind::Recovery, 2),
    (Kind::Watch, 2),
    (Kind::Rescue, 2),
    (Kind::Who, 1),
    (Kind::Load, 24),
    (Kind::Store, 20),
    (Kind::Advance, 5),
    (Kind::FailNth, 1),
    (Kind::Arm, 6),
    (Kind::Disarm, 2),
    (Kind::Take, 8),
];

/// One of these is drawn from the seed, too: many runs with few frames, some with as many as fit.
const SCALES: [u64; 6] = [8, 8, 8, 32, 64, 256];

/// How often a call is made again, at most.
const REPEATS_MAX: u32 = 80;

/// An operation to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    /// How many frames most calls of the run name, at most.
    pub(crate) scale: u64,
    dice: [u32; DICE],
}

/// The dice of one operation, one after the other.
pub(crate) struct Dice {
    dice: [u32; DICE],
    next: usize,
}

impl Operation {
    pub(crate) fn dice(&self) -> Dice {
        Dice { dice: self.dice, next: 0 }
    }

    /// Returns how often a call is made again that has more to do: mostly until it has done all.
    pub(crate) const fn repeats(&self) -> u32 {
        let die = self.dice[DICE - 1];
        if die.is_multiple_of(4) { die / 4 % 4 } else { REPEATS_MAX }
    }
}

impl Dice {
    fn roll(&mut self) -> u32 {
        let die = self.dice[self.next % DICE];
        // After the last die the first one is used again, and shows something else.
        let again = u32::try_from(self.next / DICE).expect("few rolls");
        self.next += 1;
        die.rotate_right(again.wrapping_mul(7)) ^ again.wrapping_mul(0x9E37_79B9)
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        (u64::from(self.roll()) * end) >> 32
    }

    /// Whether something happens that does so once in `n` times.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn any(&mut self) -> u64 {
        u64::from(self.roll()) << 32 | u64::from(self.roll())
    }

    /// Returns one of these.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let index = self.below(of.len() as u64);
        of.get(usize::try_from(index).expect("an index")).copied()
    }
}

/// Returns the operations of a seed. The weights are drawn from the seed, too: a kind that is rare
/// in one run is common in another.
pub(crate) fn operations(seed: u64, count: usize) -> Vec<Operation> {
    let mut rng = Rng::with_seed(seed);
    let is_large = Shape::of(seed).scale().is_some();
    let weights = WEIGHTS.map(|(kind, weight)| {
        let is_needed = is_large && matches!(kind, Kind::Allocate | Kind::Map | Kind::Store);
        (kind, weight * rng.u32(0..=4).max(is_needed.into()))
    });
    let total: u32 = weights.iter().map(|(_, weight)| weight).sum();
    let scale = SCALES[rng.usize(..SCALES.len())];
    let scale = Shape::of(seed).scale().unwrap_or(scale);
    let mut draw = |_| {
        let mut left = rng.u32(0..total.max(1));
        let kind = weights.iter().find(|(_, weight)| {
            let is_it = left < *weight;
            left = left.saturating_sub(*weight);
            is_it
        });
        let dice = std::array::from_fn(|_| rng.u32(..));
        Operation { kind: kind.map_or(Kind::Load, |(kind, _)| *kind), scale, dice }
    };
    (0..count).map(&mut draw).collect()
}

/// Bytes of an operation: its kind, and dice.
const OPERATION_BYTES: usize = 9;
/// As many as one run does at most.
const OPERATIONS_MAX: usize = 64;

/// Returns the operations that bytes stand for. The first byte is the scale of all.
pub(crate) fn operations_of(bytes: &[u8]) -> Vec<Operation> {
    let Some((scale, rest)) = bytes.split_first() else { return Vec::new() };
    let scale = SCALES[usize::from(*scale) % SCALES.len()];
    let operation = |bytes: &[u8; OPERATION_BYTES]| {
        let [kind, of_dice @ ..] = *bytes;
        let (kind, _) = WEIGHTS[usize::from(kind) % WEIGHTS.len()];
        // The upper bits of a die decide, and what a second die of the same byte shows differs.
        let die = |index: usize| {
            let byte = u32::from(of_dice[index % of_dice.len()]);
            (byte * 0x0101_0101).rotate_left(if index < of_dice.len() { 0 } else { 4 })
        };
        Operation { kind, scale, dice: std::array::from_fn(die) }
    };
    rest.as_chunks().0.iter().take(OPERATIONS_MAX).map(operation).collect()
}

#[cfg(test)]
mod tests {
    use pmserver_api::Operation;

    use super::{Kind, WEIGHTS};

    /// Returns the kind by which an operation of the protocol is drawn, if it is drawn at all.
    fn kind_of(operation: Operation) -> Option<Kind> {
        match operation {
            Operation::Version | Operation::WhoAmI | Operation::Clock | Operation::Inspect => {
                Some(Kind::Who)
            }
            // Every account is read at the end of a step.
            Operation::AccountInfo => None,
            Operation::ContainerCreate => Some(Kind::Create),
            Operation::ContainerDestroy => Some(Kind::Destroy),
            Operation::Allocate => Some(Kind::Allocate),
            Operation::Deallocate => Some(Kind::Deallocate),
            Operation::Share => Some(Kind::Share),
            Operation::Unshare => Some(Kind::Unshare),
            Operation::Lock => Some(Kind::Lock),
            Operation::Unlock => Some(Kind::Unlock),
            Operation::Map => Some(Kind::Map),
            Operation::Unmap => Some(Kind::Unmap),
            Operation::Status => Some(Kind::Status),
            Operation::RegisterRecovery => Some(Kind::Recovery),
            Operation::Watch => Some(Kind::Watch),
            Operation::Rescue => Some(Kind::Rescue),
            Operation::Reclaim => Some(Kind::Reclaim),
            Operation::Remap => Some(Kind::Remap),
            Operation::Renew => Some(Kind::Renew),
            Operation::AllocateAnywhere => Some(Kind::Anywhere),
            Operation::AllocateContiguous => Some(Kind::Contiguous),
            Operation::Copy => Some(Kind::Copy),
            Operation::CopyList => Some(Kind::CopyList),
            Operation::CreateWith => Some(Kind::CreateWith),
            Operation::CreateFrom => Some(Kind::CreateFrom),
            Operation::CreateGather => Some(Kind::CreateGather),
            Operation::Attach => Some(Kind::Attach),
            Operation::Detach => Some(Kind::Detach),
            Operation::Grant => Some(Kind::Grant),
            Operation::Ungrant => Some(Kind::Ungrant),
            Operation::EnsureTables => Some(Kind::EnsureTables),
            Operation::AccountSplit => Some(Kind::Split),
            Operation::AccountDestroy => Some(Kind::DestroyAccount),
            Operation::AccountRemove => Some(Kind::RemoveAccount),
            Operation::AccountSetLimits => Some(Kind::SetLimits),
            Operation::AccountLend => Some(Kind::Lend),
            Operation::AccountRecall => Some(Kind::Recall),
            Operation::VspaceAccount => Some(Kind::VspaceAccount),
            Operation::Mark => Some(Kind::Mark),
            Operation::ExtraRequest => Some(Kind::ExtraRequest),
            Operation::Pin => Some(Kind::Pin),
            Operation::BusAddress => Some(Kind::BusAddress),
            Operation::DeviceReset => Some(Kind::DeviceReset),
            Operation::SetHandler => Some(Kind::SetHandler),
            Operation::NextFault => Some(Kind::NextFault),
            Operation::Supply => Some(Kind::Supply),
            Operation::Refuse => Some(Kind::Refuse),
            Operation::Disturb => Some(Kind::Disturb),
            Operation::Arm => Some(Kind::Arm),
            Operation::Disarm => Some(Kind::Disarm),
            Operation::Take => Some(Kind::Take),
        }
    }

    #[test]
    fn every_operation_of_the_protocol_is_drawn() {
        let is_drawn = |kind| WEIGHTS.iter().any(|(drawn, weight)| *drawn == kind && *weight > 0);
        let kinds = Operation::ALL.iter().filter_map(|operation| kind_of(*operation));
        for kind in kinds {
            assert!(is_drawn(kind), "{kind:?} is never drawn");
        }
    }
}
