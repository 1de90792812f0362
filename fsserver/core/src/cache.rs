// SPDX-License-Identifier: BSD-2-Clause
//! Parts of files in fsserver's own memory, which clients get by logical copies (`read_lent`).
//!
//! A *window* is 2 MiB of a file, from a multiple of 2 MiB on: a large frame, if pmserver has one.
//! A client's copy of it costs one call, and no byte is moved until somebody writes to it. A window
//! that is used for other contents gets other memory: copies keep what they have.

use core::sync::atomic::{AtomicU64, Ordering};

use fsserver_api::{Failure, FsError};
use pmserver_client::{
    AddressSpace, Container, ContainerHandle, CopyFlags, MapFlags, Pages, Pm, PmError, Transport,
    VirtAddr, WeakContainer,
};
use proto::limits::{FS_CACHE_WINDOWS, LARGE_FRAMES};
use proto::{FrameNumber, PAGE_BYTES};

use crate::ext4::{Disk, Inode, LastRuns};
use crate::lent::{Filling, of_pm};
use crate::read::copy_file;

/// Bytes of a window.
pub(crate) const WINDOW_BYTES: u64 = LARGE_FRAMES * PAGE_BYTES;

/// Frames of all windows.
const FRAMES: u64 = 2 * LARGE_FRAMES;

const _: () = assert!(FS_CACHE_WINDOWS == 2, "so many frames");

/// The windows, one after the other.
pub const CACHE_WINDOWS: Pages = Pages::new(VirtAddr::new(0x1400_0000).unwrap(), FRAMES).unwrap();

/// What a window has: the inode's number, and which window of the file.
type Key = (u32, u64);

/// The cache. It knows nothing of what it had before a recovery.
pub(crate) struct Cache {
    /// The number of the container with the windows; 0 before it is made. It is kept over a
    /// recovery, so that the container is used again.
    container: Option<&'static AtomicU64>,
    keys: [Option<Key>; FS_CACHE_WINDOWS],
    /// When each was used last, in uses.
    used: [u64; FS_CACHE_WINDOWS],
    uses: u64,
}

impl Cache {
    /// Returns an empty cache; without a place for the number of its container it stays empty.
    pub(crate) const fn new(container: Option<&'static AtomicU64>) -> Self {
        let (keys, used) = ([None; FS_CACHE_WINDOWS], [0; FS_CACHE_WINDOWS]);
        Self { container, keys, used, uses: 0 }
    }

    /// Copies a window of a file to 512 frames of a lent container, from `start` on.
    ///
    /// # Errors
    /// [`FsError::PmRefused`] with `QuotaExceeded` if fsserver has no memory for a window.
    pub(crate) fn copy_window<T: Transport, A: AddressSpace>(
        &mut self,
        pm: &Pm<T>,
        disk: &Disk<A>,
        (inode, runs): (&Inode, &mut LastRuns),
        (window, bytes): (u64, u64),
        (container, start): (ContainerHandle, FrameNumber),
        space: &mut A,
    ) -> Result<(), Failure> {
        let key = (inode.number(), window);
        let place = match self.keys.iter().position(|known| *known == Some(key)) {
            Some(place) => place,
            None => {
                let place = self.oldest();
                let offset = window.saturating_mul(WINDOW_BYTES);
                let pages = self.empty_window(pm, place)?;
                let filling = Filling::own(pm, pages);
                copy_file(disk, (inode, runs), (offset, bytes), &filling, space)?;
                if let Some(known) = self.keys.get_mut(place) {
                    *known = Some(key);
                }
                place
            }
        };
        self.uses = self.uses.wrapping_add(1);
        if let Some(used) = self.used.get_mut(place) {
            *used = self.uses;
        }
        let own = WeakContainer::from_handle(pm, self.container(pm)?);
        let lent = WeakContainer::from_handle(pm, container);
        let frames = frames_of(place);
        own.copy_with(frames, &lent, start.get(), CopyFlags::empty()).map(drop).map_err(of_pm)
    }

    fn oldest(&self) -> usize {
        let places = (0..).zip(&self.used);
        places.min_by_key(|(_, used)| **used).map_or(0, |(place, _)| place)
    }

    /// Gives a window memory that nobody shares, all zero, mapped.
    fn empty_window<T: Transport>(&mut self, pm: &Pm<T>, place: usize) -> Result<Pages, Failure> {
        if let Some(known) = self.keys.get_mut(place) {
            *known = None;
        }
        let handle = self.container(pm)?;
        let frames = frames_of(place);
        let own = Container::from_raw(pm, handle.raw());
        let pages = own.deallocate(frames.clone()).and_then(|_| {
            own.allocate(frames.clone())?;
            let at = frames.start.saturating_mul(PAGE_BYTES);
            let at = CACHE_WINDOWS.start().checked_add(at).unwrap_or(CACHE_WINDOWS.start());
            let flags = MapFlags::READ | MapFlags::WRITE | MapFlags::FORCE_WRITE;
            own.map(frames.clone(), at, flags).map(pmserver_client::Mapping::into_pages)
        });
        let pages = pages.inspect_err(|_| {
            // Nothing is kept for a window that cannot be used.
            let _ = own.deallocate(frames);
        });
        own.into_raw();
        pages.map_err(of_pm)
    }

    /// Returns the container with the windows; makes it first.
    fn container<T: Transport>(&self, pm: &Pm<T>) -> Result<ContainerHandle, Failure> {
        let place = self.container.ok_or(PmError::QuotaExceeded)?;
        let mut number = place.load(Ordering::Relaxed);
        if number == 0 {
            number = pm.account().create_container().map_err(of_pm)?.into_raw();
            place.store(number, Ordering::Relaxed);
        }
        Ok(ContainerHandle::from_raw(number))
    }
}

fn frames_of(place: usize) -> core::ops::Range<u64> {
    let start = u64::try_from(place).unwrap_or_default().saturating_mul(LARGE_FRAMES);
    start..start.saturating_add(LARGE_FRAMES)
}

/// Returns which window of a file an offset is the start of.
pub(crate) fn window_at(offset: u64) -> Result<u64, FsError> {
    let window = offset.checked_div(WINDOW_BYTES).unwrap_or_default();
    if offset.is_multiple_of(WINDOW_BYTES) { Ok(window) } else { Err(FsError::BadRange) }
}
