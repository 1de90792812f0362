// SPDX-License-Identifier: BSD-2-Clause
//! The memory that the device and the driver share: the queue, and what stands before and after the
//! data of a transfer.
//!
//! ```text
//!   page 0, 1   the queue, as virtio-drivers lays it out: what the driver writes, what the device
//!   page 2      for each transfer a header, a segment to discard, a status
//! ```

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pmserver_client::{
    At, Error, ErrorKind, LockMode, MapFlags, Micros, Operation, PAGE_BYTES, Pages, Pm, PmError,
    Transport, VirtAddr,
};

const QUEUE_PAGES: usize = 2;
const PAGES: u64 = 3;
/// Where the memory is mapped.
const RINGS: Pages = Pages::new(VirtAddr::new(0x1000_0000).unwrap(), PAGES).unwrap();

/// A page's alignment, as a power of two; and an address below this power of two is any.
const PAGE_BITS: u8 = 12;
const ANYWHERE_BITS: u8 = 64;

/// Where the memory is on the bus; 0 as long as there is none.
static BUS: AtomicU64 = AtomicU64::new(0);
/// Pages of the queue that were handed out.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Allocates the memory and maps it.
pub(crate) fn reserve<T: Transport>(pm: &Pm<T>) -> Result<(), Error> {
    let container = pm.account().create_container()?;
    container.allocate_contiguous(0..PAGES, PAGE_BITS, ANYWHERE_BITS)?;
    let pin = container.pin(0..PAGES, LockMode::Exclusive, Micros::NEVER)?;
    let run = pin.first();
    if run.frames < PAGES {
        let kind = ErrorKind::Refused(PmError::NoMemory);
        return Err(Error { operation: Operation::Pin, kind, done: 0, at: At::Nothing });
    }
    // It lasts as long as this domain: what ends the pin resets the device, or puts the memory into
    // quarantine (PM-461).
    pin.into_raw();
    let flags = MapFlags::WRITE | MapFlags::FORCE_WRITE;
    container.map(0..PAGES, RINGS.start(), flags)?.into_pages();
    container.into_raw();
    BUS.store(run.address, Ordering::Relaxed);
    Ok(())
}

/// Returns pages of the queue, cleared: where the device finds them, and where they are mapped. The
/// bus address is 0 if there are not so many.
pub(crate) fn take(pages: usize) -> (u64, NonNull<u8>) {
    let first = TAKEN.fetch_add(pages, Ordering::Relaxed);
    let is_there = first.checked_add(pages).is_some_and(|end| end <= QUEUE_PAGES);
    let page_bytes = usize::try_from(PAGE_BYTES).unwrap_or_default();
    let bytes = pages.saturating_mul(page_bytes);
    let skipped = u64::try_from(first).unwrap_or_default().saturating_mul(PAGE_BYTES);
    let place = RINGS.start().checked_add(skipped).filter(|_| is_there);
    let bus = BUS.load(Ordering::Relaxed);
    match place {
        Some(place) if bus > 0 => {
            shm::clear(place, bytes);
            (bus.saturating_add(skipped), pointer(place))
        }
        _ => (0, NonNull::dangling()),
    }
}

/// Takes back all pages of the queue: the device uses none of them any more.
pub(crate) fn restart() {
    TAKEN.store(0, Ordering::Relaxed);
}

/// Returns the address of a byte of the last page.
pub(crate) fn address_in_last_page(offset: usize) -> usize {
    let last = RINGS.start().get().saturating_add(PAGE_BYTES.saturating_mul(PAGES - 1));
    usize::try_from(last).unwrap_or_default().saturating_add(offset)
}

/// Returns where the device finds what is mapped at an address of this memory.
pub(crate) fn bus_address(address: usize) -> Option<u64> {
    let offset = u64::try_from(address).ok()?.checked_sub(RINGS.start().get())?;
    BUS.load(Ordering::Relaxed).checked_add(offset).filter(|_| offset < RINGS.bytes())
}

fn pointer(place: VirtAddr) -> NonNull<u8> {
    let address = usize::try_from(place.get()).ok().and_then(core::num::NonZero::new);
    address.map_or(NonNull::dangling(), NonNull::with_exposed_provenance)
}
