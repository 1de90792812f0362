// SPDX-License-Identifier: BSD-2-Clause
//! Requests on the wire: where their arguments stand.
//!
//! The label is the operation's number in its lowest 16 bits; three operations carry a count in the
//! next 16 or flags in those above, so that they need no fifth register. What does not fit the
//! kernel's fastpath are lists alone.
//!
//! One function for each part of the protocol; each leaves what it does not know to the next.

use proto::limits::MESSAGE_REGISTERS_MAX;
use proto::{FrameNumber, Message, PeerId};

use crate::flags::{Disturbance, LockMode};
use crate::lists::{FrameList, PairList};
use crate::number;
use crate::ops::{Frames, Request, ShareTerms};
use crate::wire::{Fields, low_u16};

impl Request {
    /// Returns the message that carries this request.
    #[must_use]
    pub fn encode(&self) -> Message {
        self.encode_domain()
            .or_else(|| self.encode_containers())
            .or_else(|| self.encode_copies())
            .or_else(|| self.encode_sharing())
            .or_else(|| self.encode_mappings())
            .or_else(|| self.encode_handlers())
            .or_else(|| self.encode_accounts())
            .or_else(|| self.encode_devices())
            // Every request is of one of these parts; this is no operation's message.
            .unwrap_or_default()
    }

    fn encode_domain(&self) -> Option<Message> {
        Some(match *self {
            Self::Version => request(number::VERSION, []),
            Self::WhoAmI => request(number::WHOAMI, []),
            Self::Clock => request(number::CLOCK, []),
            Self::RegisterRecovery { entry, stack_top } => {
                request(number::REGISTER_RECOVERY, [entry.get(), stack_top.get()])
            }
            Self::Watch { peer, ttl } => request(number::WATCH, [peer.get().into(), ttl.get()]),
            Self::Rescue => request(number::RESCUE, []),
            Self::Reclaim => request(number::RECLAIM, []),
            Self::Disturb { what, cursor } => {
                let what = match what {
                    Disturbance::Unmap => number::DISTURB_UNMAP,
                    Disturbance::Move => number::DISTURB_MOVE,
                };
                request(number::DISTURB, [what, cursor])
            }
            _ => return None,
        })
    }

    fn encode_containers(&self) -> Option<Message> {
        Some(match *self {
            Self::ContainerCreate { account } => request(number::CONTAINER_CREATE, [account.raw()]),
            Self::ContainerDestroy { container } => {
                request(number::CONTAINER_DESTROY, [container.raw()])
            }
            Self::Allocate { frames, flags } => {
                let [container, start, count] = frames.registers();
                request(number::ALLOCATE, [container, start, count, flags.bits().into()])
            }
            Self::AllocateAnywhere { container, count, flags } => {
                let registers = [container.raw(), count.get(), flags.bits().into()];
                request(number::ALLOCATE_ANYWHERE, registers)
            }
            Self::Deallocate { frames, flags } => {
                let [container, start, count] = frames.registers();
                request(number::DEALLOCATE, [container, start, count, flags.bits().into()])
            }
            Self::Renew { frames } => request(number::RENEW, frames.registers()),
            Self::Mark { frames, marks } => {
                let [container, start, count] = frames.registers();
                request(number::MARK, [container, start, count, marks.bits().into()])
            }
            Self::Status { frames } => request(number::STATUS, frames.registers()),
            _ => return None,
        })
    }

    fn encode_copies(&self) -> Option<Message> {
        Some(match *self {
            Self::Copy { source, source_start, destination, destination_start, count, flags } => {
                let label = label(number::COPY, low_u16(count.get()), flags.bits());
                let [from, to] = [source_start, destination_start].map(FrameNumber::get);
                Message::new(label, [source.raw(), from, destination.raw(), to])
            }
            Self::CopyList { source, destination, ref pairs, flags } => {
                let numbers = pairs.items().iter().flat_map(|(from, to)| [from.get(), to.get()]);
                let label = label(number::COPY_LIST, 0, flags.bits());
                listed(label, [source.raw(), destination.raw()], numbers)
            }
            Self::CreateWith { account, count, terms } => {
                request(number::CREATE_WITH, [account.raw(), count.get(), terms.pack()])
            }
            Self::CreateFrom { account, source: Frames { container, start, count }, terms } => {
                let label = label(number::CREATE_FROM, low_u16(count.get()), 0);
                let registers = [account.raw(), container.raw(), start.get(), terms.pack()];
                Message::new(label, registers)
            }
            Self::CreateGather { account, source, ref frames, terms } => {
                let numbers = frames.items().iter().copied().map(FrameNumber::get);
                let head = [account.raw(), source.raw(), terms.pack()];
                listed(number::CREATE_GATHER.into(), head, numbers)
            }
            _ => return None,
        })
    }

    fn encode_sharing(&self) -> Option<Message> {
        Some(match *self {
            Self::Share { container, start, count, terms } => {
                request(number::SHARE, [container.raw(), start.get(), count, terms.pack()])
            }
            Self::Unshare { share, flags } => {
                request(number::UNSHARE, [share.raw(), flags.bits().into()])
            }
            Self::Lock { frames, mode, ttl } => {
                let [container, start, how] = frames.pack(mode_number(mode), 0);
                request(number::LOCK, [container, start, how, ttl.get()])
            }
            Self::Unlock { lease } => request(number::UNLOCK, [lease.raw()]),
            _ => return None,
        })
    }

    fn encode_mappings(&self) -> Option<Message> {
        Some(match *self {
            Self::Map { frames, vaddr, flags, vspace } => {
                let [container, start, how] = frames.pack(flags.bits(), vspace);
                request(number::MAP, [container, start, vaddr.get(), how])
            }
            Self::Remap { vspace, vaddr, count, flags } => {
                let how = fields(low_u16(count.get()), flags.bits(), 0);
                request(number::REMAP, [vspace.into(), vaddr.get(), how])
            }
            Self::Unmap { vspace, vaddr, count } => {
                request(number::UNMAP, [vspace.into(), vaddr.get(), count.get()])
            }
            Self::Attach { container, start, vaddr, count, flags, vspace } => {
                let how = fields(flags.bits(), vspace, count);
                request(number::ATTACH, [container.raw(), start.get(), vaddr.get(), how])
            }
            Self::Detach { vspace, vaddr } => request(number::DETACH, [vspace.into(), vaddr.get()]),
            Self::Grant { frames, rights } => request(number::GRANT, frames.pack(rights.bits(), 0)),
            Self::Ungrant { address, count } => request(number::UNGRANT, [address, count.get()]),
            Self::EnsureTables { vspace, vaddr, count } => {
                request(number::ENSURE_TABLES, [vspace.into(), vaddr.get(), count.get()])
            }
            _ => return None,
        })
    }

    fn encode_handlers(&self) -> Option<Message> {
        Some(match *self {
            Self::SetHandler { container, start, count, handler, cookie } => {
                let peer = handler.map_or(0, PeerId::get);
                let how = fields(peer.into(), 0, cookie);
                request(number::SET_HANDLER, [container.raw(), start.get(), count, how])
            }
            Self::NextFault => request(number::NEXT_FAULT, []),
            Self::Supply { fault, container, number } => {
                request(number::SUPPLY, [fault.raw(), container.raw(), number.get()])
            }
            Self::Refuse { fault } => request(number::REFUSE, [fault.raw()]),
            _ => return None,
        })
    }

    fn encode_accounts(&self) -> Option<Message> {
        Some(match *self {
            Self::AccountInfo { account } => request(number::ACCOUNT_INFO, [account.raw()]),
            Self::AccountSplit { account, limit_pages, flags } => {
                let registers = [account.raw(), limit_pages.into(), flags.bits().into()];
                request(number::ACCOUNT_SPLIT, registers)
            }
            Self::AccountDestroy { account } => request(number::ACCOUNT_DESTROY, [account.raw()]),
            Self::AccountRemove { account } => request(number::ACCOUNT_REMOVE, [account.raw()]),
            Self::AccountSetLimits { account, limit_pages, flags } => {
                let registers = [account.raw(), limit_pages.into(), flags.bits().into()];
                request(number::ACCOUNT_SET_LIMITS, registers)
            }
            Self::AccountLend { account, peer, rights } => {
                let registers = [account.raw(), peer.get().into(), rights.bits().into()];
                request(number::ACCOUNT_LEND, registers)
            }
            Self::AccountRecall { lent } => request(number::ACCOUNT_RECALL, [lent.raw()]),
            Self::VspaceAccount { account } => request(number::VSPACE_ACCOUNT, [account.raw()]),
            Self::ExtraRequest => request(number::EXTRA_REQUEST, []),
            _ => return None,
        })
    }

    fn encode_devices(&self) -> Option<Message> {
        Some(match *self {
            Self::AllocateContiguous { frames, align_bits, limit_bits } => {
                let registers = frames.pack(align_bits.into(), limit_bits.into());
                request(number::ALLOCATE_CONTIGUOUS, registers)
            }
            Self::Pin { frames, mode, ttl } => {
                let [container, start, how] = frames.pack(mode_number(mode), 0);
                request(number::PIN, [container, start, how, ttl.get()])
            }
            Self::BusAddress { lease, number } => {
                request(number::BUS_ADDRESS, [lease.raw(), number.get()])
            }
            Self::DeviceReset { peer } => request(number::DEVICE_RESET, [peer.get().into()]),
            _ => return None,
        })
    }
}

impl Frames {
    /// Returns container, start and count, each in a register of its own.
    const fn registers(&self) -> [u64; 3] {
        [self.container.raw(), self.start.get(), self.count.get()]
    }

    /// Returns container, start, and the count with what shares its register.
    fn pack(&self, middle: u16, high: u32) -> [u64; 3] {
        let count = low_u16(self.count.get());
        [self.container.raw(), self.start.get(), fields(count, middle, high)]
    }
}

impl ShareTerms {
    /// Returns the terms in one register.
    fn pack(&self) -> u64 {
        // A longer lease than the field holds is longer than any that pmserver grants.
        let high = u32::try_from(self.lease_max.get()).unwrap_or(u32::MAX);
        fields(self.peer.get().into(), self.rights.bits(), high)
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

/// Returns a label that carries a count and flags.
fn label(operation: u16, count: u16, flags: u16) -> u64 {
    fields(operation, count, flags.into())
}

fn request<const N: usize>(operation: u16, registers: [u64; N]) -> Message {
    Message::new(operation.into(), registers)
}

/// Returns a message with a list after its first registers.
fn listed<const N: usize>(label: u64, head: [u64; N], list: impl Iterator<Item = u64>) -> Message {
    let mut registers = [0; MESSAGE_REGISTERS_MAX];
    let mut count: usize = 0;
    for (register, value) in registers.iter_mut().zip(head.into_iter().chain(list)) {
        *register = value;
        count = count.saturating_add(1);
    }
    // No message has more registers than there are here.
    Message::from_wire(label, registers.get(..count).unwrap_or(&[])).unwrap_or_default()
}

const _: () = {
    assert!(2 + 2 * PairList::MOST <= MESSAGE_REGISTERS_MAX);
    assert!(3 + FrameList::MOST <= MESSAGE_REGISTERS_MAX);
};
