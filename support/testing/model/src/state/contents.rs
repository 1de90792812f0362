// SPDX-License-Identifier: BSD-2-Clause
//! The contents of frames. Frames that are really shared are one *cell*; any other frame has a cell
//! of its own. Cells that are shared copy-on-write have one *memory* until one of them is written.
//!
//! Copy-on-write does not show in contents, but in the rights that `map` grants and in `status`.

use std::collections::{BTreeMap, BTreeSet};

use super::objects::{CellId, ContainerId, MemoryId};
use crate::answers::Doubt;

/// A frame, by its container and its number.
pub(crate) type Place = (ContainerId, u64);

#[derive(Clone, Debug, Default)]
struct Cell {
    memory: Option<MemoryId>,
    members: BTreeSet<Place>,
}

#[derive(Clone, Debug)]
struct Memory {
    value: u64,
    cells: BTreeSet<CellId>,
    /// Whether its cells may have been copied apart already: the kernel refused something, or a pin
    /// had ended, which a server notices later.
    is_vague: bool,
    /// How many cells it had at most.
    most: usize,
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

    /// Makes a cell without contents, with at most one frame.
    pub(crate) fn make(&mut self, place: Option<Place>) -> CellId {
        let id = CellId(self.fresh());
        let members = place.into_iter().collect();
        self.cells.insert(id, Cell { members, ..Cell::default() });
        id
    }

    pub(crate) fn join(&mut self, cell: CellId, place: Place) {
        self.cells.entry(cell).or_default().members.insert(place);
    }

    /// Takes a frame out of its cell, which goes with its last frame.
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

    /// Returns the frames of a cell: those that are really shared.
    pub(crate) fn members(&self, cell: CellId) -> &BTreeSet<Place> {
        &self.cell(cell).members
    }

    /// Returns the frames of the other cells with the same memory.
    pub(crate) fn siblings(&self, cell: CellId) -> Vec<Place> {
        let memory = self.cell(cell).memory.and_then(|memory| self.memories.get(&memory));
        let cells = memory.iter().flat_map(|memory| memory.cells.iter());
        cells.filter(|id| **id != cell).flat_map(|id| self.members(*id).iter().copied()).collect()
    }

    /// Returns whether a server may not know all cells of a memory, because there are, or were,
    /// more of them than so many.
    pub(crate) fn is_crowded(&self, cell: CellId, most: usize) -> Doubt {
        let memory = self.cell(cell).memory.and_then(|memory| self.memories.get(&memory));
        match memory {
            Some(memory) if memory.cells.len() > most && !memory.is_vague => Doubt::Yes,
            Some(memory) if memory.most > most => Doubt::Perhaps,
            _ => Doubt::No,
        }
    }

    /// Returns whether two cells have the same memory.
    pub(crate) fn is_same_memory(&self, one: CellId, other: CellId) -> bool {
        self.is_bound(one) && self.cell(one).memory == self.cell(other).memory
    }

    /// Returns whether a cell has memory.
    pub(crate) fn is_bound(&self, cell: CellId) -> bool {
        self.cell(cell).memory.is_some()
    }

    /// Returns whether a store to the cell has to copy its memory first.
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

    /// Gives a cell memory if it has none.
    pub(crate) fn bind(&mut self, cell: CellId) {
        if !self.is_bound(cell) {
            let id = MemoryId(self.fresh());
            let cells = BTreeSet::from([cell]);
            self.memories.insert(id, Memory { value: 0, cells, is_vague: false, most: 1 });
            self.cells.entry(cell).or_default().memory = Some(id);
        }
    }

    /// Gives a cell memory that no other cell has, with the same contents.
    pub(crate) fn bind_alone(&mut self, cell: CellId) {
        if self.is_shared(cell) != Doubt::No {
            let value = self.value(cell);
            self.renew(cell);
            self.bind(cell);
            self.write(cell, value);
        }
        self.bind(cell);
    }

    /// Takes the contents of a cell away.
    pub(crate) fn renew(&mut self, cell: CellId) {
        let Some(entry) = self.cells.get_mut(&cell) else { return };
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
            shared.most = shared.most.max(shared.cells.len());
        }
        self.cells.entry(to).or_default().memory = memory;
    }

    /// Notes that the cells of a memory may be apart already.
    pub(crate) fn blur(&mut self, cell: CellId) {
        let memory = self.cell(cell).memory.and_then(|memory| self.memories.get_mut(&memory));
        if let Some(memory) = memory {
            memory.is_vague = true;
        }
    }

    /// The same for all memories.
    pub(crate) fn blur_all(&mut self) {
        self.memories.values_mut().for_each(|memory| memory.is_vague = true);
    }
}
