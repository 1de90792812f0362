// SPDX-License-Identifier: BSD-2-Clause
//! The power fails at any write. What was written since the last flush may be lost, or there in
//! part; what was synced is there, and no file has bytes of another one.

use std::collections::BTreeMap;

use fastrand::Rng;
use fsserver_volume::{Access, BLOCK_BYTES, Ext4, Volume};

use crate::disk::{
    Done, Memory, Noon, Shared, TemporaryFile, assert_clean, assert_clean_file, blank, mount, run,
    times, writable,
};
use crate::model::{Habits, Model, USUAL};
use crate::tree::{Node, Tree, read_all};

/// What the model had after a change.
struct Moment {
    /// How much had been done to the disk.
    done: usize,
    tree: Tree,
    lives: BTreeMap<Vec<u8>, u32>,
    is_synced: bool,
}

struct Run {
    image: Vec<u8>,
    log: Vec<Done>,
    moments: Vec<Moment>,
}

fn record(seed: u64, block_bytes: u32, kib: u64, habits: Habits) -> Run {
    let image = blank(kib, &writable(block_bytes));
    let disk = Shared::new(Memory { log: Some(Vec::new()), ..Memory::new(image.clone()) });
    let mut rng = Rng::with_seed(seed);
    let mut volume = Ext4::mount(disk.clone(), Noon, Access::Write).unwrap();
    let mut model = Model::new(&mut volume);
    let mut moments = Vec::new();
    let mut note = |model: &Model, is_synced| {
        let done = disk.0.borrow().log.as_ref().map_or(0, Vec::len);
        moments.push(Moment { done, tree: model.tree(), lives: model.lives_by_path(), is_synced });
    };
    volume.sync().unwrap();
    note(&model, true);
    for _ in 0..200 {
        model.change(&mut volume, &mut rng, habits);
        note(&model, false);
        if rng.u32(..12) == 0 {
            volume.sync().unwrap();
            note(&model, true);
        }
    }
    model.release_all(&mut volume);
    volume.close().unwrap();
    note(&model, true);
    let log = disk.0.borrow_mut().log.take().unwrap();
    Run { image, log, moments }
}

/// Writes to an image, all or a part of what was written.
fn apply(image: &mut [u8], done: &Done, mut keeps: impl FnMut() -> bool) {
    if let Done::Write(first, bytes) = done {
        let start = *first as usize * BLOCK_BYTES;
        for (index, part) in bytes.chunks(4096).enumerate() {
            if keeps() {
                image[start + index * 4096..][..part.len()].copy_from_slice(part);
            }
        }
    }
}

/// Returns what is done to a disk while the volume is mounted and its journal replayed.
fn replay(image: Vec<u8>) -> Vec<Done> {
    let disk = Shared::new(Memory { log: Some(Vec::new()), ..Memory::new(image) });
    drop(Ext4::mount(disk.clone(), Noon, Access::Write).unwrap());
    disk.0.borrow_mut().log.take().unwrap()
}

/// Cuts the power once more, meanwhile.
fn cut_again(image: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    let log = replay(image.clone());
    let (place, mut cut) = (rng.usize(..=log.len()), image);
    let is_flush = |done: &Done| matches!(done, Done::Flush);
    let flushed = log[..place].iter().rposition(is_flush).unwrap_or(0);
    for (index, done) in log[..place].iter().enumerate() {
        apply(&mut cut, done, || index < flushed || rng.bool());
    }
    cut
}

impl Run {
    /// Cuts the power at random moments, so many times.
    fn cut(&self, rng: &mut Rng, cuts: u64) {
        let mut places: Vec<usize> = (0..cuts).map(|_| rng.usize(..=self.log.len())).collect();
        places.sort_unstable();
        let (mut image, mut at) = (self.image.clone(), 0);
        for place in places {
            // What was flushed is there.
            let is_flush = |done: &Done| matches!(done, Done::Flush);
            let flushed = self.log[at..place].iter().rposition(is_flush).map_or(at, |n| at + n);
            self.log[at..flushed].iter().for_each(|done| apply(&mut image, done, || true));
            at = flushed;
            let mut cut = image.clone();
            let keeps_all = rng.u32(..3) == 0;
            for done in &self.log[at..place] {
                apply(&mut cut, done, || keeps_all || rng.bool());
            }
            if rng.u32(..4) == 0 {
                cut = cut_again(cut, rng);
            }
            self.check(cut, place);
        }
    }

    fn check(&self, image: Vec<u8>, place: usize) {
        let when = format!("cut at {place} of {}", self.log.len());
        let file = TemporaryFile::new(&image);
        let path = file.0.to_str().unwrap();
        // It replays the journal and frees what was removed. Nothing else may be left to do.
        let (printed, _) = run("e2fsck", &["-p", path]);
        let is_sound = !printed.contains("FIXED") && !printed.contains("UNEXPECTED");
        assert!(is_sound, "{when}: {printed}");
        assert_clean_file(&file.0, &when);

        let mut disk = Memory::new(image);
        let mut volume = mount(&mut disk, Access::Write).unwrap();
        let found = read_all(&mut volume).unwrap();
        volume.close().unwrap();
        drop(volume);
        assert_clean(&disk.bytes, &when);
        let before = self.moments.partition_point(|moment| moment.done <= place);
        let is_synced = |moment: &Moment| moment.is_synced;
        let synced = self.moments[..before].iter().rposition(is_synced).unwrap_or(0);
        let now = before.min(self.moments.len() - 1);
        let window = &self.moments[synced..=now];
        let paths = window.iter().flat_map(|moment| moment.tree.keys()).chain(found.keys());
        for path in paths {
            let text = String::from_utf8_lossy(path);
            let allowed: Vec<Option<&Node>> =
                window.iter().map(|moment| moment.tree.get(path)).collect();
            let is = found.get(path);
            if allowed.contains(&is) {
                continue;
            }
            let is_same = allowed.iter().all(|node| *node == allowed[0]);
            assert!(!is_same, "{when}: {text} was synced and is not what it was");
            let Some(Node::File(bytes)) = is else { panic!("{when}: {text} was never so") };
            let lives: Vec<u32> =
                window.iter().filter_map(|moment| moment.lives.get(path).copied()).collect();
            for word in bytes.chunks(8).filter(|word| word.iter().any(|byte| *byte != 0)) {
                let life = u32::from_le_bytes(word[..4].try_into().unwrap());
                assert!(lives.contains(&life), "{when}: {text} has bytes of {life}");
            }
        }
    }
}

const HABITS: Habits = Habits { names: 10, is_unaligned: false, ..USUAL };

#[test]
fn after_a_power_cut_files_are_old_or_new() {
    let cuts = times("VOLUME_CUTS", 40);
    let per_run = 20;
    for seed in 0..cuts.div_ceil(per_run) {
        let (block_bytes, kib) = [(1024, 12 << 10), (4096, 16 << 10)][seed as usize % 2];
        let run = record(seed, block_bytes, kib, HABITS);
        run.cut(&mut Rng::with_seed(seed), per_run);
    }
    println!("power cuts {}", cuts.div_ceil(per_run) * per_run);
}

/// Of what is written at the same time as the journal's superblock, that may be all that is there.
#[test]
fn what_is_replayed_is_there_before_the_journal_is_empty() {
    let run = record(9, 4096, 16 << 10, HABITS);
    let place = run.moments.iter().filter(|moment| moment.is_synced).nth(2).unwrap().done;
    let mut image = run.image.clone();
    run.log[..place].iter().for_each(|done| apply(&mut image, done, || true));
    let mut replayed = 0;
    for done in replay(image.clone()) {
        if let Done::Write(..) = done {
            let mut cut = image.clone();
            apply(&mut cut, &done, || true);
            run.check(cut, place);
            replayed += 1;
        } else if replayed > 4 {
            break;
        }
    }
    assert!(replayed > 4, "{replayed} blocks are replayed");
}
