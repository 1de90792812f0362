// SPDX-License-Identifier: BSD-2-Clause
//! Little-endian numbers in blocks.

use crate::error::Error;

/// Returns the bytes from `at` on.
fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Error> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().ok_or(Error::Damaged)
}

pub(super) fn u8_at(bytes: &[u8], at: usize) -> Result<u8, Error> {
    bytes_at(bytes, at).map(|[byte]| byte)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Error> {
    bytes_at(bytes, at).map(u16::from_le_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Error> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

/// Returns a number of which the upper half is elsewhere.
pub(super) fn joined(high: impl Into<u64>, low: u32) -> u64 {
    high.into() << 32 | u64::from(low)
}

/// Fails unless it holds.
pub(super) fn check(holds: bool) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Damaged) }
}

/// Overwrites the bytes from `at` on.
pub(super) fn set(bytes: &mut [u8], at: usize, by: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(by) {
        *to = *from;
    }
}
