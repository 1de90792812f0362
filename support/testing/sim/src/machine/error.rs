// SPDX-License-Identifier: BSD-2-Clause
//! The kernel's error replies, by its own names and numbers (seL4 manual, "Errors").

/// Why an invocation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// An argument is out of the question; says which one, from 0.
    InvalidArgument(u64),
    /// A capability is of the wrong kind or state; 0 is the invoked one, then the extra ones.
    InvalidCapability(u64),
    /// The object has no such operation, or not for this capability.
    IllegalOperation,
    /// An argument lies outside of a range.
    RangeError {
        /// The lowest value that is allowed.
        min: u64,
        /// The highest.
        max: u64,
    },
    /// An address or size is not aligned.
    AlignmentError,
    /// A capability or page table was not found on the way.
    FailedLookup {
        /// Whether it was looked up as a source.
        source: bool,
        /// What stopped it.
        fault: LookupFault,
    },
    /// The destination holds something.
    DeleteFirst,
    /// The object has children or siblings.
    RevokeFirst,
    /// The untyped object has too little room.
    NotEnoughMemory {
        /// Bytes that are left in it.
        left: u64,
    },
    /// Not an error reply: the address of the invoked or an extra capability does not resolve, so
    /// that the caller faults instead of getting a reply.
    CapFault(LookupFault),
}

/// What stopped a walk through a CSpace or a page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupFault {
    /// The walk began at something that is no root.
    InvalidRoot,
    /// Nothing is there.
    MissingCapability {
        /// Bits of the address that were not translated; for page tables, the span of the missing.
        bits_left: u64,
    },
    /// The address ends between two levels.
    DepthMismatch {
        /// Bits that the level translates.
        bits_found: u64,
        /// Bits that were left.
        bits_left: u64,
    },
    /// The address has other bits than the guard.
    GuardMismatch {
        /// The guard.
        guard: u64,
        /// Bits that were left.
        bits_left: u64,
        /// Bits of the guard.
        bits_found: u64,
    },
}

impl Error {
    /// Returns the number of `seL4_Error`; a capability fault has none.
    #[must_use]
    pub const fn code(self) -> Option<u64> {
        match self {
            Self::InvalidArgument(_) => Some(1),
            Self::InvalidCapability(_) => Some(2),
            Self::IllegalOperation => Some(3),
            Self::RangeError { .. } => Some(4),
            Self::AlignmentError => Some(5),
            Self::FailedLookup { .. } => Some(6),
            Self::DeleteFirst => Some(8),
            Self::RevokeFirst => Some(9),
            Self::NotEnoughMemory { .. } => Some(10),
            Self::CapFault(_) => None,
        }
    }

    /// Returns the error for a page table that spans `2^span_bits` bytes and is missing.
    pub(crate) const fn table_missing(span_bits: u64) -> Self {
        let fault = LookupFault::MissingCapability { bits_left: span_bits };
        Self::FailedLookup { source: false, fault }
    }
}
