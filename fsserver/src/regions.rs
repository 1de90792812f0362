// SPDX-License-Identifier: BSD-2-Clause
//! fsserver's memory: the image, the heap, and the stack of the file system. The domain's only
//! `unsafe`.
#![allow(unsafe_code)]

use alloc::boxed::Box;
use core::num::NonZero;

use corosensei::stack::{Stack, StackPointer};
use fsserver_core::{HEAP as HEAP_PAGES, STACK as STACK_PAGES};
use fsserver_setup::{SETUP_BYTES, Setup};
use heap::Heap;
use pmserver_client::{AddressSpace, VirtAddr};
use proto::PAGE_BYTES;
use sel4_microkit::var;
use shm::OwnMemory;

#[global_allocator]
static HEAP: Heap = heap::empty();

/// Where the file system is, as the system file says.
pub(crate) enum Place {
    /// In a region: its address and its size in bytes.
    Region(VirtAddr, u64),
    /// Behind this channel.
    Channel(usize),
}

/// Returns where the file system is.
pub(crate) fn disk() -> Option<Place> {
    let vaddr = *var!(fs_image_vaddr: u64 = 0);
    let bytes = *var!(fs_image_bytes: u64 = 0);
    // Channel 0 is pmserver's.
    let channel = *var!(fs_disk_channel: u64 = 0);
    match usize::try_from(channel) {
        Ok(channel @ 1..) => Some(Place::Channel(channel)),
        _ => VirtAddr::new(vaddr).map(|vaddr| Place::Region(vaddr, bytes)),
    }
}

/// Returns what the system file says that clients may do; nothing if there is nothing, or nothing
/// that can be read.
pub(crate) fn setup() -> Setup<'static> {
    let vaddr = *var!(file_setup_vaddr: u64 = 0);
    let Some(vaddr) = VirtAddr::new(vaddr).filter(|vaddr| vaddr.get() > 0) else {
        return Setup::EMPTY;
    };
    // Read once in each life of the domain.
    let pages = Box::leak(Box::new([0; SETUP_BYTES]));
    OwnMemory.copy_in(vaddr, pages);
    fsserver_setup::decode(pages).unwrap_or(Setup::EMPTY)
}

/// The stack of the file system.
pub struct OwnStack(());

/// Returns the stack. Called once at the start, after `reserve_heap` has mapped its pages, and once
/// in each recovery.
pub(crate) const fn stack() -> OwnStack {
    OwnStack(())
}

// SAFETY: 1. The pages are 128 KiB, mapped for writing for this alone, in fsserver's own container
// that is never shared (U2 heap-exclusive). 2. Nothing is ever mapped in the page below them
// (`fsserver/core`, the address space). 3. There is one such value at the start and one in each
// recovery, and what ran on the stack before that never goes on (U3 recovery-abandons).
unsafe impl Stack for OwnStack {
    fn base(&self) -> StackPointer {
        address(STACK_PAGES.start().get().saturating_add(STACK_PAGES.bytes()))
    }

    fn limit(&self) -> StackPointer {
        address(STACK_PAGES.start().get().saturating_sub(PAGE_BYTES))
    }
}

fn address(address: u64) -> StackPointer {
    // Both targets have 64-bit addresses, and these are not 0.
    usize::try_from(address).ok().and_then(NonZero::new).unwrap_or(NonZero::<usize>::MIN)
}

/// Gives the heap the memory that `reserve_heap` has mapped, and forgets what was allocated before.
/// Called once at the start, and first in every recovery.
pub(crate) fn install_heap() {
    // SAFETY: 1. `reserve_heap` has mapped the memory for this, in fsserver's own container that is
    // never shared (U2 heap-exclusive). 2. Nothing allocated uses it: at the start there is
    // nothing, and what ran before a recovery never goes on (U3 recovery-abandons).
    unsafe { heap::install(&HEAP, HEAP_PAGES) };
}
