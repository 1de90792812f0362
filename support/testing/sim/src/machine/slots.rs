// SPDX-License-Identifier: BSD-2-Clause
//! Slots and the derivation tree that links them.
//!
//! As in the kernel, the tree is stored as a list in which every capability comes after its parent.
//! Which one is the parent of which follows from two flags in each slot and from the objects that
//! the capabilities refer to (seL4 manual, "Capability Derivation Tree"). If a slot is removed from
//! the list, its children therefore become children of its parent.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::object::Architecture;
use super::{Cap, Error};

/// A slot, named by its CNode and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotRef {
    pub(crate) node: u64,
    pub(crate) index: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    cap: Cap,
    previous: Option<SlotRef>,
    next: Option<SlotRef>,
    revocable: bool,
    first_badged: bool,
}

/// Slots that a clone shares at once.
const CHUNK_SLOTS: usize = 32;
type Node = Rc<Vec<Rc<[Slot; CHUNK_SLOTS]>>>;

/// All CNodes of the machine, keyed by physical address. Clones share slots until one of them
/// writes.
#[derive(Clone)]
pub(crate) struct Slots {
    architecture: Architecture,
    nodes: BTreeMap<u64, Node>,
}

impl Slots {
    pub(crate) const fn new(architecture: Architecture) -> Self {
        Self { architecture, nodes: BTreeMap::new() }
    }

    pub(crate) fn add_node(&mut self, base: u64, radix: u8) {
        let empty = Rc::new([Slot::default(); CHUNK_SLOTS]);
        let chunks = (1_usize << radix).div_ceil(CHUNK_SLOTS);
        self.nodes.insert(base, Rc::new(vec![empty; chunks]));
    }

    /// Removes the CNodes in a range of memory that is cleared; their slots are already empty.
    pub(crate) fn clear(&mut self, start: u64, bytes: u64) {
        let gone: Vec<u64> =
            self.nodes.range(start..start + bytes).map(|(&base, _)| base).collect();
        for base in gone {
            self.nodes.remove(&base);
        }
    }

    fn slot(&self, at: SlotRef) -> &Slot {
        let index = usize::try_from(at.index).expect("a 64-bit host");
        &self.nodes[&at.node][index / CHUNK_SLOTS][index % CHUNK_SLOTS]
    }

    fn slot_mut(&mut self, at: SlotRef) -> &mut Slot {
        let node = self.nodes.get_mut(&at.node).expect("a slot is in a CNode");
        let index = usize::try_from(at.index).expect("a 64-bit host");
        let chunk = &mut Rc::make_mut(node)[index / CHUNK_SLOTS];
        &mut Rc::make_mut(chunk)[index % CHUNK_SLOTS]
    }

    pub(crate) fn cap(&self, at: SlotRef) -> Cap {
        self.slot(at).cap
    }

    /// Returns the capabilities in all slots.
    pub(crate) fn caps(&self) -> impl Iterator<Item = Cap> {
        let slots = self.nodes.values().flat_map(|node| node.iter()).flat_map(|chunk| chunk.iter());
        slots.map(|slot| slot.cap).filter(|cap| !cap.is_null())
    }

    /// Changes a capability, but not its links in the tree.
    pub(crate) fn set_cap(&mut self, at: SlotRef, cap: Cap) {
        self.slot_mut(at).cap = cap;
    }

    pub(crate) fn ensure_empty(&self, at: SlotRef) -> Result<(), Error> {
        if self.cap(at).is_null() { Ok(()) } else { Err(Error::DeleteFirst) }
    }

    pub(crate) fn ensure_no_children(&self, at: SlotRef) -> Result<(), Error> {
        if self.first_child(at).is_some() { Err(Error::RevokeFirst) } else { Ok(()) }
    }

    /// Returns the next slot if it is a child of this one.
    pub(crate) fn first_child(&self, at: SlotRef) -> Option<SlotRef> {
        self.slot(at).next.filter(|&next| self.is_parent(at, next))
    }

    fn is_parent(&self, parent: SlotRef, child: SlotRef) -> bool {
        let (a, b) = (self.slot(parent), self.slot(child));
        if !a.revocable || !a.cap.same_region_as(&b.cap, self.architecture) {
            return false;
        }
        match (a.cap, b.cap) {
            (Cap::Notification { badge, .. }, Cap::Notification { badge: of_child, .. }) => {
                badge == 0 || (badge == of_child && !b.first_badged)
            }
            _ => true,
        }
    }

    /// Returns whether no other capability refers to the same object.
    pub(crate) fn is_final(&self, at: SlotRef) -> bool {
        let slot = self.slot(at);
        let same = |a: Cap, b: Cap| a.same_object_as(&b, self.architecture);
        let before = slot.previous.is_some_and(|other| same(self.cap(other), slot.cap));
        let after = slot.next.is_some_and(|other| same(slot.cap, self.cap(other)));
        !before && !after
    }

    /// Inserts the capability to a new object as a child of the untyped it was made from.
    pub(crate) fn insert_new(&mut self, parent: SlotRef, at: SlotRef, cap: Cap) {
        self.link_after(parent, at, cap, true);
    }

    /// Puts a capability without a parent into an empty slot.
    pub(crate) fn insert_root(&mut self, at: SlotRef, cap: Cap) {
        *self.slot_mut(at) = Slot { cap, revocable: true, first_badged: true, ..Slot::default() };
    }

    /// Inserts a derived capability directly after its source.
    pub(crate) fn insert_derived(&mut self, source: SlotRef, at: SlotRef, cap: Cap) {
        let of_source = self.cap(source);
        if let (
            Cap::Untyped { base, size_bits, .. },
            Cap::Untyped { base: new_base, size_bits: new_bits, .. },
        ) = (of_source, cap)
            && (base, size_bits) == (new_base, new_bits)
        {
            // Only one of two capabilities to the same untyped may make objects in its memory.
            self.set_cap(source, Cap::Untyped { base, size_bits, free: 1 << size_bits });
        }
        self.link_after(source, at, cap, cap.is_revocable(&of_source));
    }

    fn link_after(&mut self, before: SlotRef, at: SlotRef, cap: Cap, marked: bool) {
        let next = self.slot(before).next;
        let previous = Some(before);
        *self.slot_mut(at) = Slot { cap, previous, next, revocable: marked, first_badged: marked };
        self.slot_mut(before).next = Some(at);
        if let Some(next) = next {
            self.slot_mut(next).previous = Some(at);
        }
    }

    /// Moves a capability to an empty slot and changes it to `cap`.
    pub(crate) fn relocate(&mut self, from: SlotRef, to: SlotRef, cap: Cap) {
        let slot = std::mem::take(self.slot_mut(from));
        *self.slot_mut(to) = Slot { cap, ..slot };
        self.link_neighbours(to);
    }

    /// Exchanges two slots, including their links in the tree.
    pub(crate) fn swap(&mut self, a: SlotRef, b: SlotRef) {
        if a == b {
            return;
        }
        let rename = |link: Option<SlotRef>| match link {
            Some(link) if link == a => Some(b),
            Some(link) if link == b => Some(a),
            other => other,
        };
        let (mut of_a, mut of_b) = (*self.slot(a), *self.slot(b));
        for slot in [&mut of_a, &mut of_b] {
            slot.previous = rename(slot.previous);
            slot.next = rename(slot.next);
        }
        *self.slot_mut(a) = of_b;
        *self.slot_mut(b) = of_a;
        self.link_neighbours(a);
        self.link_neighbours(b);
    }

    fn link_neighbours(&mut self, at: SlotRef) {
        let Slot { previous, next, .. } = *self.slot(at);
        if let Some(previous) = previous {
            self.slot_mut(previous).next = Some(at);
        }
        if let Some(next) = next {
            self.slot_mut(next).previous = Some(at);
        }
    }

    /// Empties a slot.
    pub(crate) fn remove(&mut self, at: SlotRef) {
        let Slot { previous, next, first_badged, .. } = std::mem::take(self.slot_mut(at));
        if let Some(previous) = previous {
            self.slot_mut(previous).next = next;
        }
        if let Some(next) = next {
            let next = self.slot_mut(next);
            next.previous = previous;
            next.first_badged |= first_badged;
        }
    }
}
