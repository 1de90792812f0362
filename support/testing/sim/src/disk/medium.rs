// SPDX-License-Identifier: BSD-2-Clause
//! What is on a disk, and what is only in its cache.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use proto::limits::BLOCK_BYTES;

const BLOCK_SIZE: usize = BLOCK_BYTES as usize;

pub(super) type Block = [u8; BLOCK_SIZE];

/// Contents that last, and what was written since.
pub(super) struct Medium {
    /// What is there at first, which disks can share.
    first: Arc<[u8]>,
    /// What lasts of the blocks that were written since.
    lasting: BTreeMap<u64, Block>,
    /// What was written to each block and may get lost, in order, with the number of the write.
    cached: BTreeMap<u64, Vec<(u64, Block)>>,
    writes: u64,
    has_cache: bool,
    /// After which write the power is cut, by which seed, and what is there then.
    cut: Option<(u64, u64)>,
    after_cut: Option<Vec<u8>>,
}

impl Medium {
    /// Returns a medium with these contents: whole blocks. Without a cache all that is written
    /// lasts.
    pub(super) fn new(contents: Arc<[u8]>, has_cache: bool) -> Self {
        assert_eq!(contents.len() % BLOCK_SIZE, 0, "a disk has whole blocks");
        Self {
            first: contents,
            lasting: BTreeMap::new(),
            cached: BTreeMap::new(),
            writes: 0,
            has_cache,
            cut: None,
            after_cut: None,
        }
    }

    pub(super) fn block_count(&self) -> u64 {
        (self.first.len() / BLOCK_SIZE) as u64
    }

    pub(super) fn read(&self, block: u64) -> Block {
        let cached = self.cached.get(&block).and_then(|versions| versions.last());
        match cached.map(|(_, bytes)| bytes).or_else(|| self.lasting.get(&block)) {
            Some(bytes) => *bytes,
            None => self.first[at(block)..][..BLOCK_SIZE].try_into().expect("a block"),
        }
    }

    pub(super) fn write(&mut self, block: u64, bytes: Block) {
        if self.has_cache {
            self.writes += 1;
            self.cached.entry(block).or_default().push((self.writes, bytes));
            if let Some((_, seed)) = self.cut.take_if(|(writes, _)| *writes <= self.writes) {
                self.after_cut = Some(self.after_power_cut(seed));
            }
        } else {
            self.lasting.insert(block, bytes);
        }
    }

    /// Returns the number of the last write, for [`Self::flush`].
    pub(super) const fn writes(&self) -> u64 {
        self.writes
    }

    /// Notes what a power cut would leave after so many writes.
    pub(super) const fn cut(&mut self, writes: u64, seed: u64) {
        self.cut = Some((writes, seed));
    }

    /// Returns what that was, once.
    pub(super) const fn take_cut(&mut self) -> Option<Vec<u8>> {
        self.after_cut.take()
    }

    /// Makes the first so many writes last. Later ones stay in the cache.
    pub(super) fn flush(&mut self, writes: u64) {
        let lasting = &mut self.lasting;
        self.cached.retain(|&block, versions| {
            let flushed = versions.iter().take_while(|(number, _)| *number <= writes).count();
            if let Some((_, bytes)) = versions.drain(..flushed).next_back() {
                lasting.insert(block, bytes);
            }
            !versions.is_empty()
        });
    }

    /// Returns what is read from all blocks.
    pub(super) fn contents(&self) -> Vec<u8> {
        self.with_versions(|versions| versions.len())
    }

    /// Returns what is read after the power was cut now. Of each block in the cache, any version
    /// can be there: writes get lost, and later ones do not.
    pub(super) fn after_power_cut(&self, seed: u64) -> Vec<u8> {
        let mut random = Rng::with_seed(seed);
        // Between all that was written, and nothing of it.
        let written = random.u8(0..=4);
        self.with_versions(|versions| match written {
            4 => versions.len(),
            _ if random.u8(0..4) >= written => 0,
            _ => random.usize(1..=versions.len()),
        })
    }

    /// Returns the contents with so many of the versions of each block in the cache.
    fn with_versions(&self, mut choose: impl FnMut(&[(u64, Block)]) -> usize) -> Vec<u8> {
        let mut contents = self.first.to_vec();
        let mut store = |block, bytes: &Block| {
            contents[at(block)..][..BLOCK_SIZE].copy_from_slice(bytes);
        };
        self.lasting.iter().for_each(|(&block, bytes)| store(block, bytes));
        for (&block, versions) in &self.cached {
            if let Some((_, bytes)) = versions[..choose(versions)].last() {
                store(block, bytes);
            }
        }
        contents
    }
}

fn at(block: u64) -> usize {
    usize::try_from(block * BLOCK_BYTES).expect("a 64-bit host")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(byte: u8) -> Block {
        [byte; BLOCK_SIZE]
    }

    /// Returns the first byte of each block.
    fn firsts(contents: &[u8]) -> Vec<u8> {
        contents.iter().step_by(BLOCK_SIZE).copied().collect()
    }

    #[test]
    fn a_power_cut_loses_and_reorders_what_no_flush_has_made_last() {
        let mut medium = Medium::new([0; 4 * BLOCK_SIZE].into(), true);
        medium.write(0, block(1));
        medium.write(1, block(2));
        let writes = medium.writes();
        medium.write(1, block(3));
        medium.write(2, block(4));
        medium.write(2, block(5));
        medium.flush(writes);
        assert_eq!(firsts(&medium.contents()), [1, 3, 5, 0]);
        assert_eq!(medium.read(2), block(5));
        let mut seen: Vec<Vec<u8>> =
            (0..200).map(|seed| firsts(&medium.after_power_cut(seed))).collect();
        assert_eq!(seen[7], firsts(&medium.after_power_cut(7)), "a seed chooses");
        seen.sort();
        seen.dedup();
        let possible: Vec<Vec<u8>> = [2, 3]
            .into_iter()
            .flat_map(|second| [0, 4, 5].map(|third| vec![1, second, third, 0]))
            .collect();
        assert_eq!(seen, possible);
        medium.flush(medium.writes());
        assert_eq!(firsts(&medium.after_power_cut(3)), [1, 3, 5, 0]);
    }

    #[test]
    fn without_a_cache_all_lasts() {
        let mut medium = Medium::new([0; BLOCK_SIZE].into(), false);
        medium.write(0, block(1));
        assert!((0..20).all(|seed| firsts(&medium.after_power_cut(seed)) == [1]));
    }
}
