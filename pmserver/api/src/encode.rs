// SPDX-License-Identifier: BSD-2-Clause
//! From a request to a message.
//!
//! The lowest 16 bits of the label are the number of the operation. Three operations have a count
//! in the next 16 bits, or flags above those, so that they need no fifth register: only messages
//! with lists are too long for the kernel's fastpath.

use proto::limits::MESSAGE_REGISTERS_MAX;
use proto::{FrameNumber, Message, PeerId, pack_pair};

use crate::flags::{Disturbance, LockMode};
use crate::lists::{FrameList, PairList};
use crate::number;
use crate::ops::{Frames, Request, ShareTerms};
use crate::wire::{Fields, low_u16};

impl Request {
    /// Returns the message that carries this request.
    #[must_use]
    #[inline(always)]
    pub fn encode(&self) -> Message {
        match *self {
            Self::Version => self.message([]),
            Self::WhoAmI => self.message([]),
            Self::Clock => self.message([]),
            Self::ContainerCreate { account } => self.message([account.raw()]),
            Self::ContainerDestroy { container } => self.message([container.raw()]),
            Self::Allocate { frames, flags } => {
                let [container, start, count] = frames.registers();
                self.message([container, start, count, flags.bits().into()])
            }
            Self::Deallocate { frames, flags } => {
                let [container, start, count] = frames.registers();
                self.message([container, start, count, flags.bits().into()])
            }
            Self::Share { container, start, count, terms } => {
                self.message([container.raw(), start.get(), count, terms.pack()])
            }
            Self::Unshare { share } => self.message([share.raw()]),
            Self::Lock { frames, mode, ttl } => {
                let [container, start, how] = frames.pack(mode_number(mode));
                self.message([container, start, how, ttl.get()])
            }
            Self::Unlock { lease } => self.message([lease.raw()]),
            Self::Map { frames, vaddr, flags } => {
                let [container, start, how] = frames.pack(flags.bits());
                self.message([container, start, vaddr.get(), how])
            }
            Self::Unmap { vaddr, count } => self.message([vaddr.get(), count.get()]),
            Self::Status { frames } => self.message(frames.registers()),
            Self::AccountInfo { account } => self.message([account.raw()]),
            Self::RegisterRecovery { entry, stack_top } => {
                self.message([entry.get(), stack_top.get()])
            }
            Self::Watch { peer, ttl } => self.message([peer.get().into(), ttl.get()]),
            Self::Rescue => self.message([]),
            Self::Reclaim => self.message([]),
            Self::Remap { vaddr, count, flags } => {
                self.message([vaddr.get(), count.get(), flags.bits().into()])
            }
            Self::Renew { frames } => self.message(frames.registers()),
            Self::AllocateAnywhere { container, count, flags } => {
                let registers = [container.raw(), count.get(), flags.bits().into()];
                self.message(registers)
            }
            Self::AllocateContiguous { frames, align_bits, limit_bits } => {
                let [container, start, count] = frames.registers();
                let how = fields(align_bits.into(), limit_bits.into(), 0);
                self.message([container, start, count, how])
            }
            Self::Copy { source, source_start, destination, destination_start, count, flags } => {
                let [from, to] = [source_start, destination_start].map(FrameNumber::get);
                self.labelled(
                    low_u16(count.get()),
                    flags.bits(),
                    [source.raw(), from, destination.raw(), to],
                )
            }
            Self::CopyList { source, destination, ref pairs, flags } => {
                let numbers = pairs.items().iter().flat_map(|(from, to)| [from.get(), to.get()]);
                self.listed(flags.bits(), [source.raw(), destination.raw()], numbers)
            }
            Self::CreateWith { account, count, terms } => {
                self.message([account.raw(), count.get(), terms.pack()])
            }
            Self::CreateFrom { account, source: Frames { container, start, count }, terms } => {
                let registers = [account.raw(), container.raw(), start.get(), terms.pack()];
                self.labelled(low_u16(count.get()), 0, registers)
            }
            Self::CreateGather { account, source, ref frames, terms } => {
                let numbers = frames.items().iter().copied().map(FrameNumber::get);
                let head = [account.raw(), source.raw(), terms.pack()];
                self.listed(0, head, numbers)
            }
            Self::Attach { container, start, vaddr, count, flags } => {
                let how = pack_pair(count, flags.bits().into());
                self.message([container.raw(), start.get(), vaddr.get(), how])
            }
            Self::Detach { vaddr } => self.message([vaddr.get()]),
            Self::Grant { frames, rights } => {
                let [container, start, count] = frames.registers();
                self.message([container, start, count, rights.bits().into()])
            }
            Self::Ungrant { address, count } => self.message([address, count.get()]),
            Self::EnsureTables { vaddr, count } => self.message([vaddr.get(), count.get()]),
            Self::AccountSplit { account, limit_pages, flags } => {
                let registers = [account.raw(), limit_pages.into(), flags.bits().into()];
                self.message(registers)
            }
            Self::AccountDestroy { account } => self.message([account.raw()]),
            Self::AccountRemove { account } => self.message([account.raw()]),
            Self::AccountSetLimits { account, limit_pages, flags } => {
                let registers = [account.raw(), limit_pages.into(), flags.bits().into()];
                self.message(registers)
            }
            Self::AccountLend { account, peer, rights } => {
                let registers = [account.raw(), peer.get().into(), rights.bits().into()];
                self.message(registers)
            }
            Self::AccountRecall { lent } => self.message([lent.raw()]),
            Self::VspaceAccount { account } => self.message([account.raw()]),
            Self::Mark { frames, marks } => {
                let [container, start, count] = frames.registers();
                self.message([container, start, count, marks.bits().into()])
            }
            Self::ExtraRequest => self.message([]),
            Self::Pin { frames, mode, ttl } => {
                let [container, start, how] = frames.pack(mode_number(mode));
                self.message([container, start, how, ttl.get()])
            }
            Self::BusAddress { lease, number } => self.message([lease.raw(), number.get()]),
            Self::DeviceReset { peer } => self.message([peer.get().into()]),
            Self::SetHandler { container, start, count, handler, cookie } => {
                let peer = handler.map_or(0, PeerId::get);
                let how = fields(peer.into(), 0, cookie);
                self.message([container.raw(), start.get(), count, how])
            }
            Self::NextFault => self.message([]),
            Self::Supply { fault, container, number } => {
                self.message([fault.raw(), container.raw(), number.get()])
            }
            Self::Refuse { fault } => self.message([fault.raw()]),
            Self::Disturb { what, cursor } => {
                let what = match what {
                    Disturbance::Unmap => number::DISTURB_UNMAP,
                    Disturbance::Move => number::DISTURB_MOVE,
                };
                self.message([what, cursor])
            }
            Self::Arm { share } => self.message([share.raw()]),
            Self::Disarm { share } => self.message([share.raw()]),
            Self::Take { frames, vaddr, flags } => {
                let [container, start, how] = frames.pack(flags.bits());
                self.message([container, start, vaddr.get(), how])
            }
            Self::Inspect { book, cursor, part } => {
                self.message([book.number().into(), cursor, part.into()])
            }
        }
    }

    /// Returns a message whose label is the operation's number alone.
    #[inline(always)]
    fn message<const N: usize>(&self, registers: [u64; N]) -> Message {
        Message::new(self.operation().number().into(), registers)
    }

    /// Returns a message whose label also carries a count and flags.
    #[inline(always)]
    fn labelled<const N: usize>(&self, count: u16, flags: u16, registers: [u64; N]) -> Message {
        let label = fields(self.operation().number(), count, flags.into());
        Message::new(label, registers)
    }

    /// Returns a message with a list after its first registers.
    fn listed<const N: usize>(
        &self,
        flags: u16,
        head: [u64; N],
        list: impl Iterator<Item = u64>,
    ) -> Message {
        let mut registers = [0; MESSAGE_REGISTERS_MAX];
        let mut count: usize = 0;
        for (register, value) in registers.iter_mut().zip(head.into_iter().chain(list)) {
            *register = value;
            count = count.saturating_add(1);
        }
        let label = fields(self.operation().number(), 0, flags.into());
        // Lists are short enough; see the assertions below.
        Message::from_wire(label, registers.get(..count).unwrap_or(&[])).unwrap_or_default()
    }
}

impl Frames {
    /// Returns container, start and count, each in a register of its own.
    const fn registers(&self) -> [u64; 3] {
        [self.container.raw(), self.start.get(), self.count.get()]
    }

    /// Returns container, start, and the count with a second field in one register.
    fn pack(&self, other: u16) -> [u64; 3] {
        let count = low_u16(self.count.get());
        [self.container.raw(), self.start.get(), fields(count, other, 0)]
    }
}

impl ShareTerms {
    /// Returns the terms in one register.
    fn pack(&self) -> u64 {
        // pmserver grants no lease as long as the largest value of the field.
        let high = u32::try_from(self.lease_max.get()).unwrap_or(u32::MAX);
        let once = if self.once { number::SHARE_ONCE } else { 0 };
        fields(self.peer.get().into(), self.rights.bits() | once, high)
    }
}

const fn mode_number(mode: LockMode) -> u16 {
    match mode {
        LockMode::Read => number::LOCK_READ,
        LockMode::Exclusive => number::LOCK_EXCLUSIVE,
    }
}

const fn fields(low: u16, middle: u16, high: u32) -> u64 {
    Fields { low, middle, high }.pack()
}

const _: () = {
    assert!(2 + 2 * PairList::MOST <= MESSAGE_REGISTERS_MAX);
    assert!(3 + FrameList::MOST <= MESSAGE_REGISTERS_MAX);
};
