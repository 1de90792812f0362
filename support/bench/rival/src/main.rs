// SPDX-License-Identifier: BSD-2-Clause
//! What the servers are measured against, as a protection domain; three domains of the bench run
//! it. The rival is a file server of the usual kind: it copies what it has cached into memory that
//! it shares with its client for good. It is also the parent of the toucher, whose faults it
//! repairs with one invocation. The witness only tells when it was started.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use proto::PAGE_BYTES;
use rival::{
    CACHE, FAULT_PAGES, FAULTS, Objects, Procedure, READ_BYTES_MAX, SHARE, attributes, map_table,
};
use sel4::{Cap, CapRights, FrameObjectType, Result, cap};
use sel4_microkit::{
    Channel, ChannelSet, Child, Handler, Infallible, MessageInfo, protection_domain, with_msg_regs,
    with_msg_regs_mut,
};

/// The address space of the toucher, in the root slot that the system file says.
const TOUCHER: cap::VSpace = Cap::from_bits(9 << 58);
/// Slots of the rival's own CNode, as a power of two, and the one for the page table; the frames
/// are in the slots before.
const SLOT_BITS: u32 = 7;
const TABLE_SLOT: u32 = FAULT_PAGES;
/// The labels of replies.
const DONE: u64 = 0;
const REFUSED: u64 = 1;

#[protection_domain]
fn init() -> Rival {
    Rival { started: pd::counter().0, frames: None }
}

struct Rival {
    started: u64,
    /// The frames with which faults are repaired.
    frames: Option<Objects>,
}

impl Rival {
    fn prepare_faults(&mut self) -> Result<()> {
        let objects = Objects::new(SLOT_BITS)?;
        objects.make(&FrameObjectType::GRANULE.blueprint(), 0, FAULT_PAGES)?;
        map_table(&objects, TABLE_SLOT, TOUCHER, FAULTS)?;
        self.frames = Some(objects);
        Ok(())
    }

    fn forget_faults(&self) -> Result<()> {
        let Some(frames) = &self.frames else { return Ok(()) };
        (0..FAULT_PAGES).try_for_each(|slot| frame(frames, slot).frame_unmap())
    }

    /// Maps a frame where the toucher has faulted.
    fn repair(&self, address: u64) -> Option<()> {
        let page = address.checked_sub(FAULTS.get())?.checked_div(PAGE_BYTES)?;
        let slot = u32::try_from(page).ok()?;
        let vaddr = usize::try_from(address & !(PAGE_BYTES.saturating_sub(1))).ok()?;
        let rights = CapRights::read_write();
        // CAP: a frame of the rival's own and the VSpace of its child, which the system file gives.
        frame(self.frames.as_ref()?, slot).frame_map(TOUCHER, vaddr, rights, attributes()).ok()
    }
}

fn frame(frames: &Objects, slot: u32) -> cap::Granule {
    frames.capability(slot).cast()
}

/// Loads a word of each page.
fn touch() {
    let last = u64::from(FAULT_PAGES).saturating_mul(PAGE_BYTES);
    for offset in (0..last).step_by(4096) {
        let at = FAULTS.get().saturating_add(offset);
        let _: u64 = shm::load(usize::try_from(at).unwrap_or_default());
    }
}

/// Copies from the cache to the share.
fn read() {
    let bytes = with_msg_regs(|registers| registers.first().copied().unwrap_or_default());
    let bytes = usize::try_from(bytes).unwrap_or(READ_BYTES_MAX).min(READ_BYTES_MAX);
    shm::copy(CACHE, SHARE, bytes);
}

fn empty(label: u64) -> MessageInfo {
    MessageInfo::new(label, 0)
}

impl Handler for Rival {
    type Error = Infallible;

    fn protected(
        &mut self,
        _: Channel,
        request: MessageInfo,
    ) -> core::result::Result<MessageInfo, Infallible> {
        let result = match Procedure::of_label(request.label()) {
            Some(Procedure::Nothing) => Ok(()),
            Some(Procedure::Started) => {
                with_msg_regs_mut(|registers| {
                    if let Some(first) = registers.first_mut() {
                        *first = self.started;
                    }
                });
                return Ok(MessageInfo::new(DONE, 1));
            }
            Some(Procedure::Read) => {
                read();
                Ok(())
            }
            Some(Procedure::PrepareFaults) => self.prepare_faults(),
            Some(Procedure::ForgetFaults) => self.forget_faults(),
            Some(Procedure::Touch) => {
                touch();
                Ok(())
            }
            None => return Ok(empty(REFUSED)),
        };
        Ok(empty(if result.is_ok() { DONE } else { REFUSED }))
    }

    fn notified(&mut self, _: ChannelSet) -> core::result::Result<(), Infallible> {
        Ok(())
    }

    fn fault(
        &mut self,
        _: Child,
        _: MessageInfo,
    ) -> core::result::Result<Option<MessageInfo>, Infallible> {
        /// The register of a fault message that holds the address (seL4's `seL4_VMFault_Addr`).
        const ADDRESS: usize = 1;
        let address = with_msg_regs(|registers| registers.get(ADDRESS).copied());
        Ok(address.and_then(|address| self.repair(address)).map(|()| MessageInfo::default()))
    }
}
