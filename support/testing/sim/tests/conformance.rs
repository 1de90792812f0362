// SPDX-License-Identifier: BSD-2-Clause
//! Runs the conformance list on the simulator's model of the kernel. The root task `ktest` runs the
//! same list on seL4, and both transcripts must be equal line by line. Transcripts recorded on seL4
//! are in `support/testing/ktest-list/expected`; `make ktest` checks that they are current.
// Tests may fail by panicking.
#![allow(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing)]

use ktest_list::{Kernel, Node, Operation, Reply, Rights, Slot};

use sim::machine::{
    Access, Architecture, Cap, CapRights, Destination, Error, Invocation, LookupFault, Machine,
    ObjectType, PAGE_BYTES, Place, Source, TableKind, Transfer,
};

/// Memory of the machine as a power of two: more than twice the list's pool.
const MEMORY_BITS: u8 = 26;
/// The slot of the first thread's CNode that the list calls slot 0.
const FIRST_SLOT: u64 = Machine::ROOT_EMPTY;

/// The architectures, as the model has them and as the list has them.
type Kind = (Architecture, ktest_list::Architecture);
const X86_64: Kind = (Architecture::X86_64, ktest_list::Architecture::X86_64);
const AARCH64: Kind = (Architecture::Aarch64, ktest_list::Architecture::Aarch64);
const AARCH64_DEBUG: Kind = (Architecture::Aarch64Debug, ktest_list::Architecture::Aarch64Debug);

/// Panics if a line differs from the one on seL4. The first line says which architecture and seed.
fn compare(expected: &str) {
    let (head, _) = expected.split_once('\n').expect("it has a first line");
    let (name, seed) = head.split_once(", seed ").expect("it names a seed");
    let (architecture, of_list) = match name {
        "conformance x86_64" => X86_64,
        "conformance aarch64" => AARCH64,
        "conformance aarch64_debug" => AARCH64_DEBUG,
        _ => unreachable!("{name}: an architecture that the model does not know"),
    };
    let actual = transcript(architecture, of_list, seed.parse().expect("a number"));
    for (model, kernel) in actual.lines().zip(expected.lines()) {
        assert_eq!(model, kernel, "the line of the model, and that of seL4");
    }
    assert_eq!(actual.lines().count(), expected.lines().count(), "length of the transcripts");
}

fn transcript(architecture: Architecture, of_list: ktest_list::Architecture, seed: u64) -> String {
    let mut actual = String::new();
    let mut kernel = Model::new(architecture);
    ktest_list::transcript(&mut kernel, of_list, seed, &mut actual).expect("a string has room");
    actual.push_str("PASS\n");
    actual
}

#[test]
fn the_model_answers_as_the_kernel_does_on_x86_64() {
    compare(include_str!("../../ktest-list/expected/x86_64.txt"));
}

/// The transcript of a run with another seed; `make ktest SEED=n` names it.
#[test]
fn the_model_answers_as_the_kernel_did_in_another_run() {
    if let Ok(path) = std::env::var("KTEST_TRANSCRIPT") {
        compare(&std::fs::read_to_string(path).expect("the transcript is there"));
    }
}

#[test]
fn most_of_the_drawn_operations_succeed() {
    for seed in 1..=20 {
        for (architecture, of_list) in [X86_64, AARCH64, AARCH64_DEBUG] {
            let text = transcript(architecture, of_list, seed);
            let sum = text.lines().rev().nth(1).expect("the list ends with a sum");
            let successes = sum.split(' ').nth(1).expect("# successes of …");
            let successes: u64 = successes.parse().expect("a number");
            assert!(successes > 1000, "{sum}, with seed {seed}");
        }
    }
}

#[test]
fn the_model_answers_as_the_kernel_does_on_aarch64() {
    compare(include_str!("../../ktest-list/expected/aarch64.txt"));
}

#[test]
fn the_model_answers_as_the_debug_kernel_does_on_aarch64() {
    compare(include_str!("../../ktest-list/expected/aarch64_debug.txt"));
}

struct Model {
    machine: Machine,
    cspace: Cap,
}

impl Model {
    /// Prepares what the root task prepares: the pool, an address space and an ASID pool.
    fn new(architecture: Architecture) -> Self {
        let machine = Machine::new(architecture, MEMORY_BITS);
        let cspace = machine.root_cspace();
        let mut model = Self { machine, cspace };
        let vspace = address(ktest_list::VSPACE);
        let retype = |object_type, size_bits, slot| Invocation::Retype {
            object_type,
            size_bits,
            to: to_root(address(slot)),
        };
        let pool = retype(ObjectType::Untyped, ktest_list::POOL_SIZE_BITS, ktest_list::POOL);
        let copy = Invocation::Transfer {
            to: Place { index: address(ktest_list::ASID_POOL), depth: 64 },
            from: Source { root: Machine::ROOT_CNODE, index: Machine::ROOT_ASID_POOL, depth: 64 },
            how: Transfer::Copy(CapRights::ALL),
        };
        for (slot, invocation) in [
            (Machine::ROOT_UNTYPED, pool),
            (Machine::ROOT_UNTYPED, retype(ObjectType::VSpace, 0, ktest_list::VSPACE)),
            (Machine::ROOT_ASID_POOL, Invocation::AsidAssign { vspace }),
            (Machine::ROOT_CNODE, copy),
        ] {
            model.machine.invoke(cspace, slot, &invocation).expect("the preparation succeeds");
        }
        model
    }

    /// Translates an address to a physical page and an offset.
    fn translate(&self, vaddr: u64, access: Access) -> Option<(u64, usize)> {
        let vspace = self.machine.look(self.cspace, address(ktest_list::VSPACE)).ok()?;
        let page = self.machine.translate(vspace, vaddr, access)?;
        Some((page, usize::try_from(vaddr % PAGE_BYTES).ok()?))
    }

    fn load(&self, vaddr: u64) -> Reply {
        self.translate(vaddr, Access::Read).map_or(Reply::Fault, |(page, offset)| {
            Reply::Value(self.machine.page(page).0[offset].into())
        })
    }

    fn page_address(&mut self, frame: Slot) -> Reply {
        match self.machine.invoke(self.cspace, address(frame), &Invocation::PageAddress) {
            Ok(physical) => Reply::Value(physical - self.pool_base()),
            Err(error) => refused(error),
        }
    }

    fn pool_base(&self) -> u64 {
        match self.machine.look(self.cspace, address(ktest_list::POOL)) {
            Ok(Cap::Untyped { base, .. }) => base,
            _ => unreachable!("the list does not delete the pool"),
        }
    }

    fn store(&mut self, vaddr: u64, byte: u8) -> Reply {
        let Some((page, offset)) = self.translate(vaddr, Access::Write) else {
            return Reply::Fault;
        };
        self.machine.page_mut(page).0[offset] = byte;
        Reply::Done
    }
}

impl Kernel for Model {
    fn perform(&mut self, operation: &Operation) -> Reply {
        let (slot, invocation) = match *operation {
            Operation::Load(vaddr) => return self.load(vaddr),
            Operation::Store(vaddr, byte) => return self.store(vaddr, byte),
            Operation::PageAddress(frame) => return self.page_address(frame),
            ref operation => invocation(operation),
        };
        match self.machine.invoke(self.cspace, slot, &invocation) {
            Ok(flags) if invocation == Invocation::Poll => Reply::Value(flags),
            Ok(_) => Reply::Done,
            Err(error) => refused(error),
        }
    }
}

/// Returns the invocation for an operation, and the slot of the invoked capability.
fn invocation(operation: &Operation) -> (u64, Invocation) {
    match *operation {
        Operation::Retype(untyped, object_type, size_bits, to) => {
            let (root, index) = start(to.cnode);
            let depth = to.cnode.depth.into();
            let in_root = to.cnode.node == Node::Root && to.cnode.depth == 0;
            let offset = if in_root { address(Slot(to.offset)) } else { to.offset };
            let to = Destination { root, index, depth, offset, count: to.count };
            let object_type = self::object_type(object_type);
            (address(untyped), Invocation::Retype { object_type, size_bits, to })
        }
        Operation::Transfer(how, to, from) => {
            let (node, to) = place(to);
            let (root, Place { index, depth }) = place(from);
            let from = Source { root, index, depth };
            (node, Invocation::Transfer { to, from, how: transfer(how) })
        }
        Operation::Delete(at) => {
            let (node, place) = place(at);
            (node, Invocation::Delete(place))
        }
        Operation::Revoke(at) => {
            let (node, place) = place(at);
            (node, Invocation::Revoke(place))
        }
        Operation::Signal(slot) => (address(slot), Invocation::Signal),
        Operation::Poll(slot) => (address(slot), Invocation::Poll),
        Operation::PageMap(frame, vspace, vaddr, rights) => {
            let (vspace, rights) = (address(vspace), self::rights(rights));
            (address(frame), Invocation::PageMap { vspace, vaddr, rights })
        }
        Operation::PageUnmap(frame) => (address(frame), Invocation::PageUnmap),
        Operation::TableMap(kind, table, vspace, vaddr) => {
            let (kind, vspace) = (table_kind(kind), address(vspace));
            (address(table), Invocation::TableMap { kind, vspace, vaddr })
        }
        Operation::TableUnmap(kind, table) => {
            (address(table), Invocation::TableUnmap { kind: table_kind(kind) })
        }
        Operation::AsidAssign(pool, vspace) => {
            (address(pool), Invocation::AsidAssign { vspace: address(vspace) })
        }
        Operation::Load(_) | Operation::Store(..) | Operation::PageAddress(_) => {
            unreachable!("`perform` handles these")
        }
    }
}

fn address(slot: Slot) -> u64 {
    FIRST_SLOT + slot.0
}

/// Returns the CNode where the lookup of a place starts, and the address from there.
fn start(place: ktest_list::Place) -> (u64, u64) {
    match place.node {
        Node::Root => (Machine::ROOT_CNODE, address(Slot(place.index))),
        Node::In(slot) => (address(slot), place.index),
    }
}

fn place(place: ktest_list::Place) -> (u64, Place) {
    let (node, index) = start(place);
    (node, Place { index, depth: place.depth.into() })
}

const fn to_root(slot: u64) -> Destination {
    Destination { root: Machine::ROOT_CNODE, index: 0, depth: 0, offset: slot, count: 1 }
}

const fn rights(rights: Rights) -> CapRights {
    CapRights { read: rights.read(), write: rights.write() }
}

const fn transfer(how: ktest_list::Transfer) -> Transfer {
    match how {
        ktest_list::Transfer::Copy(mask) => Transfer::Copy(rights(mask)),
        ktest_list::Transfer::Mint(mask, data) => Transfer::Mint(rights(mask), data),
        ktest_list::Transfer::Move => Transfer::Move,
        ktest_list::Transfer::Mutate(data) => Transfer::Mutate(data),
    }
}

const fn table_kind(kind: ktest_list::TableKind) -> TableKind {
    match kind {
        ktest_list::TableKind::PageTable => TableKind::PageTable,
        ktest_list::TableKind::PageDirectory => TableKind::PageDirectory,
        ktest_list::TableKind::Pdpt => TableKind::Pdpt,
    }
}

const fn object_type(object_type: ktest_list::ObjectType) -> ObjectType {
    match object_type {
        ktest_list::ObjectType::Untyped => ObjectType::Untyped,
        ktest_list::ObjectType::Tcb => ObjectType::Tcb,
        ktest_list::ObjectType::Notification => ObjectType::Notification,
        ktest_list::ObjectType::CNode => ObjectType::CapTable,
        ktest_list::ObjectType::Frame => ObjectType::Frame,
        ktest_list::ObjectType::LargeFrame => ObjectType::LargeFrame,
        ktest_list::ObjectType::Table(kind) => ObjectType::Table(table_kind(kind)),
        ktest_list::ObjectType::VSpace => ObjectType::VSpace,
    }
}

/// Encodes an error in message registers as the kernel does (seL4 manual, "Errors").
fn refused(error: Error) -> Reply {
    let Some(code) = error.code() else {
        return Reply::Impossible;
    };
    let words = match error {
        Error::InvalidArgument(number) | Error::InvalidCapability(number) => [number, 0, 0, 0, 0],
        Error::RangeError { min, max } => [min, max, 0, 0, 0],
        Error::NotEnoughMemory { left } => [left, 0, 0, 0, 0],
        Error::FailedLookup { source, fault } => {
            let source = source.into();
            match fault {
                LookupFault::InvalidRoot => [source, 1, 0, 0, 0],
                LookupFault::MissingCapability { bits_left } => [source, 2, bits_left, 0, 0],
                LookupFault::DepthMismatch { bits_found, bits_left } => {
                    [source, 3, bits_left, bits_found, 0]
                }
                LookupFault::GuardMismatch { guard, bits_left, bits_found } => {
                    [source, 4, bits_left, guard, bits_found]
                }
            }
        }
        _ => [0; 5],
    };
    Reply::Refused { code, words }
}
