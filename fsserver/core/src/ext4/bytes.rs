// SPDX-License-Identifier: BSD-2-Clause
//! Little-endian numbers in blocks, and the checksum of ext4's metadata.

use fsserver_api::FsError;

/// A block, of as many bytes as blocks have; the rest is not used.
pub(crate) type Block = [u8; 4096];

/// Returns the bytes from `at` on.
pub(super) fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], FsError> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().ok_or(FsError::ImageDamaged)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Result<u16, FsError> {
    bytes_at(bytes, at).map(u16::from_le_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, FsError> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

/// Returns a number of which the upper half is elsewhere.
pub(super) fn joined(high: impl Into<u64>, low: u32) -> u64 {
    high.into() << 32 | u64::from(low)
}

/// Fails unless it holds.
pub(super) fn check(holds: bool) -> Result<(), FsError> {
    if holds { Ok(()) } else { Err(FsError::ImageDamaged) }
}

/// CRC-32C of the values of one byte.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut value: u32 = 0;
    // A constant has neither iterators nor conversions; the index is below 256.
    #[allow(clippy::as_conversions, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    while value < 256 {
        let mut sum = value;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0x82F6_3B78 } else { sum >> 1 };
            bit += 1;
        }
        table[value as usize] = sum;
        value += 1;
    }
    table
};

/// A checksum, so far: CRC-32C as ext4 uses it, not inverted at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checksum(u32);

impl Checksum {
    /// That of no bytes.
    pub(super) const START: Self = Self(u32::MAX);

    /// Returns the checksum that goes on from this value.
    pub(super) const fn from_value(value: u32) -> Self {
        Self(value)
    }

    /// Returns the checksum with these bytes, too.
    pub(super) fn with(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |sum, byte| {
            let [low, ..] = (sum ^ u32::from(*byte)).to_le_bytes();
            let of_byte = TABLE.get(usize::from(low)).copied().unwrap_or_default();
            sum >> 8 ^ of_byte
        }))
    }

    /// Fails unless the checksum is this.
    pub(super) fn check(self, expected: u32) -> Result<(), FsError> {
        check(self.0 == expected)
    }

    /// Fails unless the lower half of the checksum is this.
    pub(super) fn check_low(self, expected: u16) -> Result<(), FsError> {
        check(self.0 & 0xFFFF == u32::from(expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_32c() {
        let sum = Checksum::START.with(b"12345").with(b"6789");
        assert_eq!(sum, Checksum(!0xE306_9283));
    }
}
