// SPDX-License-Identifier: BSD-2-Clause
//! The disk, its driver and a client of it in the simulator.
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod stage;

use block_api::{BlockCount, BlockError, Client, Place, Tag};
use disk_test_core::{BAD_BLOCK, FIRST_LINE, LAST_LINE, SLOW_LINE};
use pmserver_client::{
    AddressSpace, ContainerHandle, MapFlags, Micros, Pm, Rights, ShareTerms, VirtAddr,
};
use proto::Waiter;
use sim::disk::{Disk, DiskPlan};
use sim::machine::Architecture;
use sim::system::{Channel, Domain, End, Settings, System, disk_test};

const SECOND: u64 = 1_000_000;
const WINDOW: VirtAddr = VirtAddr::new(0x1000_0000).unwrap();
const FRAMES: u64 = 128;

/// A disk with a line in block 0; every other block has its own number in it.
fn contents(line: &[u8]) -> Vec<u8> {
    let blocks = (0..1 << 15_u32).flat_map(|block: u64| [block.to_le_bytes(); 64]);
    let mut bytes = blocks.collect::<Vec<_>>().concat();
    bytes[..line.len()].copy_from_slice(line);
    bytes
}

/// Runs the disk test; returns the disk.
fn run_test(plan: DiskPlan, architecture: Architecture) -> (String, Disk) {
    let file = stage::disk_file();
    let settings = Settings { disk: Some(plan), architecture, ..stage::settings(&file, &[]) };
    let system = System::start(&settings).unwrap();
    let disk = system.disk().unwrap();
    disk.spoil(BAD_BLOCK..BAD_BLOCK + 1);
    let end = system.run("disk-test", disk_test);
    let transcript = String::from_utf8(system.transcript()).unwrap();
    assert_eq!(end, End::Finished(true), "{transcript}");
    stage::check(&system, &"after the test");
    (transcript, disk)
}

#[test]
fn the_disk_test_passes_and_its_line_lasts() {
    let contents = contents(FIRST_LINE);
    for seed in 0..6 {
        let architecture = [Architecture::X86_64, Architecture::Aarch64][seed as usize % 2];
        let plan = DiskPlan { seed, ..DiskPlan::new(&contents[..]) };
        let (transcript, disk) = run_test(plan, architecture);
        let line = "disk: blocks 32768, read-only no, flush yes, discard yes; blocks moved 2048";
        assert_eq!(transcript, format!("{line}\nPASS\n"));
        assert!(disk.after_power_cut(seed)[8 * 512..].starts_with(LAST_LINE), "it was flushed");
    }
}

#[test]
fn a_slow_disk_passes_its_test() {
    let contents = contents(SLOW_LINE);
    let plan = DiskPlan { pace_micros: SECOND / 2, ..DiskPlan::new(contents) };
    let (transcript, disk) = run_test(plan, Architecture::X86_64);
    assert!(transcript.ends_with("blocks moved 0\nPASS\n"), "{transcript}");
    assert!(disk.contents()[8 * 512..].starts_with(LAST_LINE));
}

/// A client with memory that is mapped and lent to the driver.
struct Rig {
    system: System,
    disk: Disk,
    domain: Domain,
    weak: ContainerHandle,
}

impl Rig {
    fn new(plan: impl FnOnce(DiskPlan) -> DiskPlan) -> Self {
        let (file, contents) = (stage::disk_file(), contents(&[]));
        let plan = plan(DiskPlan::new(contents));
        let settings = Settings { disk: Some(plan), ..stage::settings(&file, &[]) };
        let system = System::start(&settings).unwrap();
        let (disk, domain) = (system.disk().unwrap(), system.domain("disk-test").unwrap());
        // The connection lives as long as the test.
        let pm: &'static Pm<Channel> = Box::leak(Box::new(Pm::new(domain.channel(0))));
        let container = pm.account().create_container().unwrap();
        container.allocate(0..FRAMES).unwrap();
        container.map(0..FRAMES, WINDOW, MapFlags::WRITE).unwrap().into_pages();
        let peer = Client::new(domain.channel(1)).version().unwrap().peer;
        let rights = Rights::READ | Rights::WRITE | Rights::LOCK;
        let terms = ShareTerms { peer, rights, lease_max: Micros::new(SECOND), once: false };
        let (_, weak) = container.share(0..FRAMES, terms).unwrap().into_raw();
        container.into_raw();
        Self { system, disk, domain, weak: ContainerHandle::from_raw(weak) }
    }

    fn client(&self) -> Client<Channel> {
        Client::new(self.domain.channel(1))
    }

    /// Queues reading of these blocks to the block of the memory with the same number as `tag`.
    fn read(&self, tag: u32, block: u64, count: u64) -> Result<(), Option<BlockError>> {
        let place = Place { container: self.weak, offset: tag.into() };
        let queued =
            self.client().read(place, block, BlockCount::new(count).unwrap(), Tag::new(tag));
        queued.map_err(|error| error.refusal())
    }

    /// Writes blocks that begin with this byte.
    fn write(&self, tag: u32, block: u64, count: u64, byte: u8) {
        self.store(tag, count, byte);
        let place = Place { container: self.weak, offset: tag.into() };
        self.client().write(place, block, BlockCount::new(count).unwrap(), Tag::new(tag)).unwrap();
    }

    /// Fills memory that the driver has not pinned.
    fn store(&self, offset: u32, count: u64, byte: u8) {
        let at = WINDOW.checked_add(u64::from(offset) * 512).unwrap();
        self.domain.space().copy_out(&vec![byte; count as usize * 512], at);
    }

    /// Returns the number that a block of memory begins with.
    fn number(&self, offset: u64) -> u64 {
        let mut bytes = [0; 8];
        self.domain.space().copy_in(WINDOW.checked_add(offset * 512).unwrap(), &mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Asks which requests have ended, and how.
    fn ended(&self) -> Vec<(u32, Result<(), BlockError>)> {
        let mut all = Vec::new();
        loop {
            let completed = self.client().completed().unwrap();
            all.extend(completed.iter().map(|it| (it.tag.get(), it.result)));
            if completed.waiting == 0 {
                return all;
            }
        }
    }

    /// Waits for so many requests.
    fn wait(&self, count: usize) -> Vec<(u32, Result<(), BlockError>)> {
        let mut all = self.ended();
        while all.len() < count {
            self.domain.clone().wait();
            all.extend(self.ended());
        }
        all
    }

    fn rest(&self, micros: u64) {
        assert_eq!(self.system.rest(micros), End::Finished(()));
    }
}

#[test]
fn requests_end_when_their_time_has_come_and_in_another_order() {
    let rig = Rig::new(|plan| plan);
    let tags = [0, 8, 16, 24];
    tags.iter().for_each(|&tag| rig.read(tag, 100 + u64::from(tag), 8).unwrap());
    assert_eq!(rig.ended(), [], "no time has passed");
    let ended = rig.wait(4);
    let mut order: Vec<u32> =
        ended.iter().map(|(tag, result)| result.map(|()| *tag).unwrap()).collect();
    assert_ne!(order, tags);
    order.sort_unstable();
    assert_eq!(order, tags);
    (0..32).for_each(|block| assert_eq!(rig.number(block), 100 + block));
}

#[test]
fn more_than_the_disk_does_at_a_time_waits() {
    let rig = Rig::new(|plan| plan);
    // Two transfers each, of the six that there is room for.
    (0..4).for_each(|number| rig.read(number * 256, 1000 + u64::from(number) * 256, 256).unwrap());
    assert!(rig.wait(4).iter().all(|(_, result)| *result == Ok(())));
    (0..1024).for_each(|block| assert_eq!(rig.number(block), 1000 + block));
}

#[test]
fn a_bad_block_fails_one_request_which_gets_as_far_as_there() {
    let rig = Rig::new(|plan| plan);
    rig.disk.spoil(103..104);
    rig.store(0, 16, 0xAA);
    rig.read(0, 100, 8).unwrap();
    rig.read(8, 104, 8).unwrap();
    let mut ended = rig.wait(2);
    ended.sort_unstable_by_key(|(tag, _)| *tag);
    assert_eq!(ended, [(0, Err(BlockError::Failed)), (8, Ok(()))]);
    assert_eq!((rig.number(2), rig.number(3)), (102, 0xAAAA_AAAA_AAAA_AAAA));
    rig.write(0, 102, 3, 0xBB);
    assert_eq!(rig.wait(1), [(0, Err(BlockError::Failed))]);
    let firsts: Vec<u8> = (101..105).map(|block| rig.disk.contents()[block * 512]).collect();
    assert_eq!(firsts, [101, 0xBB, 103, 104]);
}

#[test]
fn blk_32_what_was_written_lasts_only_after_a_flush() {
    let rig = Rig::new(|plan| plan);
    rig.write(0, 100, 2, 0xBB);
    assert_eq!(rig.wait(1), [(0, Ok(()))]);
    let firsts = |bytes: Vec<u8>| [bytes[100 * 512], bytes[101 * 512]];
    let cut = || (0..50).map(|seed| firsts(rig.disk.after_power_cut(seed))).collect::<Vec<_>>();
    for possible in [[100, 101], [100, 0xBB], [0xBB, 101], [0xBB, 0xBB]] {
        assert!(cut().contains(&possible), "{possible:?}");
    }
    assert_eq!(firsts(rig.disk.contents()), [0xBB, 0xBB]);
    rig.client().flush(Tag::new(1)).unwrap();
    assert!(cut().contains(&[100, 101]), "the flush has not ended");
    assert_eq!(rig.wait(1), [(1, Ok(()))]);
    assert!(cut().iter().all(|firsts| *firsts == [0xBB, 0xBB]));
}

#[test]
fn a_disk_that_can_only_be_read_says_so() {
    let rig = Rig::new(|mut plan| {
        plan.features.is_read_only = true;
        plan.features.has_flush = false;
        plan
    });
    let geometry = rig.client().geometry().unwrap();
    assert!(geometry.features.is_read_only && !geometry.features.has_flush);
    let place = Place { container: rig.weak, offset: 0 };
    let refused = rig.client().write(place, 0, BlockCount::new(1).unwrap(), Tag::new(1));
    assert_eq!(refused.unwrap_err().refusal(), Some(BlockError::ReadOnly));
}

#[test]
fn blk_11_a_disk_that_hangs_is_reset_when_the_driver_is_called() {
    let rig = Rig::new(|plan| plan);
    rig.disk.hang();
    rig.read(0, 100, 8).unwrap();
    let end = rig.domain.attempt(|| rig.domain.clone().wait());
    assert_eq!(end, End::Hung { domain: "disk-test".to_owned() }, "BLK-15: nobody else looks");
    rig.rest(SECOND);
    assert_eq!(rig.ended(), [(0, Err(BlockError::Aborted))]);
    rig.read(8, 100, 8).unwrap();
    assert_eq!(rig.wait(1), [(8, Ok(()))]);
    assert_eq!(rig.number(8), 100);
}

#[test]
fn blk_14_what_a_disk_writes_after_a_failed_reset_is_seen_by_nobody() {
    let rig = Rig::new(|plan| DiskPlan { pace_micros: 2 * SECOND, ..plan });
    rig.store(0, 8, 0xAA);
    rig.disk.fail_resets(2);
    rig.read(0, 100, 8).unwrap();
    rig.rest(SECOND);
    assert_eq!(rig.ended(), [(0, Err(BlockError::Aborted))]);
    assert_eq!(rig.read(8, 100, 8), Err(Some(BlockError::NoDisk)), "the second reset");
    let untouched = 0xAAAA_AAAA_AAAA_AAAA;
    assert_eq!(rig.number(0), untouched, "the pin has ended, and the frame has other memory");
    rig.rest(2 * SECOND);
    assert_eq!(rig.number(0), untouched);
    assert_eq!(rig.read(8, 100, 8), Ok(()), "the third");
}

#[test]
fn without_a_disk_every_request_is_refused() {
    let file = stage::disk_file();
    let system = System::start(&stage::settings(&file, &[])).unwrap();
    assert!(system.disk().is_none());
    let refused = Client::new(system.domain("disk-test").unwrap().channel(1)).geometry();
    assert_eq!(refused.unwrap_err().refusal(), Some(BlockError::NoDisk));
}
