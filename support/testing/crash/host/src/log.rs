// SPDX-License-Identifier: BSD-2-Clause
//! The log that QEMU's block driver `blklogwrites` keeps of a disk, in the format of Linux'
//! dm-log-writes: a block that says how many entries there are, and each entry, a block that says
//! what was done, before what was written.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

use crash_core::{MARK_FROM_END, Mark};
use fastrand::Rng;

const MAGIC: u64 = 0x006A_7366_7773_6872;
const VERSION: u64 = 1;

const FLAG_FLUSH: u64 = 1;
const FLAG_DISCARD: u64 = 4;

pub(crate) const SECTOR: usize = 512;

/// What was done to the disk.
enum Entry {
    /// These bytes of the log were written from this byte of the disk on.
    Write(usize, Range<usize>),
    /// What was written before lasts.
    Flush,
    /// Nobody relies on what is there afterwards.
    Discard,
}

/// A log.
pub(crate) struct Log {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// How many entries there are when a mark was made, and which.
    marks: BTreeMap<usize, Mark>,
}

impl Log {
    /// Reads a log of a disk of so many bytes.
    pub(crate) fn read(path: &Path, disk_bytes: usize) -> io::Result<Self> {
        let bytes = fs::read(path)?;
        let mark_at = disk_bytes.saturating_sub(SECTOR * MARK_FROM_END as usize);
        let [magic, version, count] = words(&bytes, 0)?;
        if (magic, version) != (MAGIC, VERSION) {
            return Err(io::Error::other("this is no log of blklogwrites"));
        }
        let (mut entries, mut marks, mut at) = (Vec::new(), BTreeMap::new(), SECTOR);
        for _ in 0..count {
            let [sector, sectors, flags] = words(&bytes, at)?;
            let start = at + SECTOR;
            at = start;
            if flags & FLAG_DISCARD != 0 {
                entries.push(Entry::Discard);
                continue;
            }
            let end = start + sectors as usize * SECTOR;
            let data = bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
            at = end;
            if flags & FLAG_FLUSH != 0 {
                entries.push(Entry::Flush);
            }
            if data.is_empty() {
                continue;
            }
            let to = sector as usize * SECTOR;
            entries.push(Entry::Write(to, start..end));
            if to == mark_at {
                let mark = Mark::parse(data).ok_or(io::Error::other("a mark is not one"))?;
                marks.insert(entries.len(), mark);
            }
        }
        Ok(Self { bytes, entries, marks })
    }

    /// Cuts the power at a random moment between the first mark and the last: before, the folders
    /// are made, and after it the demo runs. Makes the disk what it is then, and returns the last
    /// mark that was made before, and how many entries there were.
    pub(crate) fn cut(&self, random: &mut Rng, disk: &mut [u8]) -> Option<(Mark, usize)> {
        let (first, _) = self.marks.first_key_value()?;
        let (last, _) = self.marks.last_key_value()?;
        let moment = random.usize(first..=last);
        let (_, mark) = self.marks.range(..=moment).next_back()?;
        let before = self.entries.get(..moment)?;
        let flushed = before.iter().rposition(|entry| matches!(entry, Entry::Flush)).unwrap_or(0);
        // Between all that was written since the last flush, and nothing of it.
        let kept = random.u8(0..=4);
        for (index, entry) in before.iter().enumerate() {
            let Entry::Write(to, range) = entry else { continue };
            let data = self.bytes.get(range.clone())?;
            let sectors = data.len() / SECTOR;
            let part = match kept {
                _ if index < flushed => 0..sectors,
                4 => 0..sectors,
                _ if random.u8(0..4) >= kept => 0..0,
                // A sector is written as a whole, or not; a request may be in part.
                _ if random.u8(0..4) == 0 => {
                    let start = random.usize(0..sectors);
                    start..random.usize(start..=sectors)
                }
                _ => 0..sectors,
            };
            let part = part.start * SECTOR..part.end * SECTOR;
            let place = disk.get_mut(to + part.start..to + part.end)?;
            place.copy_from_slice(data.get(part)?);
        }
        Some((*mark, moment))
    }

    /// Returns how many entries and marks there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.entries.len(), self.marks.len())
    }
}

/// Returns the first numbers of a block.
fn words<const N: usize>(bytes: &[u8], at: usize) -> io::Result<[u64; N]> {
    let block = bytes.get(at..at + SECTOR).ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    Ok(words)
}
