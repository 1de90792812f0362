// SPDX-License-Identifier: BSD-2-Clause
//! From registers to arguments. A value that the type of the argument does not have is `Invalid`.

use proto::limits::LARGE_FRAMES;
use proto::{FrameCount, FrameNumber, Micros, PeerId, ProtocolError, VirtAddr};

use crate::error::{CallError, PmError};
use crate::flags::{Book, Disturbance, LockMode, Rights};
use crate::handles::{AccountHandle, ContainerHandle};
use crate::lists::{FrameList, PairList};
use crate::number;
use crate::ops::{Frames, ShareTerms};
use crate::wire::Fields;

pub(crate) const fn account(number: u64) -> AccountHandle {
    AccountHandle::from_raw(number)
}

pub(crate) const fn container(number: u64) -> ContainerHandle {
    ContainerHandle::from_raw(number)
}

pub(crate) fn frames(handle: u64, start: u64, count: impl Into<u64>) -> Result<Frames, PmError> {
    let (container, start) = (container(handle), FrameNumber::new(start));
    Ok(Frames { container, start, count: frame_count(count)? })
}

/// Returns frames of an operation that can treat a large frame as one.
pub(crate) fn frames_or_large(
    handle: u64,
    start: u64,
    count: impl Into<u64>,
) -> Result<Frames, PmError> {
    let (container, count) = (container(handle), count_or_large(count)?);
    let is_aligned = count.get() < LARGE_FRAMES || start.is_multiple_of(LARGE_FRAMES);
    let start = FrameNumber::new(start);
    if is_aligned { Ok(Frames { container, start, count }) } else { Err(PmError::Invalid) }
}

pub(crate) fn frame_count(count: impl Into<u64>) -> Result<FrameCount, PmError> {
    count_or_large(count).ok().filter(|count| count.get() < LARGE_FRAMES).ok_or(PmError::Invalid)
}

/// Returns the count of an operation that can treat a large frame as one.
pub(crate) fn count_or_large(count: impl Into<u64>) -> Result<FrameCount, PmError> {
    FrameCount::new(count.into()).ok_or(PmError::Invalid)
}

pub(crate) fn flags<F: bitflags::Flags<Bits = u16>>(bits: impl TryInto<u16>) -> Result<F, PmError> {
    bits.try_into().ok().and_then(F::from_bits).ok_or(PmError::Invalid)
}

pub(crate) fn address(number: u64) -> Result<VirtAddr, PmError> {
    VirtAddr::new(number).ok_or(PmError::Invalid)
}

pub(crate) fn page(number: u64) -> Result<VirtAddr, PmError> {
    VirtAddr::new_page(number).ok_or(PmError::Invalid)
}

pub(crate) fn peer(number: impl Into<u64>) -> Result<PeerId, PmError> {
    PeerId::new(number.into()).ok_or(PmError::Invalid)
}

/// Returns an argument that must fit into 32 bits.
pub(crate) fn small(number: u64) -> Result<u32, PmError> {
    number.try_into().ok().ok_or(PmError::Invalid)
}

/// Returns an argument that must be below `end`.
pub(crate) fn below(end: u8, number: impl TryInto<u8>) -> Result<u8, PmError> {
    number.try_into().ok().filter(|number| *number < end).ok_or(PmError::Invalid)
}

pub(crate) const fn disturbance(number: u64) -> Result<Disturbance, PmError> {
    match number {
        number::DISTURB_UNMAP => Ok(Disturbance::Unmap),
        number::DISTURB_MOVE => Ok(Disturbance::Move),
        _ => Err(PmError::Invalid),
    }
}

pub(crate) fn book(number: u64) -> Result<Book, PmError> {
    number.try_into().ok().and_then(Book::from_number).ok_or(PmError::Invalid)
}

const fn lock_mode(number: u16) -> Result<LockMode, PmError> {
    match number {
        number::LOCK_READ => Ok(LockMode::Read),
        number::LOCK_EXCLUSIVE => Ok(LockMode::Exclusive),
        _ => Err(PmError::Invalid),
    }
}

/// Returns the two lower 16-bit fields of a register; its upper half must be 0.
pub(crate) const fn two_fields(register: u64) -> Result<(u16, u16), PmError> {
    match Fields::unpack(register) {
        Fields { low, middle, high: 0 } => Ok((low, middle)),
        _ => Err(PmError::Invalid),
    }
}

/// Returns the frames and the mode of a `lock` or `pin`: `how` has the count and the mode.
pub(crate) fn leased(handle: u64, start: u64, how: u64) -> Result<(Frames, LockMode), PmError> {
    let (count, mode) = two_fields(how)?;
    Ok((frames_or_large(handle, start, count)?, lock_mode(mode)?))
}

/// Returns the count of a `copy` from one number to another.
pub(crate) fn copied(from: u64, to: u64, count: u16) -> Result<FrameCount, PmError> {
    let count = count_or_large(count)?;
    let is_aligned = [from, to].iter().all(|start| start.is_multiple_of(LARGE_FRAMES));
    if count.get() < LARGE_FRAMES || is_aligned { Ok(count) } else { Err(PmError::Invalid) }
}

/// Returns the handler and the cookie of a `set_handler`. Peer number 0 means no handler.
pub(crate) fn handler(how: u64) -> Result<(Option<PeerId>, u32), PmError> {
    match Fields::unpack(how) {
        Fields { low: 0, middle: 0, high } => Ok((None, high)),
        Fields { low, middle: 0, high } => Ok((Some(peer(low)?), high)),
        _ => Err(PmError::Invalid),
    }
}

impl ShareTerms {
    pub(crate) fn unpack(register: u64) -> Result<Self, PmError> {
        let Fields { low, middle, high } = Fields::unpack(register);
        let once = middle & number::SHARE_ONCE != 0;
        let rights = Rights::from_bits(middle & !number::SHARE_ONCE).ok_or(PmError::Invalid)?;
        Ok(Self { peer: peer(low)?, rights, lease_max: Micros::new(high.into()), once })
    }
}

pub(crate) fn frame_list(registers: &[u64]) -> Result<FrameList, PmError> {
    let mut list = [FrameNumber::new(0); FrameList::MOST];
    for (number, register) in list.iter_mut().zip(registers) {
        *number = FrameNumber::new(*register);
    }
    list.get(..registers.len()).and_then(FrameList::new).ok_or(PmError::Invalid)
}

/// Returns pairs of registers as pairs of numbers; an odd number of registers is a wrong length.
pub(crate) fn pairs(registers: &[u64]) -> Result<PairList, CallError> {
    let (chunks, rest) = registers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(ProtocolError::WrongLength.into());
    }
    let mut list = [(FrameNumber::new(0), FrameNumber::new(0)); PairList::MOST];
    for (pair, [from, to]) in list.iter_mut().zip(chunks) {
        *pair = (FrameNumber::new(*from), FrameNumber::new(*to));
    }
    list.get(..chunks.len()).and_then(PairList::new).ok_or(PmError::Invalid.into())
}
