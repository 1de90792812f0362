// SPDX-License-Identifier: BSD-2-Clause
//! Flags and rights (protocol.md A3). Unknown bits are refused by `decode`, never ignored.

use bitflags::bitflags;

bitflags! {
    /// Flags of `allocate`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct AllocateFlags: u16 {
        /// Keep what could be allocated before the first problem; without it all or nothing.
        const PARTIAL = 1 << 0;
        /// Drop a virtual frame that is in the way; its contents are lost.
        const SQUASH = 1 << 1;
        /// Go above the guaranteed limit, with frames that may be asked back.
        const EXTRA = 1 << 2;
        /// Only frames fit for a device; needs the DMA right.
        const DMA = 1 << 3;
        /// Contents may be whatever the caller's own account last had in them.
        const UNDEFINED = 1 << 4;
    }

    /// Flags of `deallocate`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct DeallocateFlags: u16 {
        /// Free nothing where any frame of the range is missing.
        const STRICT = 1 << 0;
    }

    /// Flags of `map`, and the rights that it reports back.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MapFlags: u16 {
        /// Readable.
        const READ = 1 << 0;
        /// Writable; implies READ.
        const WRITE = 1 << 1;
        /// With WRITE: break copy-on-write now instead of mapping read-only. Ignored without WRITE.
        const FORCE_WRITE = 1 << 2;
        /// Executable; refused together with WRITE.
        const EXECUTE = 1 << 3;
    }

    /// Flags of `unshare`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct UnshareFlags: u16 {}

    /// What a share lets its holder do.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Rights: u16 {
        /// Map for reading.
        const READ = 1 << 0;
        /// Map for writing, replace contents.
        const WRITE = 1 << 1;
        /// Lock for a limited time.
        const LOCK = 1 << 2;
    }

    /// What `status` tells of one frame, in one byte.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct FrameState: u8 {
        /// The container has this frame.
        const PRESENT = 1 << 0;
        /// It has physical memory.
        const BOUND = 1 << 1;
        /// Its memory is shared copy-on-write.
        const COW = 1 << 2;
        /// Its memory is really shared with another container, or a share covers it.
        const SHARED = 1 << 3;
        /// A lease covers it.
        const LOCKED = 1 << 4;
        /// It is an extra frame.
        const EXTRA = 1 << 5;
        /// Its contents may be dropped under pressure.
        const DISCARDABLE = 1 << 6;
        /// It is mapped somewhere.
        const MAPPED = 1 << 7;
    }
}

/// How a lease excludes others (protocol O13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Nobody but the holder writes: the mappings of the others become read-only.
    Read,
    /// Only the holder of the lease has access: the mappings of the others are taken away.
    Exclusive,
}
