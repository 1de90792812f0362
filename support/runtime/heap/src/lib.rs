// SPDX-License-Identifier: BSD-2-Clause
//! The heap of a protection domain, in memory that the domain mapped for this purpose only.
//!
//! A heap starts empty. Either it is given its memory once ([`give`]), or it grows: a [`growing`]
//! one reserves a container more whenever an allocation finds no room, and says why it has no more
//! ([`refusal`]) once its account is at its limit. When a domain recovers from a fault, it installs
//! the same memory again, and all earlier allocations are forgotten (design D11).
//!
//! This is a crate of its own because every program that links it needs a global allocator. It also
//! builds for the host, where its tests run.
#![no_std]
#![allow(unsafe_code)]
// Tests may use unchecked arithmetic: an overflow panics, which fails the test.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

use core::alloc::Layout;
use core::ptr;

use lock_api::{GuardNoSend, RawMutex};
use pmserver_client::{Error, HeapMemory, PAGE_BYTES, Pages};
use talc::TalcLock;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;

/// A global allocator for a protection domain.
pub type Heap = TalcLock<SingleThread, Growth>;

/// Reserves memory for a heap at these pages:
/// [`Pm::reserve_heap`](pmserver_client::Pm::reserve_heap) over the program's channel.
pub type Reserve = fn(Pages) -> Result<HeapMemory, Error>;

/// Pages that a heap grows by, at least: fewer only where its account has no more.
const STEP_PAGES: u64 = 16;
/// What an allocation needs beside its own bytes: the allocator's tags, and in the first memory its
/// lists.
const OVERHEAD_BYTES: usize = 4096;
const _: () = assert!(talc::min_first_heap_size::<talc::DefaultBinning>() < OVERHEAD_BYTES);

/// A lock that does nothing, for programs with one thread.
///
/// A real lock would stay locked for ever if the domain was sent to its recovery entry in the
/// middle of an allocation.
pub struct SingleThread;

// SAFETY: 1. A protection domain has one thread and no signal handlers. 2. The allocator calls
// nothing that allocates while it holds the lock (`Manual` acquires no memory). 3. An allocation
// that a recovery interrupted never continues (U3 recovery-abandons).
unsafe impl RawMutex for SingleThread {
    // The trait requires a constant; this one has no interior state.
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self;
    type GuardMarker = GuardNoSend;

    fn lock(&self) {}

    fn try_lock(&self) -> bool {
        true
    }

    unsafe fn unlock(&self) {}
}

/// Where a heap gets more memory from.
#[derive(Debug)]
pub struct Growth {
    reserve: Option<Reserve>,
    /// The pages that are left for it, if any.
    window: Option<Pages>,
    refusal: Option<Error>,
}

impl Growth {
    const NONE: Self = Self { reserve: None, window: None, refusal: None };

    /// Reserves memory in which an allocation finds room.
    fn grow(&mut self, layout: Layout) -> Option<HeapMemory> {
        let bytes = layout.size().checked_add(layout.align())?.checked_add(OVERHEAD_BYTES)?;
        let needed = u64::try_from(bytes).ok()?.div_ceil(PAGE_BYTES);
        let (reserve, window) = (self.reserve?, self.window?);
        for count in [needed.max(STEP_PAGES), needed] {
            let Some(left) = window.count().checked_sub(count) else { continue };
            match reserve(Pages::new(window.start(), count)?) {
                Ok(memory) => {
                    let next = window.start().checked_add(memory.pages().bytes());
                    self.window = next.and_then(|next| Pages::new(next, left));
                    return Some(memory);
                }
                Err(error) => self.refusal = Some(error),
            }
        }
        None
    }
}

// SAFETY: 1. `acquire` uses neither the lock around the allocator nor anything that allocates: it
// makes calls of pmserver. 2. One that a recovery interrupts never continues (U3
// recovery-abandons).
unsafe impl Source for Growth {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let memory = talc.source.grow(layout).ok_or(())?;
        if claim(talc, memory.pages()) { Ok(()) } else { Err(()) }
    }
}

/// Returns a heap without memory.
#[must_use]
pub const fn empty() -> Heap {
    Heap::new(Growth::NONE)
}

/// Returns a heap that reserves memory as it is needed, from the first of these pages on. An
/// allocation may make calls of pmserver: what is in the message registers does not outlive it.
#[must_use]
pub const fn growing(window: Pages, reserve: Reserve) -> Heap {
    Heap::new(Growth { reserve: Some(reserve), window: Some(window), refusal: None })
}

/// Gives the heap memory, beside what it has. Returns whether the allocator can use it.
pub fn give(heap: &Heap, memory: HeapMemory) -> bool {
    claim(&mut heap.lock(), memory.pages())
}

/// Returns why a growing heap got no more memory when it last asked for some in vain: its account
/// is at its limit, or what else pmserver said. Nothing if pmserver never refused: then it may be
/// the window that has no more room.
#[must_use]
pub fn refusal(heap: &Heap) -> Option<Error> {
    heap.lock().source.refusal
}

/// Makes the pages the memory of the heap and forgets all earlier allocations. Returns whether the
/// allocator can use the memory.
///
/// # Safety
/// The pages are mapped writable and belong to this domain alone. Nothing uses them any more, nor
/// anything that was allocated from the heap before.
pub unsafe fn install(heap: &Heap, pages: Pages) -> bool {
    let mut heap = heap.lock();
    *heap = Talc::new(Growth::NONE);
    claim(&mut heap, pages)
}

/// Gives the allocator pages that nothing else uses.
fn claim<B: Binning>(talc: &mut Talc<Growth, B>, pages: Pages) -> bool {
    let start = usize::try_from(pages.start().get());
    let Some((start, bytes)) = start.ok().zip(usize::try_from(pages.bytes()).ok()) else {
        return false;
    };
    // SAFETY: the pages are mapped for this alone, and no allocator has them: the caller took them
    // out of a `HeapMemory`, or its own caller vouches for them (U2 heap-exclusive).
    unsafe { talc.claim(ptr::with_exposed_provenance_mut(start), bytes) }.is_some()
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::alloc::GlobalAlloc;
    use core::cell::Cell;
    use std::alloc::{System, handle_alloc_error};
    use std::thread_local;
    use std::vec::Vec;

    use pmserver_client::api::{ContainerHandle, Failure, Mapped, Reply, Request};
    use pmserver_client::{Message, Operation, Pm, PmError, Transport, VirtAddr};

    use super::*;

    thread_local! {
        /// How many frames an account has left.
        static LEFT: Cell<u64> = const { Cell::new(0) };
    }

    /// A pmserver that maps what is there already.
    struct Host;

    impl Transport for Host {
        fn call(&mut self, request: Message) -> Message {
            let reply = match Request::decode(&request).unwrap() {
                Request::ContainerCreate { .. } => Reply::Container(ContainerHandle::from_raw(1)),
                Request::Allocate { frames, .. } => {
                    let count = frames.count.get();
                    let Some(left) = LEFT.get().checked_sub(count) else {
                        return Failure::from(PmError::QuotaExceeded).reply();
                    };
                    LEFT.set(left);
                    Reply::Number(count)
                }
                Request::Map { frames, flags, .. } => {
                    let mut mapped = Mapped::default();
                    assert!((0..frames.count.get()).all(|_| mapped.push(flags)));
                    Reply::Mapped(mapped)
                }
                _ => Reply::Done,
            };
            reply.encode()
        }
    }

    /// Returns pages of the host's memory, for ever.
    fn host_pages(count: u64) -> Pages {
        let bytes = usize::try_from(count * PAGE_BYTES).unwrap();
        let layout = Layout::from_size_align(bytes, 4096).unwrap();
        // SAFETY: the layout's size is not 0.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if memory.is_null() {
            handle_alloc_error(layout);
        }
        let start = VirtAddr::new(u64::try_from(memory.expose_provenance()).unwrap()).unwrap();
        Pages::new(start, count).unwrap()
    }

    #[test]
    fn blocks_come_only_from_the_memory_of_the_last_install() {
        const BYTES: usize = 1 << 16;
        let layout = Layout::from_size_align(BYTES / 4, 16).unwrap();
        let heap = empty();
        for _ in 0..2 {
            let pages = host_pages(16);
            let memory = usize::try_from(pages.start().get()).unwrap();
            // SAFETY: the memory is leaked for this test, and the blocks of the previous round are
            // not used.
            assert!(unsafe { install(&heap, pages) });
            for _ in 0..2 {
                // SAFETY: the layout's size is not 0.
                let block = unsafe { heap.alloc(layout) };
                assert!((memory..memory + BYTES).contains(&block.addr()));
            }
            let too_large = Layout::from_size_align(BYTES, 16).unwrap();
            // SAFETY: as above.
            assert!(unsafe { heap.alloc(too_large) }.is_null());
        }
    }
    #[test]
    fn a_growing_heap_has_what_its_account_has_and_says_why_not_more() {
        LEFT.set(40);
        let heap = growing(host_pages(64), |pages| Pm::new(Host).reserve_heap(pages));
        assert_eq!(
            (LEFT.get(), refusal(&heap)),
            (40, None),
            "nothing is taken before it is needed"
        );
        let layout = Layout::from_size_align(4 * 4096, 16).unwrap();
        // SAFETY: the layout's size is not 0.
        let allocate = || Some(unsafe { heap.alloc(layout) }).filter(|block| !block.is_null());
        let blocks: Vec<*mut u8> = std::iter::from_fn(allocate).collect();
        assert_eq!((blocks.len(), LEFT.get()), (7, 2), "16 pages, 16, and then as few as will do");
        let error = refusal(&heap).unwrap();
        assert!(error.is(PmError::QuotaExceeded));
        assert_eq!(error.operation, Operation::Allocate);
        // SAFETY: it was allocated from this heap with this layout.
        unsafe { heap.dealloc(blocks[3], layout) };
        assert_eq!(allocate(), Some(blocks[3]));
    }

    #[test]
    fn a_growing_heap_ends_where_its_window_does() {
        LEFT.set(1000);
        let heap = growing(host_pages(20), |pages| Pm::new(Host).reserve_heap(pages));
        let layout = Layout::from_size_align(15 * 4096, 16).unwrap();
        // SAFETY: the layout's size is not 0.
        let [first, second] = [(), ()].map(|()| unsafe { heap.alloc(layout) });
        assert!(!first.is_null() && second.is_null());
        assert_eq!((LEFT.get(), refusal(&heap)), (983, None));
    }
}
