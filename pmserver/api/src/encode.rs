// SPDX-License-Identifier: BSD-2-Clause
//! Requests on the wire: the numbers of the operations, and where their arguments stand.
//!
//! The label is the operation's number in its lowest 16 bits; three operations carry a count in the
//! next 16 and flags in the 16 above, so that they need no fifth register. What does not fit the
//! kernel's fastpath are lists alone.

use proto::{FrameNumber, Message, PeerId};

use crate::flags::{Disturbance, LockMode};
use crate::lists::{FrameList, PairList};
use crate::ops::{Frames, Request, ShareTerms};
use crate::wire::{Fields, low_u16};

pub(crate) const OP_VERSION: u16 = 1;
pub(crate) const OP_WHOAMI: u16 = 2;
pub(crate) const OP_CLOCK: u16 = 3;
pub(crate) const OP_CONTAINER_CREATE: u16 = 4;
pub(crate) const OP_CONTAINER_DESTROY: u16 = 5;
pub(crate) const OP_ALLOCATE: u16 = 6;
pub(crate) const OP_DEALLOCATE: u16 = 7;
pub(crate) const OP_SHARE: u16 = 8;
pub(crate) const OP_UNSHARE: u16 = 9;
pub(crate) const OP_LOCK: u16 = 10;
pub(crate) const OP_UNLOCK: u16 = 11;
pub(crate) const OP_MAP: u16 = 12;
pub(crate) const OP_UNMAP: u16 = 13;
pub(crate) const OP_STATUS: u16 = 14;
pub(crate) const OP_ACCOUNT_INFO: u16 = 15;
pub(crate) const OP_REGISTER_RECOVERY: u16 = 16;
pub(crate) const OP_WATCH: u16 = 17;
pub(crate) const OP_RESCUE: u16 = 18;
pub(crate) const OP_RECLAIM: u16 = 19;
pub(crate) const OP_REMAP: u16 = 20;
pub(crate) const OP_RENEW: u16 = 21;
pub(crate) const OP_ALLOCATE_ANYWHERE: u16 = 22;
pub(crate) const OP_ALLOCATE_CONTIGUOUS: u16 = 23;
pub(crate) const OP_COPY: u16 = 24;
pub(crate) const OP_COPY_LIST: u16 = 25;
pub(crate) const OP_CREATE_WITH: u16 = 26;
pub(crate) const OP_CREATE_FROM: u16 = 27;
pub(crate) const OP_CREATE_GATHER: u16 = 28;
pub(crate) const OP_ATTACH: u16 = 29;
pub(crate) const OP_DETACH: u16 = 30;
pub(crate) const OP_GRANT: u16 = 31;
pub(crate) const OP_UNGRANT: u16 = 32;
pub(crate) const OP_ENSURE_TABLES: u16 = 33;
pub(crate) const OP_ACCOUNT_SPLIT: u16 = 34;
pub(crate) const OP_ACCOUNT_DESTROY: u16 = 35;
pub(crate) const OP_ACCOUNT_REMOVE: u16 = 36;
pub(crate) const OP_ACCOUNT_SET_LIMITS: u16 = 37;
pub(crate) const OP_ACCOUNT_LEND: u16 = 38;
pub(crate) const OP_ACCOUNT_RECALL: u16 = 39;
pub(crate) const OP_VSPACE_ACCOUNT: u16 = 40;
pub(crate) const OP_MARK: u16 = 41;
pub(crate) const OP_EXTRA_REQUEST: u16 = 42;
pub(crate) const OP_PIN: u16 = 43;
pub(crate) const OP_BUS_ADDRESS: u16 = 44;
pub(crate) const OP_DEVICE_RESET: u16 = 45;
pub(crate) const OP_SET_HANDLER: u16 = 46;
pub(crate) const OP_NEXT_FAULT: u16 = 47;
pub(crate) const OP_SUPPLY: u16 = 48;
pub(crate) const OP_REFUSE: u16 = 49;
pub(crate) const OP_DISTURB: u16 = 50;

pub(crate) const LOCK_READ: u16 = 0;
pub(crate) const LOCK_EXCLUSIVE: u16 = 1;

pub(crate) const DISTURB_UNMAP: u64 = 1;
pub(crate) const DISTURB_MOVE: u64 = 2;

const fn mode_number(mode: LockMode) -> u16 {
    match mode {
        LockMode::Read => LOCK_READ,
        LockMode::Exclusive => LOCK_EXCLUSIVE,
    }
}

fn request<const N: usize>(operation: u16, registers: [u64; N]) -> Message {
    Message::new(operation.into(), registers)
}

/// A request whose label carries a count and flags.
fn labelled<const N: usize>(
    operation: u16,
    count: u16,
    flags: u16,
    registers: [u64; N],
) -> Message {
    Message::new(Fields { low: operation, middle: count, high: flags.into() }.pack(), registers)
}

fn fields(low: u16, middle: u16, high: u32) -> u64 {
    Fields { low, middle, high }.pack()
}

impl ShareTerms {
    /// Returns the terms in one register.
    fn pack(&self) -> u64 {
        // A longer lease than the field holds is longer than any that pmserver grants.
        let high = u32::try_from(self.lease_max.get()).unwrap_or(u32::MAX);
        fields(self.peer.get().into(), self.rights.bits(), high)
    }
}

impl Frames {
    /// Returns container, start, and the count with what shares its register.
    fn pack(&self, middle: u16, high: u32) -> [u64; 3] {
        let count = low_u16(self.count.get());
        [self.container.raw(), self.start.get(), fields(count, middle, high)]
    }
}

impl Request {
    /// Returns the message that carries this request.
    #[must_use]
    #[allow(clippy::too_many_lines)] // One arm an operation, in the order of the numbers.
    pub fn encode(&self) -> Message {
        match *self {
            Self::Version => request(OP_VERSION, []),
            Self::WhoAmI => request(OP_WHOAMI, []),
            Self::Clock => request(OP_CLOCK, []),
            Self::ContainerCreate { account } => request(OP_CONTAINER_CREATE, [account.raw()]),
            Self::ContainerDestroy { container } => {
                request(OP_CONTAINER_DESTROY, [container.raw()])
            }
            Self::Allocate { frames: Frames { container, start, count }, flags } => request(
                OP_ALLOCATE,
                [container.raw(), start.get(), count.get(), flags.bits().into()],
            ),
            Self::Deallocate { frames: Frames { container, start, count }, flags } => request(
                OP_DEALLOCATE,
                [container.raw(), start.get(), count.get(), flags.bits().into()],
            ),
            Self::Share { container, start, count, terms } => {
                request(OP_SHARE, [container.raw(), start.get(), count, terms.pack()])
            }
            Self::Unshare { share, flags } => {
                request(OP_UNSHARE, [share.raw(), flags.bits().into()])
            }
            Self::Lock { frames, mode, ttl } => {
                let [container, start, how] = frames.pack(mode_number(mode), 0);
                request(OP_LOCK, [container, start, how, ttl.get()])
            }
            Self::Unlock { lease } => request(OP_UNLOCK, [lease.raw()]),
            Self::Map { frames, vaddr, flags, vspace } => {
                let [container, start, how] = frames.pack(flags.bits(), vspace);
                request(OP_MAP, [container, start, vaddr.get(), how])
            }
            Self::Unmap { vspace, vaddr, count } => {
                request(OP_UNMAP, [vspace.into(), vaddr.get(), count.get()])
            }
            Self::Status { frames: Frames { container, start, count } } => {
                request(OP_STATUS, [container.raw(), start.get(), count.get()])
            }
            Self::AccountInfo { account } => request(OP_ACCOUNT_INFO, [account.raw()]),
            Self::RegisterRecovery { entry, stack_top } => {
                request(OP_REGISTER_RECOVERY, [entry.get(), stack_top.get()])
            }
            Self::Watch { peer, ttl } => request(OP_WATCH, [peer.get().into(), ttl.get()]),
            Self::Rescue => request(OP_RESCUE, []),
            Self::Reclaim => request(OP_RECLAIM, []),
            Self::Remap { vspace, vaddr, count, flags } => {
                let how = fields(low_u16(count.get()), flags.bits(), 0);
                request(OP_REMAP, [vspace.into(), vaddr.get(), how])
            }
            Self::Renew { frames: Frames { container, start, count } } => {
                request(OP_RENEW, [container.raw(), start.get(), count.get()])
            }
            Self::AllocateAnywhere { container, count, flags } => {
                request(OP_ALLOCATE_ANYWHERE, [container.raw(), count.get(), flags.bits().into()])
            }
            Self::AllocateContiguous { frames, align_bits, limit_bits } => {
                request(OP_ALLOCATE_CONTIGUOUS, frames.pack(align_bits.into(), limit_bits.into()))
            }
            Self::Copy { .. } | Self::CopyList { .. } => self.encode_copy(),
            Self::CreateWith { .. } | Self::CreateFrom { .. } | Self::CreateGather { .. } => {
                self.encode_create()
            }
            Self::Attach { container, start, vaddr, count, flags, vspace } => {
                let how = fields(flags.bits(), vspace, count);
                request(OP_ATTACH, [container.raw(), start.get(), vaddr.get(), how])
            }
            Self::Detach { vspace, vaddr } => request(OP_DETACH, [vspace.into(), vaddr.get()]),
            Self::Grant { frames, rights } => request(OP_GRANT, frames.pack(rights.bits(), 0)),
            Self::Ungrant { address, count } => request(OP_UNGRANT, [address, count.get()]),
            Self::EnsureTables { vspace, vaddr, count } => {
                request(OP_ENSURE_TABLES, [vspace.into(), vaddr.get(), count.get()])
            }
            Self::AccountSplit { account, limit_pages, flags } => {
                request(OP_ACCOUNT_SPLIT, [account.raw(), limit_pages.into(), flags.bits().into()])
            }
            Self::AccountDestroy { account } => request(OP_ACCOUNT_DESTROY, [account.raw()]),
            Self::AccountRemove { account } => request(OP_ACCOUNT_REMOVE, [account.raw()]),
            Self::AccountSetLimits { account, limit_pages, flags } => request(
                OP_ACCOUNT_SET_LIMITS,
                [account.raw(), limit_pages.into(), flags.bits().into()],
            ),
            Self::AccountLend { account, peer, rights } => {
                request(OP_ACCOUNT_LEND, [account.raw(), peer.get().into(), rights.bits().into()])
            }
            Self::AccountRecall { lent } => request(OP_ACCOUNT_RECALL, [lent.raw()]),
            Self::VspaceAccount { account } => request(OP_VSPACE_ACCOUNT, [account.raw()]),
            Self::Mark { frames: Frames { container, start, count }, marks } => {
                request(OP_MARK, [container.raw(), start.get(), count.get(), marks.bits().into()])
            }
            Self::ExtraRequest => request(OP_EXTRA_REQUEST, []),
            Self::Pin { frames, mode, ttl } => {
                let [container, start, how] = frames.pack(mode_number(mode), 0);
                request(OP_PIN, [container, start, how, ttl.get()])
            }
            Self::BusAddress { lease, number } => {
                request(OP_BUS_ADDRESS, [lease.raw(), number.get()])
            }
            Self::DeviceReset { peer } => request(OP_DEVICE_RESET, [peer.get().into()]),
            Self::SetHandler { container, start, count, handler, cookie } => {
                let peer = handler.map_or(0, PeerId::get);
                let how = fields(peer.into(), 0, cookie);
                request(OP_SET_HANDLER, [container.raw(), start.get(), count, how])
            }
            Self::NextFault => request(OP_NEXT_FAULT, []),
            Self::Supply { fault, container, number } => {
                request(OP_SUPPLY, [fault.raw(), container.raw(), number.get()])
            }
            Self::Refuse { fault } => request(OP_REFUSE, [fault.raw()]),
            Self::Disturb { what, cursor } => {
                let what = match what {
                    Disturbance::Unmap => DISTURB_UNMAP,
                    Disturbance::Move => DISTURB_MOVE,
                };
                request(OP_DISTURB, [what, cursor])
            }
        }
    }

    fn encode_copy(&self) -> Message {
        match *self {
            Self::Copy { source, source_start, destination, destination_start, count, flags } => {
                labelled(
                    OP_COPY,
                    low_u16(count.get()),
                    flags.bits(),
                    [source.raw(), source_start.get(), destination.raw(), destination_start.get()],
                )
            }
            Self::CopyList { source, destination, pairs, flags } => {
                let mut registers = [0; 2 + 2 * PairList::MOST];
                registers[0] = source.raw();
                registers[1] = destination.raw();
                let numbers = pairs.items().iter().flat_map(|(from, to)| [from.get(), to.get()]);
                let label = Fields { low: OP_COPY_LIST, middle: 0, high: flags.bits().into() };
                listed(label.pack(), &mut registers, 2, numbers)
            }
            _ => Self::Version.encode(),
        }
    }

    fn encode_create(&self) -> Message {
        match *self {
            Self::CreateWith { account, count, terms } => {
                request(OP_CREATE_WITH, [account.raw(), count.get(), terms.pack()])
            }
            Self::CreateFrom { account, source: Frames { container, start, count }, terms } => {
                labelled(
                    OP_CREATE_FROM,
                    low_u16(count.get()),
                    0,
                    [account.raw(), container.raw(), start.get(), terms.pack()],
                )
            }
            Self::CreateGather { account, source, frames, terms } => {
                let mut registers = [0; 3 + FrameList::MOST];
                registers[0] = account.raw();
                registers[1] = source.raw();
                registers[2] = terms.pack();
                let numbers = frames.items().iter().copied().map(FrameNumber::get);
                listed(OP_CREATE_GATHER.into(), &mut registers, 3, numbers)
            }
            _ => Self::Version.encode(),
        }
    }
}

/// Returns a message of the first registers, with a list after the first `head` of them.
fn listed(
    label: u64,
    registers: &mut [u64],
    head: usize,
    numbers: impl Iterator<Item = u64>,
) -> Message {
    let mut count = head;
    for (to, number) in registers.iter_mut().skip(head).zip(numbers) {
        *to = number;
        count = count.saturating_add(1);
    }
    // A list that fits was promised by its type.
    Message::from_wire(label, registers.get(..count).unwrap_or(&[])).unwrap_or_default()
}
