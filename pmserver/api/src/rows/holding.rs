// SPDX-License-Identifier: BSD-2-Clause
//! The rows of what is held: shares, leases, mappings, grants, regions and pages.

use proto::{FrameNumber, Micros, PAGE_BYTES, PeerId, pack_pair, unpack_pair};

use super::{
    BookRow, LeaseMarks, MappingState, PageMarks, PageState, Parts, RecordId, ShareMarks, head,
    number, serial, unpack,
};
use crate::flags::{Book, MapFlags, Rights};
use crate::handles::ContainerHandle;

/// Where a cursor has the peer, above an address or the place of a grant.
pub const CURSOR_PEER_SHIFT: u32 = 48;

/// A share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareRow {
    /// Its record.
    pub id: RecordId,
    /// As that of a container.
    pub serial: u32,
    /// The container that is lent.
    pub container: Option<RecordId>,
    /// To whom.
    pub peer: PeerId,
    /// With which rights.
    pub rights: Rights,
    /// Its state.
    pub marks: ShareMarks,
    /// The first frame that is lent.
    pub first: FrameNumber,
    /// The last one.
    pub last: FrameNumber,
}

impl BookRow for ShareRow {
    const BOOK: Book = Book::Shares;

    fn part(&self, _: u8) -> [u64; 3] {
        let [rights, _] = self.rights.bits().to_le_bytes();
        let bytes = [self.peer.get(), rights, self.marks.bits()];
        let first = head::<Self>(bytes, number(self.container));
        [first, self.first.get(), self.last.get()]
    }

    fn from_parts(cursor: u64, parts: &Parts) -> Option<Self> {
        let [[word, first, last], ..] = *parts;
        let ([peer, rights, marks], container) = unpack::<Self>(word)?;
        Some(Self {
            id: RecordId::at(cursor)?,
            serial: serial(cursor),
            container: RecordId::new(container),
            peer: PeerId::new(peer.into())?,
            rights: Rights::from_bits_truncate(rights.into()),
            marks: ShareMarks::from_bits_truncate(marks),
            first: FrameNumber::new(first),
            last: FrameNumber::new(last),
        })
    }
}

/// A lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// Its record.
    pub id: RecordId,
    /// The container; none if the lease is over.
    pub container: Option<RecordId>,
    /// The share through which it is held; none for the owner.
    pub share: Option<RecordId>,
    /// The peer that holds it.
    pub holder: PeerId,
    /// Its state.
    pub marks: LeaseMarks,
    /// The first frame.
    pub first: FrameNumber,
    /// The last one.
    pub last: FrameNumber,
    /// How many frames it pins.
    pub pinned: u32,
    /// When it ends by itself.
    pub deadline: Micros,
}

impl BookRow for LeaseRow {
    const BOOK: Book = Book::Leases;

    fn part(&self, part: u8) -> [u64; 3] {
        if part == 0 {
            let bytes = [self.holder.get(), self.marks.bits(), 0];
            let first = head::<Self>(bytes, number(self.container));
            [first, self.first.get(), self.last.get()]
        } else {
            [head::<Self>([0; 3], self.pinned), self.deadline.get(), number(self.share).into()]
        }
    }

    fn from_parts(cursor: u64, parts: &Parts) -> Option<Self> {
        let [[word, first, last], [second, deadline, share], ..] = *parts;
        let ([holder, marks, _], container) = unpack::<Self>(word)?;
        let (_, pinned) = unpack::<Self>(second)?;
        Some(Self {
            id: RecordId::at(cursor)?,
            container: RecordId::new(container),
            share: RecordId::new(u32::try_from(share).ok()?),
            holder: PeerId::new(holder.into())?,
            marks: LeaseMarks::from_bits_truncate(marks),
            first: FrameNumber::new(first),
            last: FrameNumber::new(last),
            pinned,
            deadline: Micros::new(deadline),
        })
    }
}

/// Pages in a row that are mapped in the same way, from frames in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappingRow {
    /// In whose address space.
    pub peer: PeerId,
    /// The address of the first page.
    pub vaddr: u64,
    /// How many pages.
    pub pages: u16,
    /// With which flags, and how they are installed.
    pub state: MappingState,
    /// The container that the frames are of.
    pub container: Option<RecordId>,
    /// The share through which they are mapped; none for the owner.
    pub share: Option<RecordId>,
    /// The number of the frame at the first page.
    pub first: FrameNumber,
}

impl BookRow for MappingRow {
    const BOOK: Book = Book::Mappings;

    fn part(&self, _: u8) -> [u64; 3] {
        let [low, high] = self.pages.to_le_bytes();
        let word = head::<Self>([self.state.bits(), low, high], number(self.container));
        [word, self.first.get(), number(self.share).into()]
    }

    fn from_parts(cursor: u64, parts: &Parts) -> Option<Self> {
        let [[word, first, share], ..] = *parts;
        let ([state, low, high], container) = unpack::<Self>(word)?;
        let pages = u16::from_le_bytes([low, high]);
        let (peer, end) = place(cursor)?;
        Some(Self {
            peer,
            vaddr: end.checked_sub(u64::from(pages).checked_mul(PAGE_BYTES)?)?,
            pages,
            state: MappingState::from_bits_truncate(state),
            container: RecordId::new(container),
            share: RecordId::new(u32::try_from(share).ok()?),
            first: FrameNumber::new(first),
        })
    }
}

/// Capabilities in a row that are granted in the same way, to frames in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantRow {
    /// To whom.
    pub peer: PeerId,
    /// The place of the first capability among those of the peer.
    pub place: u64,
    /// How many.
    pub count: u16,
    /// With which flags.
    pub state: MappingState,
    /// The container that the frames are of.
    pub container: Option<RecordId>,
    /// The share through which they are granted; none for the owner.
    pub share: Option<RecordId>,
    /// The number of the first frame.
    pub first: FrameNumber,
}

impl BookRow for GrantRow {
    const BOOK: Book = Book::Grants;

    fn part(&self, _: u8) -> [u64; 3] {
        let [low, high] = self.count.to_le_bytes();
        let word = head::<Self>([self.state.bits(), low, high], number(self.container));
        [word, self.first.get(), number(self.share).into()]
    }

    fn from_parts(cursor: u64, parts: &Parts) -> Option<Self> {
        let [[word, first, share], ..] = *parts;
        let ([state, low, high], container) = unpack::<Self>(word)?;
        let count = u16::from_le_bytes([low, high]);
        let (peer, end) = place(cursor)?;
        Some(Self {
            peer,
            place: end.checked_sub(count.into())?,
            count,
            state: MappingState::from_bits_truncate(state),
            container: RecordId::new(container),
            share: RecordId::new(u32::try_from(share).ok()?),
            first: FrameNumber::new(first),
        })
    }
}

/// A region: pages that are mapped as they are touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionRow {
    /// In whose address space.
    pub peer: PeerId,
    /// The address of the first page.
    pub vaddr: u64,
    /// How many pages.
    pub pages: u32,
    /// With which flags they are mapped.
    pub flags: MapFlags,
    /// The peer's handle of the container.
    pub container: ContainerHandle,
    /// The number of the frame at the first page.
    pub first: FrameNumber,
}

impl BookRow for RegionRow {
    const BOOK: Book = Book::Regions;

    fn part(&self, _: u8) -> [u64; 3] {
        let [flags, _] = self.flags.bits().to_le_bytes();
        [head::<Self>([flags, 0, 0], self.pages), self.first.get(), self.container.raw()]
    }

    fn from_parts(cursor: u64, parts: &Parts) -> Option<Self> {
        let [[word, first, container], ..] = *parts;
        let ([flags, ..], pages) = unpack::<Self>(word)?;
        let (peer, end) = place(cursor)?;
        Some(Self {
            peer,
            vaddr: end.checked_sub(u64::from(pages).checked_mul(PAGE_BYTES)?)?,
            pages,
            flags: MapFlags::from_bits_truncate(flags.into()),
            container: ContainerHandle::from_raw(container),
            first: FrameNumber::new(first),
        })
    }
}

/// Pages of the pool in a row that are used in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagesRow {
    /// The number of the first page.
    pub start: u32,
    /// How many.
    pub pages: u32,
    /// What they are used as.
    pub state: PageState,
    /// What holds for the frames on them.
    pub marks: PageMarks,
    /// The container of the frames; where several frames are on a page, of the first.
    pub container: Option<RecordId>,
    /// The account that pays; none for what is free, and for tables.
    pub account: Option<RecordId>,
}

impl BookRow for PagesRow {
    const BOOK: Book = Book::Pages;

    fn part(&self, _: u8) -> [u64; 3] {
        let bytes = [self.state.number(), self.marks.bits(), 0];
        let holders = pack_pair(number(self.container), number(self.account));
        [head::<Self>(bytes, self.pages), holders, 0]
    }

    fn from_parts(cursor: u64, parts: &Parts) -> Option<Self> {
        let [[word, holders, _], ..] = *parts;
        let ([state, marks, _], pages) = unpack::<Self>(word)?;
        let (container, account) = unpack_pair(holders);
        Some(Self {
            start: u32::try_from(cursor).ok()?.checked_sub(pages)?,
            pages,
            state: PageState::from_number(state)?,
            marks: PageMarks::from_bits_truncate(marks),
            container: RecordId::new(container),
            account: RecordId::new(account),
        })
    }
}

/// Returns the peer and the address of a cursor.
fn place(cursor: u64) -> Option<(PeerId, u64)> {
    Some((PeerId::new(cursor >> CURSOR_PEER_SHIFT)?, cursor & ((1 << CURSOR_PEER_SHIFT) - 1)))
}
