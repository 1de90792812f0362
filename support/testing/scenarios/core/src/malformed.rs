// SPDX-License-Identifier: BSD-2-Clause
//! S50: messages that no client library sends.

use pmserver_api::{ContainerHandle, PROTOCOL_VERSION, PmError};
use proto::{AddressSpace, FrameCount, Message, ProtocolError, Transport};

use crate::cast::Actor::{Client, Parent, Server};
use crate::error::{Outcome, expect, pm, refused, same};
use crate::world::{READ_WRITE, WINDOW, World, at};

const ALLOCATE: u64 = 6;
const DEALLOCATE: u64 = 7;
const SHARE: u64 = 8;
const LOCK: u64 = 10;
const MAP: u64 = 12;
const UNMAP: u64 = 13;
const STATUS: u64 = 14;
const REMAP: u64 = 20;
const COPY: u64 = 24;
const COPY_LIST: u64 = 25;
const CREATE_GATHER: u64 = 28;
const ATTACH: u64 = 29;
const SET_HANDLER: u64 = 46;
const DISTURB: u64 = 50;

const INVALID: u64 = PmError::Invalid.status();
const INVALID_CAP: u64 = PmError::InvalidCap.status();
const NO_RIGHT: u64 = PmError::NoRight.status();
const UNKNOWN: u64 = ProtocolError::UnknownOperation.status();
const LENGTH: u64 = ProtocolError::WrongLength.status();

/// A page where nothing is mapped.
const PAGE: u64 = WINDOW.get() + 0x10_0000;
/// The start of the kernel's addresses, and the last page of user space.
const KERNEL: u64 = 0xFFFF_8000_0000_0000;
const LAST_PAGE: u64 = 0x7FFF_FFFF_F000;
/// All ones: there is no higher frame number.
const END: u64 = u64::MAX;

/// Returns the register that holds count, flags and space.
const fn how(count: u64, flags: u64, vspace: u64) -> u64 {
    count | flags << 16 | vspace << 32
}

/// Returns a label with a count and flags.
const fn label(number: u64, count: u64, flags: u64) -> u64 {
    number | count << 16 | flags << 32
}

/// S50: "malformed messages, bad lengths, u64 overflow of start+count, misaligned vaddr,
/// kernel-range vaddr, duplicate vaddr: Invalid/Occupied, no panic, no state change."
pub(crate) fn s50<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Client, 2)?;
    world.map(Client, container, 1, WINDOW, READ_WRITE)?;
    let before = (world.account(Client)?, world.count_in_all(container)?);
    let number = container.raw();
    let sharer: u64 = world.peer(Server).get().into();
    let own: u64 = world.peer(Client).get().into();
    forms(world, number)?;
    ranges(world, number)?;
    addresses(world, number)?;
    terms(world, number, own, sharer)?;

    let mapped = world.calls(Client).map(container, at(1), FrameCount::ONE, WINDOW, READ_WRITE);
    let failure = refused("mapping where something is", mapped, PmError::Occupied)?;
    same("where that is", failure.at, WINDOW.get())?;
    let after = (world.account(Client)?, world.count_in_all(container)?);
    expect(after == before, "something has changed")?;
    let version = pm("asking for the version", world.calls(Client).version())?;
    same("the version", version, PROTOCOL_VERSION)
}

/// Sends messages as the client, and compares the status of each reply.
fn send<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    messages: &[(&'static str, Message, u64)],
) -> Outcome {
    for (what, message, expected) in messages {
        same(what, world.channel(Client).call(*message).label(), *expected)?;
    }
    Ok(())
}

fn forms<T: Transport, A: AddressSpace>(world: &mut World<T, A>, container: u64) -> Outcome {
    let none: [u64; 0] = [];
    let stray = Message::new(0xFFFF, none);
    same("operation 0xFFFF", world.channel(Parent).call(stray).label(), UNKNOWN)?;
    send(
        world,
        &[
            ("operation 0", Message::new(0, none), UNKNOWN),
            ("operation 55", Message::new(55, none), UNKNOWN),
            ("version with a count", Message::new(label(1, 1, 0), none), UNKNOWN),
            ("version with flags", Message::new(label(1, 0, 1), none), UNKNOWN),
            ("version with a register", Message::new(1, [0]), LENGTH),
            ("version with 16 registers", Message::new(1, [0; 16]), LENGTH),
            ("allocate without registers", Message::new(ALLOCATE, none), LENGTH),
            ("allocate with 3", Message::new(ALLOCATE, [container, 5, 1]), LENGTH),
            ("allocate with 5", Message::new(ALLOCATE, [container, 5, 1, 0, 0]), LENGTH),
            (
                "copy_list with half a pair",
                Message::new(COPY_LIST, [container, container, 0]),
                LENGTH,
            ),
            ("create_gather of nothing", Message::new(CREATE_GATHER, [0, container, 0]), INVALID),
            ("status of handle 0", Message::new(STATUS, [0, 0, 1]), INVALID_CAP),
            ("status of handle 2^64-1", Message::new(STATUS, [END, 0, 1]), INVALID_CAP),
            ("disturb without the right", Message::new(DISTURB, [1, 0]), NO_RIGHT),
        ],
    )
}

fn ranges<T: Transport, A: AddressSpace>(world: &mut World<T, A>, container: u64) -> Outcome {
    let allocate = |start, count, flags| Message::new(ALLOCATE, [container, start, count, flags]);
    let free = |start, count, flags| Message::new(DEALLOCATE, [container, start, count, flags]);
    let copy = |count, flags, from, to| {
        Message::new(label(COPY, count, flags), [container, from, container, to])
    };
    send(
        world,
        &[
            ("allocating none", allocate(5, 0, 0), INVALID),
            ("allocating 257", allocate(5, 257, 0), INVALID),
            ("allocating 2^64-1", allocate(5, END, 0), INVALID),
            ("allocating beyond the end", allocate(END, 2, 0), INVALID),
            ("allocating 256 beyond the end", allocate(END - 254, 256, 0), INVALID),
            ("allocating with an unknown flag", allocate(5, 1, 1 << 15), INVALID),
            ("allocating with a flag beyond 16 bits", allocate(5, 1, 1 << 16), INVALID),
            ("freeing none", free(0, 0, 0), INVALID),
            ("freeing beyond the end", free(END, 2, 0), INVALID),
            ("freeing with an unknown flag", free(0, 1, 2), INVALID),
            ("states beyond the end", Message::new(STATUS, [container, END, 2]), INVALID),
            ("states of none", Message::new(STATUS, [container, 0, 0]), INVALID),
            ("copying none", copy(0, 0, 0, 1), INVALID),
            ("copying 257", copy(257, 0, 0, 1), INVALID),
            ("copying from beyond the end", copy(2, 0, END, 0), INVALID),
            ("copying to beyond the end", copy(2, 1, 0, END), INVALID),
            ("copying with an unknown flag", copy(1, 1 << 8, 0, 1), INVALID),
            ("copying SHARED and MOVE", copy(1, 2 | 4, 0, 1), INVALID),
        ],
    )
}

fn addresses<T: Transport, A: AddressSpace>(world: &mut World<T, A>, container: u64) -> Outcome {
    const READ: u64 = 1;
    let map = |vaddr, how| Message::new(MAP, [container, 0, vaddr, how]);
    let unmap = |vaddr, count| Message::new(UNMAP, [vaddr, count]);
    let attach = |vaddr| Message::new(ATTACH, [container, 0, vaddr, 1 | READ << 32]);
    send(
        world,
        &[
            ("mapping off a page boundary", map(PAGE + 8, how(1, READ, 0)), INVALID),
            ("mapping at an odd address", map(PAGE + 1, how(1, READ, 0)), INVALID),
            ("mapping into the kernel", map(KERNEL, how(1, READ, 0)), INVALID),
            ("mapping at the last address", map(END, how(1, READ, 0)), INVALID),
            ("mapping up into the kernel", map(LAST_PAGE, how(2, READ, 0)), INVALID),
            ("mapping without rights", map(PAGE, how(1, 0, 0)), INVALID),
            ("mapping with unknown rights", map(PAGE, how(1, READ | 1 << 9, 0)), INVALID),
            ("mapping writable and executable", map(PAGE, how(1, 2 | 8, 0)), INVALID),
            ("mapping none", map(PAGE, how(0, READ, 0)), INVALID),
            ("mapping 257", map(PAGE, how(257, READ, 0)), INVALID),
            ("mapping with a third field", map(PAGE, how(1, READ, 1)), INVALID),
            ("unmapping off a page boundary", unmap(PAGE + 8, 1), INVALID),
            ("unmapping the kernel", unmap(KERNEL, 1), INVALID),
            ("unmapping none", unmap(PAGE, 0), INVALID),
            ("remapping off a page boundary", Message::new(REMAP, [PAGE + 8, 1, READ]), INVALID),
            ("attaching off a page boundary", attach(PAGE + 8), INVALID),
            ("attaching the kernel", attach(KERNEL), INVALID),
        ],
    )
}

fn terms<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    container: u64,
    own: u64,
    other: u64,
) -> Outcome {
    let share = |start, count, terms| Message::new(SHARE, [container, start, count, terms]);
    let lock = |start, how, ttl| Message::new(LOCK, [container, start, how, ttl]);
    let handler = |count, who| Message::new(SET_HANDLER, [container, 0, count, who]);
    send(
        world,
        &[
            ("sharing to oneself", share(0, 2, how(own, 1, 9)), INVALID),
            ("sharing to peer 0", share(0, 2, how(0, 1, 9)), INVALID),
            ("sharing to a peer that is not there", share(0, 2, how(31, 1, 9)), INVALID),
            ("sharing to peer 65535", share(0, 2, how(0xFFFF, 1, 9)), INVALID),
            ("sharing without rights", share(0, 2, how(other, 0, 9)), INVALID),
            ("sharing with unknown rights", share(0, 2, how(other, 1 | 16, 9)), INVALID),
            ("sharing for one use of no time", share(0, 2, how(other, 1 | 8, 0)), INVALID),
            ("sharing none", share(0, 0, how(other, 1, 9)), INVALID),
            ("sharing beyond the end", share(END, 2, how(other, 1, 9)), INVALID),
            ("locking for no time", lock(0, how(2, 1, 0), 0), INVALID),
            ("locking in no mode", lock(0, how(2, 2, 0), 9), INVALID),
            ("locking none", lock(0, how(0, 1, 0), 9), INVALID),
            ("locking beyond the end", lock(END, how(2, 1, 0), 9), INVALID),
            ("a handler for none", handler(0, other), INVALID),
            ("a handler that is not there", handler(1, 31), INVALID),
        ],
    )
}

impl<T: Transport, A: AddressSpace> World<T, A> {
    /// Returns how many of the first frames exist.
    fn count_in_all(&mut self, container: ContainerHandle) -> Outcome<u64> {
        self.count_in(Client, container, 24, pmserver_api::FrameState::PRESENT)
    }
}
