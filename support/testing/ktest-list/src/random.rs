// SPDX-License-Identifier: BSD-2-Clause
//! Random operations, drawn so that most succeed: the book says what the slots hold, as far as the
//! replies told. The same seed and the same replies give the same operations.

use crate::operation::{copy_with, delete, make, relocate, retype, revoke, under};
use crate::{
    ASID_POOL, Architecture, Destination, FREE_ADDRESS, ObjectType, Operation, POOL, Reply, Rights,
    Slot, TableKind, Transfer, VSPACE,
};

/// How many operations are drawn.
pub(crate) const OPERATIONS: u64 = 2000;
/// The first slot that they use, and how many.
const FIRST: u64 = 512;
const SLOTS: usize = 48;
/// Radix of every CNode, and size of most untyped objects, as powers of two.
const CNODE_BITS: u8 = 3;
const UNTYPED_BITS: u64 = 14;
/// That of the other untyped objects, and of large frames.
const LARGE_BITS: u64 = 21;
const LARGE_MASK: u64 = !((1 << LARGE_BITS) - 1);

/// seL4's number for a failed lookup, and that of a missing capability in its words.
const FAILED_LOOKUP: u64 = 6;
/// Those of a slot that is taken, and of a capability that is none.
const DELETE_FIRST: u64 = 8;
const INVALID_CAPABILITY: u64 = 2;
/// That of too little memory.
const NOT_ENOUGH_MEMORY: u64 = 10;
const MISSING_CAPABILITY: u64 = 2;

/// What a slot holds.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Held {
    object: ObjectType,
    is_mapped: bool,
    /// The slot that it was made or copied from.
    from: Slot,
}

/// What all slots hold.
pub(crate) struct Book {
    random: u64,
    architecture: Architecture,
    slots: [Option<Held>; SLOTS],
    /// A table that a mapping lacked.
    wanted: Option<(TableKind, u64)>,
    /// Whether the pool had too little memory for an object.
    is_full: bool,
    /// A notification that was just signalled: nothing else may be polled, as a poll of an empty
    /// slot is a fault of the first thread.
    signalled: Option<Slot>,
    /// Where a frame was last mapped.
    used: u64,
}

impl Book {
    /// Begins with empty slots.
    pub(crate) const fn new(architecture: Architecture, seed: u64) -> Self {
        // xorshift stays at 0.
        let random = seed | 1 << 63;
        let (slots, used) = ([None; SLOTS], FREE_ADDRESS);
        let (wanted, signalled) = (None, None);
        Self { random, architecture, slots, wanted, is_full: false, signalled, used }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.checked_rem(bound).unwrap_or_default()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let index = self.below(u64::try_from(from.len()).unwrap_or_default());
        from.get(usize::try_from(index).unwrap_or_default()).copied()
    }

    /// Draws one of the slots whose contents fit, in a round that begins anywhere.
    fn find(&mut self, fits: impl Fn(Option<Held>) -> bool) -> Option<Slot> {
        let start = usize::try_from(self.below(FIRST)).unwrap_or_default();
        let slots = self.slots.iter().zip(FIRST..).cycle().skip(start).take(SLOTS);
        slots.filter(|(held, _)| fits(**held)).map(|(_, slot)| Slot(slot)).next()
    }

    fn holding(&mut self, object: ObjectType, is_mapped: Option<bool>) -> Option<Slot> {
        self.find(|held| {
            held.is_some_and(|held| {
                held.object == object && is_mapped.is_none_or(|mapped| held.is_mapped == mapped)
            })
        })
    }

    fn empty(&mut self) -> Option<Slot> {
        self.find(|held| held.is_none())
    }

    fn vaddr(&mut self) -> u64 {
        FREE_ADDRESS | self.below(2) << 30 | self.below(2) << 21 | self.below(4) << 12
    }

    /// Draws an address to load from or store to.
    fn address(&mut self) -> u64 {
        match self.below(4) {
            0 => self.vaddr(),
            _ => self.used,
        }
    }

    fn rights(&mut self) -> Rights {
        self.pick(&[Rights::All, Rights::All, Rights::Read, Rights::None]).unwrap_or(Rights::All)
    }

    /// Draws the next operation.
    pub(crate) fn next(&mut self) -> Operation {
        if let Some(notification) = self.signalled.take() {
            return Operation::Poll(notification);
        }
        if core::mem::take(&mut self.is_full) {
            return revoke(POOL);
        }
        loop {
            if let Some(operation) = self.table_wanted().or_else(|| self.draw()) {
                return operation;
            }
        }
    }

    /// Makes and maps the table that was lacking.
    fn table_wanted(&mut self) -> Option<Operation> {
        let (kind, vaddr) = self.wanted?;
        if let Some(table) = self.holding(ObjectType::Table(kind), Some(false)) {
            self.wanted = None;
            return Some(Operation::TableMap(kind, table, VSPACE, vaddr));
        }
        match self.empty() {
            Some(slot) => Some(make(POOL, ObjectType::Table(kind), slot)),
            None => self.find(|held| held.is_some()).map(delete),
        }
    }

    /// Draws an operation; `None` if nothing is there that it needs.
    fn draw(&mut self) -> Option<Operation> {
        let any = self.find(|held| held.is_some());
        Some(match self.below(20) {
            0..=4 => self.retype()?,
            5 | 6 => copy_with(self.rights(), any?, self.empty()?),
            7 => relocate(any?, self.empty()?),
            8 => delete(any?),
            9 if self.below(30) == 0 => revoke(POOL),
            9 if self.below(3) == 0 => revoke(any?),
            9 => copy_with(self.rights(), any?, self.empty()?),
            10..=12 => {
                let (object, mask) = match self.below(5) {
                    0 => (ObjectType::LargeFrame, LARGE_MASK),
                    _ => (ObjectType::Frame, u64::MAX),
                };
                let frame = self.holding(object, Some(false))?;
                Operation::PageMap(frame, VSPACE, self.vaddr() & mask, self.rights())
            }
            13 => {
                let object = self.pick(&[ObjectType::Frame, ObjectType::LargeFrame])?;
                Operation::PageUnmap(self.holding(object, Some(true))?)
            }
            14 => Operation::Load(self.address()),
            15 => Operation::Store(self.address(), u8::try_from(self.below(256)).unwrap_or(0)),
            16 => {
                let kind = self.kind();
                let table = self.holding(ObjectType::Table(kind), Some(true))?;
                Operation::TableUnmap(kind, table)
            }
            17 => self.in_a_cnode()?,
            18 => Operation::Signal(self.holding(ObjectType::Notification, None)?),
            _ => Operation::AsidAssign(ASID_POOL, self.holding(ObjectType::VSpace, Some(false))?),
        })
    }

    fn kind(&mut self) -> TableKind {
        let kinds = [TableKind::PageTable, TableKind::PageDirectory, TableKind::Pdpt];
        match self.architecture {
            Architecture::X86_64 => self.pick(&kinds).unwrap_or(TableKind::PageTable),
            Architecture::Aarch64 | Architecture::Aarch64Debug => TableKind::PageTable,
        }
    }

    fn retype(&mut self) -> Option<Operation> {
        let to = self.empty()?;
        let from = match self.below(3) {
            0 => self.holding(ObjectType::Untyped, None).unwrap_or(POOL),
            _ => POOL,
        };
        let object = match self.below(13) {
            0..=2 => {
                let bits = if self.below(4) == 0 { LARGE_BITS } else { UNTYPED_BITS };
                return Some(retype(from, ObjectType::Untyped, bits, to, 1));
            }
            12 => ObjectType::LargeFrame,
            3 => return Some(retype(from, ObjectType::CNode, CNODE_BITS.into(), to, 1)),
            4 => ObjectType::Table(self.kind()),
            5 => ObjectType::VSpace,
            6 => ObjectType::Notification,
            7 => ObjectType::Tcb,
            _ => ObjectType::Frame,
        };
        Some(make(from, object, to))
    }

    /// Copies or moves a frame into a CNode, or deletes what is there.
    fn in_a_cnode(&mut self) -> Option<Operation> {
        let node = self.holding(ObjectType::CNode, None)?;
        let place = under(node, self.below(1 << CNODE_BITS), CNODE_BITS);
        let frame = self.holding(ObjectType::Frame, None)?;
        let from = crate::operation::at(frame);
        Some(match self.below(4) {
            0 => Operation::Delete(place),
            1 => Operation::Transfer(Transfer::Move, place, from),
            _ => Operation::Transfer(Transfer::Copy(self.rights()), place, from),
        })
    }

    /// Notes what a reply tells.
    pub(crate) fn note(&mut self, operation: &Operation, reply: &Reply) {
        if let (Operation::PageMap(_, _, vaddr, _), Reply::Refused { code: FAILED_LOOKUP, words }) =
            (operation, reply)
        {
            let [_, fault, bits, ..] = *words;
            let kind = match (self.architecture, bits) {
                (Architecture::X86_64, 39) => TableKind::Pdpt,
                (Architecture::X86_64, 30) => TableKind::PageDirectory,
                _ => TableKind::PageTable,
            };
            // On aarch64 12 says that a table is where a large page was to be.
            self.wanted = (fault == MISSING_CAPABILITY && bits != 12).then_some((kind, *vaddr));
        }
        if let (Operation::Retype(POOL, ..), Reply::Refused { code: NOT_ENOUGH_MEMORY, .. }) =
            (operation, reply)
        {
            self.is_full = true;
        }
        if let Reply::Refused { code, words: [which, ..] } = *reply {
            self.correct(operation, code, which);
        }
        if *reply != Reply::Done {
            return;
        }
        match *operation {
            Operation::Retype(from, object, _, to) => {
                self.put(Slot(to.offset), Some(Held { object, is_mapped: false, from }));
            }
            Operation::Transfer(how, to, from) => {
                let (to, from) = (Slot(to.index), Slot(from.index));
                let held = self.held(from);
                match how {
                    Transfer::Move | Transfer::Mutate(_) => {
                        self.inherit(from, to);
                        self.put(from, None);
                        self.put(to, held);
                    }
                    _ => self.put(to, held.map(|held| Held { is_mapped: false, from, ..held })),
                }
            }
            Operation::Delete(at) => {
                let slot = Slot(at.index);
                let from = self.held(slot).map_or(POOL, |held| held.from);
                self.inherit(slot, from);
                self.put(slot, None);
            }
            Operation::Revoke(at) => self.forget(Slot(at.index)),
            Operation::PageMap(slot, _, vaddr, _) => {
                self.used = vaddr;
                self.map(slot, true);
            }
            Operation::TableMap(_, slot, ..) | Operation::AsidAssign(_, slot) => {
                self.map(slot, true);
            }
            Operation::Signal(slot) => self.signalled = Some(slot),
            Operation::PageUnmap(slot) | Operation::TableUnmap(_, slot) => self.map(slot, false),
            _ => {}
        }
    }

    /// Learns from a refusal that a slot holds something, or nothing, against expectation.
    fn correct(&mut self, operation: &Operation, code: u64, which: u64) {
        match *operation {
            Operation::Retype(from, _, _, Destination { offset, .. })
                if code == DELETE_FIRST && self.held(Slot(offset)).is_none() =>
            {
                let unknown = Held { object: ObjectType::Tcb, is_mapped: true, from };
                self.put(Slot(offset), Some(unknown));
            }
            Operation::Retype(slot, ..)
            | Operation::Signal(slot)
            | Operation::PageMap(slot, ..)
            | Operation::PageUnmap(slot)
            | Operation::TableMap(_, slot, ..)
            | Operation::TableUnmap(_, slot)
                if code == INVALID_CAPABILITY && which == 0 =>
            {
                self.put(slot, None);
            }
            _ => {}
        }
    }

    fn place(&mut self, slot: Slot) -> Option<&mut Option<Held>> {
        self.slots.get_mut(usize::try_from(slot.0.checked_sub(FIRST)?).ok()?)
    }

    fn held(&mut self, slot: Slot) -> Option<Held> {
        self.place(slot).and_then(|place| *place)
    }

    /// Slots of CNodes have small numbers, and are in no place.
    fn put(&mut self, slot: Slot, held: Option<Held>) {
        if let Some(place) = self.place(slot) {
            *place = held;
        }
    }

    fn map(&mut self, slot: Slot, is_mapped: bool) {
        let held = self.held(slot);
        self.put(slot, held.map(|held| Held { is_mapped, ..held }));
    }

    /// What came from one slot now counts as from another.
    fn inherit(&mut self, old: Slot, new: Slot) {
        for held in self.slots.iter_mut().flatten().filter(|held| held.from == old) {
            held.from = new;
        }
    }

    /// Forgets all that came from a slot; its own contents stay.
    fn forget(&mut self, from: Slot) {
        for slot in (FIRST..).take(SLOTS).map(Slot) {
            if self.held(slot).is_some_and(|held| held.from == from) {
                self.put(slot, None);
                self.forget(slot);
            }
        }
    }
}
