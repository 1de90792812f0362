// SPDX-License-Identifier: BSD-2-Clause
//! The rows of those that own something: peers, accounts and containers.

use proto::{PeerId, pack_pair, unpack_pair};

use super::{AccountMarks, BookRow, Parts, RecordId, head, number, serial, unpack};
use crate::flags::Book;

/// Bytes of the longest name of a peer.
const NAME_BYTES: usize = 64;

/// The name of a peer in the system file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerName {
    bytes: [u8; NAME_BYTES],
    count: u8,
}

impl PeerName {
    /// Returns the name; one that is too long for a protection domain is cut.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut bytes = [0; NAME_BYTES];
        for (place, byte) in bytes.iter_mut().zip(name.bytes()) {
            *place = byte;
        }
        Self { bytes, count: u8::try_from(name.len().min(NAME_BYTES)).unwrap_or(0) }
    }

    /// Returns the name as text; `?` if it is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let name = self.bytes.get(..usize::from(self.count));
        name.and_then(|name| str::from_utf8(name).ok()).unwrap_or("?")
    }
}

/// A protection domain that pmserver serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerRow {
    /// Its number.
    pub peer: PeerId,
    /// Its name.
    pub name: PeerName,
    /// Its privileges: bit n is the one that is 1 << n in pmserver's setup.
    pub privileges: u8,
    /// Whether it was stopped.
    pub is_stopped: bool,
    /// Its own account, unless that was destroyed.
    pub account: Option<RecordId>,
    /// The account that pays for its tables, slots and mapping records.
    pub payer: Option<RecordId>,
    /// Page tables that pmserver has made for it.
    pub tables: u32,
    /// How often it has faulted for good.
    pub faults: u32,
}

impl BookRow for PeerRow {
    const BOOK: Book = Book::Peers;

    fn part(&self, part: u8) -> [u64; 3] {
        let peer = self.peer.get();
        let Some(piece) = usize::from(part).checked_sub(1) else {
            return [
                head::<Self>([peer, self.privileges, self.name.count], self.is_stopped),
                pack_pair(number(self.account), number(self.payer)),
                pack_pair(self.tables, self.faults),
            ];
        };
        let (words, _) = self.name.bytes.as_chunks::<8>();
        let word = |place: usize| words.get(place).copied().map_or(0, u64::from_le_bytes);
        let first = piece.saturating_mul(2);
        [head::<Self>([peer, 0, 0], 0_u32), word(first), word(first.saturating_add(1))]
    }

    fn from_parts(_: u64, parts: &Parts) -> Option<Self> {
        let [[first, accounts, counts], rest @ ..] = parts;
        let ([peer, privileges, count], is_stopped) = unpack::<Self>(*first)?;
        let (account, payer) = unpack_pair(*accounts);
        let (tables, faults) = unpack_pair(*counts);
        let mut name = PeerName { bytes: [0; NAME_BYTES], count };
        let words = rest.iter().flat_map(|[_, words @ ..]| words);
        for (place, byte) in name.bytes.iter_mut().zip(words.flat_map(|word| word.to_le_bytes())) {
            *place = byte;
        }
        Some(Self {
            peer: PeerId::new(peer.into())?,
            name,
            privileges,
            is_stopped: is_stopped != 0,
            account: RecordId::new(account),
            payer: RecordId::new(payer),
            tables,
            faults,
        })
    }
}

/// An account. All counts are pages; those but `limit`, `promised` and `own` include the accounts
/// below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Its record.
    pub id: RecordId,
    /// As that of a container; 0 for one that exists from the start.
    pub serial: u32,
    /// The account above it; none for the pool's.
    pub parent: Option<RecordId>,
    /// The peer that split it off; none for one that exists from the start.
    pub maker: Option<PeerId>,
    /// Its state.
    pub marks: AccountMarks,
    /// The most that it may use.
    pub limit: u32,
    /// The limits of the accounts below it.
    pub promised: u32,
    /// Frames.
    pub frames: u32,
    /// Page tables.
    pub tables: u32,
    /// CNodes.
    pub slots: u32,
    /// Records.
    pub records: u32,
    /// Extra frames, which are not part of what is used.
    pub extra: u32,
    /// What it uses itself, without extra frames.
    pub own: u32,
    /// Free memory; 0 unless this is the pool's account.
    pub free: u32,
}

impl AccountRow {
    /// Returns what is used: the sum of frames, tables, slots and records.
    #[must_use]
    pub fn used(&self) -> u32 {
        [self.tables, self.slots, self.records].into_iter().fold(self.frames, u32::saturating_add)
    }
}

impl BookRow for AccountRow {
    const BOOK: Book = Book::Accounts;

    fn part(&self, part: u8) -> [u64; 3] {
        if part == 0 {
            let maker = self.maker.map_or(0, PeerId::get);
            [
                head::<Self>([self.marks.bits(), maker, 0], number(self.parent)),
                pack_pair(self.limit, self.promised),
                pack_pair(self.frames, self.tables),
            ]
        } else {
            [
                head::<Self>([0; 3], self.free),
                pack_pair(self.slots, self.records),
                pack_pair(self.extra, self.own),
            ]
        }
    }

    fn from_parts(cursor: u64, parts: &Parts) -> Option<Self> {
        let [[first, limits, frames], [second, slots, extra], ..] = *parts;
        let ([marks, maker, _], parent) = unpack::<Self>(first)?;
        let (_, free) = unpack::<Self>(second)?;
        let [(limit, promised), (frames, tables), (slots, records), (extra, own)] =
            [limits, frames, slots, extra].map(unpack_pair);
        let (parent, maker) = (RecordId::new(parent), PeerId::new(maker.into()));
        let (id, marks) = (RecordId::at(cursor)?, AccountMarks::from_bits_truncate(marks));
        let row = Self {
            id,
            serial: serial(cursor),
            parent,
            maker,
            marks,
            limit,
            promised,
            frames,
            tables,
            slots,
            records,
            extra,
            own,
            free,
        };
        Some(row)
    }
}

/// A container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerRow {
    /// Its record.
    pub id: RecordId,
    /// Which object of its owner's with a handle it is: each has a higher number than the last.
    pub serial: u32,
    /// The peer that made it.
    pub owner: PeerId,
    /// Whether it is being destroyed.
    pub is_dying: bool,
    /// The account that pays.
    pub account: Option<RecordId>,
    /// How many frames it has.
    pub frames: u32,
    /// How many mappings and grants its frames have, and how many are one memory with others.
    pub ties: u32,
    /// How many shares it has.
    pub shares: u8,
    /// How many leases there are on it.
    pub leases: u32,
}

impl BookRow for ContainerRow {
    const BOOK: Book = Book::Containers;

    fn part(&self, _: u8) -> [u64; 3] {
        let bytes = [self.owner.get(), self.is_dying.into(), self.shares];
        let first = head::<Self>(bytes, number(self.account));
        [first, pack_pair(self.frames, self.ties), self.leases.into()]
    }

    fn from_parts(cursor: u64, parts: &Parts) -> Option<Self> {
        let [[first, frames, leases], ..] = *parts;
        let ([owner, is_dying, shares], account) = unpack::<Self>(first)?;
        let (frames, ties) = unpack_pair(frames);
        Some(Self {
            id: RecordId::at(cursor)?,
            serial: serial(cursor),
            owner: PeerId::new(owner.into())?,
            is_dying: is_dying != 0,
            account: RecordId::new(account),
            frames,
            ties,
            shares,
            leases: u32::try_from(leases).ok()?,
        })
    }
}
