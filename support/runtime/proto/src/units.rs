// SPDX-License-Identifier: BSD-2-Clause
//! Newtypes for all numbers that crates and programs exchange.
//!
//! None has arithmetic operators or a `Deref`: every sum is computed by a checked method.

use core::fmt;

use crate::limits::PEERS_MAX;

/// Bytes in a base page, and so in a frame, on both architectures.
pub const PAGE_BYTES: u64 = 4096;

const PAGE_OFFSET_MASK: u64 = 4095;
/// One past the highest user address that may be mapped on either architecture: 2^47 on x86_64.
/// aarch64 with a hypervisor kernel has fewer; its kernel refuses the others itself.
const USER_ADDRESS_END: u64 = 1 << 47;

/// A user virtual address, page-aligned or not. Holding one proves that it lies below the end of
/// user space, so that the address of its page's last byte cannot wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtAddr(u64);

impl VirtAddr {
    /// The lowest address.
    pub const ZERO: Self = Self(0);

    /// Returns the address, or `None` if it is above user space.
    #[must_use]
    pub const fn new(address: u64) -> Option<Self> {
        if address < USER_ADDRESS_END { Some(Self(address)) } else { None }
    }

    /// Returns the address, or `None` if it is above user space or not page-aligned.
    #[must_use]
    pub const fn new_page(address: u64) -> Option<Self> {
        if address & PAGE_OFFSET_MASK == 0 { Self::new(address) } else { None }
    }

    /// Returns the address as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the address `bytes` further on, or `None` if that is above user space.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => Self::new(sum),
            None => None,
        }
    }

    /// Returns the start of the page that contains this address.
    #[must_use]
    pub const fn page(self) -> Self {
        Self(self.0 & !PAGE_OFFSET_MASK)
    }
}

impl fmt::Display for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// The number of a virtual frame in its container (protocol R1): any value, chosen by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameNumber(u64);

impl FrameNumber {
    /// Returns the frame number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns it as a plain number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the frame number `frames` further on, or `None` if the sum overflows.
    #[must_use]
    pub const fn checked_add(self, frames: u64) -> Option<Self> {
        match self.0.checked_add(frames) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }
}

impl fmt::Display for FrameNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number of frames that one call asks for. Holding one proves that it is at least 1 and at
/// most [`CALL_FRAMES_MAX`](crate::limits::CALL_FRAMES_MAX), or exactly
/// [`LARGE_FRAMES`](crate::limits::LARGE_FRAMES).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrameCount(u64);

impl FrameCount {
    /// One frame.
    pub const ONE: Self = Self(1);

    /// Returns the count, or `None` if it is none that a call may name.
    #[must_use]
    pub const fn new(count: u64) -> Option<Self> {
        let is_few = 1 <= count && count <= crate::limits::CALL_FRAMES_MAX;
        if is_few || count == crate::limits::LARGE_FRAMES { Some(Self(count)) } else { None }
    }

    /// Returns the count as a plain number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A number of bytes, for accounts and sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ByteCount(u64);

impl ByteCount {
    /// Returns the count of bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Returns the bytes in `pages` base pages. Saturates, at more than any real memory.
    #[must_use]
    pub const fn from_pages(pages: u64) -> Self {
        Self(pages.saturating_mul(PAGE_BYTES))
    }

    /// Returns it as a plain number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A duration, or a time on pmserver's monotonic clock since it started, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Micros(u64);

impl Micros {
    /// A time that does not come, or a duration without an end.
    pub const NEVER: Self = Self(u64::MAX);

    /// Returns the time or duration.
    #[must_use]
    pub const fn new(micros: u64) -> Self {
        Self(micros)
    }

    /// Returns it as a plain number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the time `span` later. Saturates, after half a million years.
    #[must_use]
    pub const fn saturating_add(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

/// The number by which pmserver knows a protection domain: both the identifier of its channel to
/// pmserver and its child number there, which microkit-system.xml keeps equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(u8);

/// One above the highest peer number.
const PEER_END: u64 = u64::from_le_bytes(PEERS_MAX.to_le_bytes());

impl PeerId {
    /// Returns the peer, or `None` if the number is 0 or above the highest peer number.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number == 0 || number >= PEER_END {
            return None;
        }
        let [id, ..] = number.to_le_bytes();
        Some(Self(id))
    }

    /// Returns it as a plain number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_end_where_user_space_ends() {
        assert!(VirtAddr::new((1 << 47) - 1).is_some());
        assert!(VirtAddr::new(1 << 47).is_none());
        assert!(VirtAddr::new(u64::MAX).is_none());
        assert!(VirtAddr::new_page(0x1001).is_none());
        assert!(VirtAddr::new(0x1000).unwrap().checked_add(u64::MAX).is_none());
    }

    #[test]
    fn a_frame_count_is_between_1_and_the_limit_of_a_call() {
        assert!(FrameCount::new(0).is_none());
        assert!(FrameCount::new(1).is_some());
        assert!(FrameCount::new(crate::limits::CALL_FRAMES_MAX).is_some());
        assert!(FrameCount::new(crate::limits::CALL_FRAMES_MAX + 1).is_none());
    }

    #[test]
    fn peers_are_numbered_from_1_to_31() {
        assert!(PeerId::new(0).is_none());
        assert!(PeerId::new(1).is_some());
        assert!(PeerId::new(31).is_some());
        assert!(PeerId::new(32).is_none());
        assert!(PeerId::new(u64::MAX).is_none());
    }
}
