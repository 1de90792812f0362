// SPDX-License-Identifier: BSD-2-Clause
//! The kernel's error replies, with the kernel's names and numbers (seL4 manual, "Errors").

/// Why an invocation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// An argument is invalid: its number, from 0.
    InvalidArgument(u64),
    /// A capability is of the wrong kind or state: 0 for the invoked one, from 1 for extra ones.
    InvalidCapability(u64),
    /// The object has no such operation, or this capability does not allow it.
    IllegalOperation,
    /// An argument is out of range.
    RangeError {
        /// The lowest value allowed.
        min: u64,
        /// The highest value allowed.
        max: u64,
    },
    /// An address or size is not aligned.
    AlignmentError,
    /// The lookup of a slot or a page table failed.
    FailedLookup {
        /// Whether it was the lookup of a source.
        source: bool,
        /// What stopped the lookup.
        fault: LookupFault,
    },
    /// The destination is not empty.
    DeleteFirst,
    /// The capability has children, or others to the same object exist.
    RevokeFirst,
    /// The untyped object has too little free memory.
    NotEnoughMemory {
        /// Free bytes in it.
        left: u64,
    },
    /// Not an error reply: the address of the invoked capability or of an extra one does not
    /// resolve, so the caller faults and gets no reply.
    CapFault(LookupFault),
}

/// What stopped a lookup in a CSpace or in page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupFault {
    /// The root is not a CNode, or not an address space with an ASID.
    InvalidRoot,
    /// The slot is empty, or a page table is missing.
    MissingCapability {
        /// Bits of the address that were not translated; for page tables, the span of the missing
        /// one as a power of two.
        bits_left: u64,
    },
    /// The address ends between two levels.
    DepthMismatch {
        /// Number of bits that the level translates.
        bits_found: u64,
        /// Number of bits that were left.
        bits_left: u64,
    },
    /// The bits of the address differ from the guard.
    GuardMismatch {
        /// The guard.
        guard: u64,
        /// Number of bits that were left.
        bits_left: u64,
        /// Number of bits of the guard.
        bits_found: u64,
    },
}

impl Error {
    /// Returns the `seL4_Error` number; a capability fault has none.
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

    /// Returns the error that reports a missing page table, which would span `2^span_bits` bytes.
    pub(crate) const fn table_missing(span_bits: u64) -> Self {
        let fault = LookupFault::MissingCapability { bits_left: span_bits };
        Self::FailedLookup { source: false, fault }
    }
}
