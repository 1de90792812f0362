// SPDX-License-Identifier: BSD-2-Clause
//! What is in frames. A *cell* is what frames that are really shared have in common, one frame
//! otherwise; a *memory* is what cells share until one of them is written to.
//!
//! Copy-on-write is invisible in contents. It is kept all the same, as what `map` grants and
//! `status` tells depends on it.

use std::collections::{BTreeMap, BTreeSet};

use crate::objects::{CellId, ContainerId, MemoryId};

/// A frame, by its container and its number.
pub(crate) type Place = (ContainerId, u64);

/// Whether something is so, where the protocol leaves it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Doubt {
    #[default]
    No,
    Perhaps,
    Yes,
}

impl Doubt {
    pub(crate) fn surely(self) -> bool {
        self == Self::Yes
    }

    pub(crate) fn perhaps(self) -> bool {
        self != Self::No
    }
}

#[derive(Clone, Debug, Default)]
struct Cell {
    memory: Option<MemoryId>,
    members: BTreeSet<Place>,
    /// Whether it was given contents by a copy of a frame that has none: by `supply` surely, by
    /// `copy` perhaps, as it reads as zero then (PM-160) and yet has no contents.
    is_blank: Doubt,
}

#[derive(Clone, Debug)]
struct Memory {
    value: u64,
    cells: BTreeSet<CellId>,
    /// Whether a frame that keeps its physical memory had a part in the sharing, so that the server
    /// may have copied the bytes at once.
    is_vague: bool,
}

/// The contents of all frames.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    cells: BTreeMap<CellId, Cell>,
    memories: BTreeMap<MemoryId, Memory>,
    next: u64,
}

impl Contents {
    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn cell(&self, cell: CellId) -> &Cell {
        &self.cells[&cell]
    }

    /// Makes a cell without contents; a place joins it.
    pub(crate) fn make(&mut self, place: Option<Place>) -> CellId {
        let id = CellId(self.fresh());
        let members = place.into_iter().collect();
        self.cells.insert(id, Cell { members, ..Cell::default() });
        id
    }

    pub(crate) fn join(&mut self, cell: CellId, place: Place) {
        self.cells.entry(cell).or_default().members.insert(place);
    }

    /// Takes a place out of its cell, which goes with its last.
    pub(crate) fn leave(&mut self, cell: CellId, place: Place) {
        self.cells.entry(cell).or_default().members.remove(&place);
        if self.cell(cell).members.is_empty() {
            self.drop_cell(cell);
        }
    }

    pub(crate) fn drop_cell(&mut self, cell: CellId) {
        self.renew(cell);
        self.cells.remove(&cell);
    }

    /// Returns the frames that are one memory for good.
    pub(crate) fn members(&self, cell: CellId) -> &BTreeSet<Place> {
        &self.cell(cell).members
    }

    /// Returns the frames of all cells that have the same memory until one is written to.
    pub(crate) fn siblings(&self, cell: CellId) -> Vec<Place> {
        let memory = self.cell(cell).memory.and_then(|memory| self.memories.get(&memory));
        let cells = memory.iter().flat_map(|memory| memory.cells.iter());
        cells.filter(|id| **id != cell).flat_map(|id| self.members(*id).iter().copied()).collect()
    }

    pub(crate) fn is_bound(&self, cell: CellId) -> bool {
        self.cell(cell).memory.is_some()
    }

    pub(crate) fn is_blank(&self, cell: CellId) -> Doubt {
        self.cell(cell).is_blank
    }

    /// Says that a cell without memory has been supplied with zeros.
    pub(crate) fn settle(&mut self, cell: CellId) {
        self.cells.entry(cell).or_default().is_blank = Doubt::Yes;
    }

    /// Whether a store to the cell has to make a copy first.
    pub(crate) fn is_shared(&self, cell: CellId) -> Doubt {
        let memory = self.cell(cell).memory.and_then(|memory| self.memories.get(&memory));
        match memory {
            Some(memory) if memory.cells.len() > 1 && memory.is_vague => Doubt::Perhaps,
            Some(memory) if memory.cells.len() > 1 => Doubt::Yes,
            _ => Doubt::No,
        }
    }

    pub(crate) fn value(&self, cell: CellId) -> u64 {
        let memory = self.cell(cell).memory.and_then(|memory| self.memories.get(&memory));
        memory.map_or(0, |memory| memory.value)
    }

    pub(crate) fn write(&mut self, cell: CellId, value: u64) {
        self.bind_alone(cell);
        let memory = self.cell(cell).memory.and_then(|memory| self.memories.get_mut(&memory));
        if let Some(memory) = memory {
            memory.value = value;
        }
    }

    /// Gives a cell memory, with the contents that it has.
    pub(crate) fn bind(&mut self, cell: CellId) {
        if !self.is_bound(cell) {
            let id = MemoryId(self.fresh());
            let cells = BTreeSet::from([cell]);
            self.memories.insert(id, Memory { value: 0, cells, is_vague: false });
            self.cells.entry(cell).or_default().memory = Some(id);
        }
    }

    /// Gives a cell memory that no other has, with the contents that it has.
    pub(crate) fn bind_alone(&mut self, cell: CellId) {
        if self.is_shared(cell) != Doubt::No {
            let value = self.value(cell);
            self.renew(cell);
            self.bind(cell);
            self.write(cell, value);
        }
        self.bind(cell);
    }

    /// Takes the contents away.
    pub(crate) fn renew(&mut self, cell: CellId) {
        let Some(entry) = self.cells.get_mut(&cell) else { return };
        entry.is_blank = Doubt::No;
        let Some(id) = entry.memory.take() else { return };
        if let Some(memory) = self.memories.get_mut(&id) {
            memory.cells.remove(&cell);
            if memory.cells.is_empty() {
                self.memories.remove(&id);
            }
        }
    }

    /// Makes the contents of one cell those of another, copy-on-write.
    pub(crate) fn copy(&mut self, from: CellId, to: CellId) {
        if from == to {
            return;
        }
        self.renew(to);
        let memory = self.cell(from).memory;
        if let Some(shared) = memory.and_then(|memory| self.memories.get_mut(&memory)) {
            shared.cells.insert(to);
        }
        let entry = self.cells.entry(to).or_default();
        entry.memory = memory;
        entry.is_blank = if memory.is_none() { Doubt::Perhaps } else { Doubt::No };
    }

    /// Says that the memory of a cell has to stay where it is.
    pub(crate) fn blur(&mut self, cell: CellId) {
        let memory = self.cell(cell).memory.and_then(|memory| self.memories.get_mut(&memory));
        if let Some(memory) = memory {
            memory.is_vague = true;
        }
    }

    /// Says so of all of them.
    pub(crate) fn blur_all(&mut self) {
        self.memories.values_mut().for_each(|memory| memory.is_vague = true);
    }
}
