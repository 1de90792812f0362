// SPDX-License-Identifier: BSD-2-Clause
//! The page of the image that contains pmserver's setup.
//!
//! ```text
//!   byte 0    mark of this version, 8 bytes
//!        8    count of parts          12  count of peers
//!       16    the peers whose devices are behind an IOMMU, a bit for each
//!       20    the parts, 8 bytes each: slot, size_bits
//!        then the peers, 84 bytes each: number, privileges, limit (8 bytes), name (64 bytes),
//!        the peers that it calls, a bit for each
//!        then zeros
//! ```
//!
//! Numbers are little-endian, of 4 bytes if no other size is given. Names are filled up with zeros.

use proto::limits::PEERS_MAX;
use proto::{ByteCount, PAGE_BYTES, PeerId};

use crate::call_graph::{CallGraph, bit};
use crate::pool::{PARTS_MAX, PoolPart};
use crate::setup::{NAME_BYTES_MAX, PeerConfig, Privileges, Setup, SetupError};

/// Bytes of the page.
pub const SETUP_BYTES: usize = 4096;
const _: () = assert!(PAGE_BYTES == 4096);

const MARK: [u8; 8] = *b"pmsetup3";
const HEADER_BYTES: usize = 20;
const PART_BYTES: usize = 8;
const PEER_BYTES: usize = 20 + NAME_BYTES_MAX;
const _: () =
    assert!(HEADER_BYTES + PARTS_MAX * PART_BYTES + PEERS_MAX * PEER_BYTES <= SETUP_BYTES);

/// Writes a setup.
#[must_use]
pub fn encode(setup: &Setup<'_>) -> [u8; SETUP_BYTES] {
    write(setup, setup.parts())
}

/// Writes a setup without its pool, for a system in which that is handed over.
#[must_use]
pub fn encode_without_pool(setup: &Setup<'_>) -> [u8; SETUP_BYTES] {
    write(setup, &[])
}

fn write(setup: &Setup<'_>, parts: &[PoolPart]) -> [u8; SETUP_BYTES] {
    let mut page = [0; SETUP_BYTES];
    let mut writer = Writer { rest: &mut page };
    writer.put(&MARK);
    writer.put_number(parts.len());
    writer.put_number(setup.peers().len());
    let confined = setup.confined().fold(0, |peers, peer| peers | bit(peer));
    writer.put(&confined.to_le_bytes());
    for part in parts {
        writer.put(&part.slot.to_le_bytes());
        writer.put(&part.size_bits.to_le_bytes());
    }
    for peer in setup.peers() {
        let mut name = [0; NAME_BYTES_MAX];
        for (to, from) in name.iter_mut().zip(peer.name.bytes()) {
            *to = from;
        }
        writer.put(&u32::from(peer.peer).to_le_bytes());
        writer.put(&u32::from(peer.privileges.bits()).to_le_bytes());
        writer.put(&peer.limit.get().to_le_bytes());
        writer.put(&name);
        let servers = PeerId::new(peer.peer.into()).map(|id| setup.calls().servers_of(id));
        writer.put(&servers.unwrap_or_default().to_le_bytes());
    }
    page
}

/// Reads a setup. Whatever the page holds, this returns a setup that passed all checks, or an
/// error.
///
/// # Errors
/// The first thing that is wrong.
pub fn decode(page: &[u8; SETUP_BYTES]) -> Result<Setup<'_>, SetupError> {
    decode_with(page, [])
}

/// Reads a setup whose pool has these parts as well as those in the page.
///
/// # Errors
/// The first thing that is wrong.
pub fn decode_with(
    page: &[u8; SETUP_BYTES],
    handed_over: impl IntoIterator<Item = PoolPart>,
) -> Result<Setup<'_>, SetupError> {
    let mut reader = Reader { rest: page };
    if reader.take::<8>()? != &MARK {
        return Err(SetupError::Form);
    }
    let (part_count, peer_count) = (reader.number()?, reader.number()?);
    let confined = reader.number()?;
    if usize::try_from(part_count).map_or(true, |count| count > PARTS_MAX) {
        return Err(SetupError::TooManyParts(part_count));
    }
    if usize::try_from(peer_count).map_or(true, |count| count >= PEERS_MAX) {
        return Err(SetupError::TooManyPeers(peer_count));
    }
    let no_part = PoolPart { slot: 0, size_bits: 0 };
    let mut parts = [no_part; PARTS_MAX];
    let mut peers = [None; PEERS_MAX];
    for (place, _) in parts.iter_mut().zip(0..part_count) {
        *place = PoolPart { slot: reader.number()?, size_bits: reader.number()? };
    }
    let mut calls = CallGraph::NONE;
    for (place, _) in peers.iter_mut().zip(0..peer_count) {
        let peer = place.insert(reader.peer()?);
        let servers = reader.number()?;
        if let Some(id) = PeerId::new(peer.peer.into()) {
            calls.set_servers_of(id, servers);
        }
    }
    if reader.rest.iter().any(|byte| *byte != 0) {
        return Err(SetupError::Form);
    }
    let parts = parts.into_iter().zip(0..part_count).map(|(part, _)| part).chain(handed_over);
    let setup = Setup::new(parts, peers.into_iter().flatten()).map_err(|(_, error)| error)?;
    setup.with_calls(calls).with_confined(confined).map_err(|(_, error)| error)
}

struct Writer<'a> {
    rest: &'a mut [u8],
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        // The largest setup fits into the page.
        if let Some((place, rest)) =
            core::mem::take(&mut self.rest).split_at_mut_checked(bytes.len())
        {
            place.copy_from_slice(bytes);
            self.rest = rest;
        }
    }

    fn put_number(&mut self, number: usize) {
        self.put(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], SetupError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(SetupError::Form)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u32, SetupError> {
        self.take().map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn peer(&mut self) -> Result<PeerConfig<'a>, SetupError> {
        let number = self.number()?;
        let bits = self.number()?;
        let limit = u64::from_le_bytes(*self.take()?);
        let name = self.take::<NAME_BYTES_MAX>()?;
        let length = name.iter().rposition(|byte| *byte != 0).map_or(0, |at| at.saturating_add(1));
        let name = core::str::from_utf8(name.get(..length).unwrap_or_default());
        let known = u8::try_from(bits).ok().and_then(Privileges::from_bits);
        Ok(PeerConfig {
            peer: u8::try_from(number).map_err(|_| SetupError::PeerNumber(number))?,
            name: name.map_err(|_| SetupError::PeerName)?,
            limit: ByteCount::new(limit),
            privileges: known.ok_or(SetupError::Privileges(bits))?,
        })
    }
}
