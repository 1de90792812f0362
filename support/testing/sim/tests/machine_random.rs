// SPDX-License-Identifier: BSD-2-Clause
//! Random lists of invocations: the machine answers each of them, and revoking all memory undoes
//! them all (seL4 manual, "CNode Revoke").
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod first_thread;

use first_thread::{ARM, FirstThread, MEMORY_BITS, ROOT, UNTYPED, X86, root_window};
use sim::machine::{
    Cap, CapRights, Destination, Invocation, Machine, ObjectType, Place, Source, TableKind,
    Transfer,
};

const SLOTS: u64 = 48;
const STEPS: u64 = 40_000;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn slot(&mut self) -> u64 {
        Machine::ROOT_EMPTY + self.below(SLOTS)
    }

    fn kind(&mut self) -> TableKind {
        self.pick(&[TableKind::PageTable, TableKind::PageDirectory, TableKind::Pdpt])
    }

    /// Draws a slot of the root, or of a CNode in one of its slots.
    fn place(&mut self, root: u64) -> Place {
        match root {
            ROOT => Place { index: self.slot(), depth: 64 },
            _ => Place { index: self.below(8), depth: self.below(4) },
        }
    }

    fn node(&mut self) -> u64 {
        let slot = self.slot();
        self.pick(&[ROOT, ROOT, slot])
    }

    fn vaddr(&mut self) -> u64 {
        let far = self.0;
        let near = self.below(4) << 39 | self.below(2) << 30 | self.below(3) << 21;
        let page = near | self.below(4) << 12;
        self.pick(&[page, page, page, near, page + 1, far])
    }

    fn retype(&mut self) -> Invocation {
        let object_type = match self.below(9) {
            8 => ObjectType::LargeFrame,
            0 | 1 => ObjectType::Untyped,
            2 => ObjectType::CapTable,
            3 => ObjectType::Frame,
            4 => ObjectType::VSpace,
            5 => self.pick(&[ObjectType::Tcb, ObjectType::Notification]),
            _ => ObjectType::Table(self.kind()),
        };
        let small = self.below(4);
        let size_bits = if object_type == ObjectType::Untyped { 11 + small } else { small };
        let root = self.node();
        let offset = if root == ROOT { self.slot() } else { self.below(9) };
        let count = 1 + self.below(3);
        let to = Destination { root, index: 0, depth: 0, offset, count };
        Invocation::Retype { object_type, size_bits, to }
    }

    fn transfer(&mut self, node: u64) -> Invocation {
        let root = self.node();
        let Place { index, depth } = self.place(root);
        let rights = self.pick(&[CapRights::ALL, CapRights::READ]);
        let data = self.below(3) << 6 | self.below(5);
        let copy = Transfer::Copy(rights);
        let how = self.pick(&[
            copy,
            copy,
            Transfer::Mint(rights, data),
            Transfer::Move,
            Transfer::Mutate(data),
        ]);
        Invocation::Transfer { to: self.place(node), from: Source { root, index, depth }, how }
    }

    fn step(&mut self) -> (u64, Invocation) {
        let (slot, vspace, vaddr) = (self.slot(), self.slot(), self.vaddr());
        let node = self.node();
        match self.below(14) {
            0 | 1 => (self.pick(&[UNTYPED, slot, slot, slot]), self.retype()),
            2..=4 => (node, self.transfer(node)),
            5 => (node, Invocation::Delete(self.place(node))),
            6 if self.below(3) == 0 => (node, Invocation::Revoke(self.place(node))),
            6 | 7 => (slot, Invocation::PageMap { vspace, vaddr, rights: CapRights::ALL }),
            8 => (slot, Invocation::PageUnmap),
            9 | 10 => (slot, Invocation::TableMap { kind: self.kind(), vspace, vaddr }),
            11 => (slot, Invocation::TableUnmap { kind: self.kind() }),
            12 => (Machine::ROOT_ASID_POOL, Invocation::AsidAssign { vspace }),
            _ => (slot, self.pick(&[Invocation::Signal, Invocation::Poll])),
        }
    }
}

#[test]
fn revoking_all_memory_undoes_everything() {
    for (architecture, seed) in [(X86, 3), (X86, 0xABCD_EF01), (ARM, 4), (ARM, 0x5555_1234)] {
        let mut thread = FirstThread::new(architecture);
        let mut random = Random(seed);
        let mut succeeded = 0;
        for _ in 0..STEPS {
            let (target, invocation) = random.step();
            succeeded += u64::from(thread.invoke(target, invocation).is_ok());
            if let Cap::Frame { base, .. } = thread.look(target) {
                thread.machine.page_mut(base).0[9] = 1;
            }
        }
        assert!(succeeded > STEPS / 20, "{succeeded} of {STEPS} did something");
        thread.revoke(UNTYPED);
        for slot in Machine::ROOT_EMPTY..Machine::ROOT_EMPTY + SLOTS + 8 {
            assert_eq!(thread.look(slot), Cap::Null, "seed {seed:#x} slot {slot}");
        }
        let all = root_window(Machine::ROOT_EMPTY, 1);
        thread.retype_to(UNTYPED, ObjectType::Untyped, MEMORY_BITS.into(), all).unwrap();
        let is_zero = |page: u64| thread.machine.page(page * 4096).0.iter().all(|&byte| byte == 0);
        assert!((0..1 << (MEMORY_BITS - 12)).all(is_zero), "seed {seed:#x}");
    }
}
