// SPDX-License-Identifier: BSD-2-Clause
//! Tests of `SimKernel`: blocks, and large frames.
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use pmserver_core::PageIndex;
use pmserver_core::kernel::{
    BLOCK_PAGES, CapRights, FrameCap, Kernel, KernelError, ObjectKind, PIECE_PAGES, PageRights,
    SlotAddress, VSpace,
};
use proto::{PAGE_BYTES, PeerId, VirtAddr};
use sim::machine::Architecture;
use sim::{BootPlan, InvocationKind, PoolPart, SimKernel, equal_parts};

const READ_WRITE: PageRights = PageRights { write: true, execute: false };
const READ_ONLY: PageRights = PageRights { write: false, execute: false };
const BLOCK_BYTES: u64 = PAGE_BYTES * BLOCK_PAGES as u64;
/// Where large frames are mapped.
const AT: u64 = 0x4000_0000;
/// A page that is in no block, as pmserver's own tables end below the first one.
const TABLE: PageIndex = PageIndex::new(0);
const SMALL: PageIndex = PageIndex::new(1);

fn vaddr(address: u64) -> VirtAddr {
    VirtAddr::new(address).unwrap()
}

fn client() -> VSpace {
    VSpace::Peer(PeerId::new(2).unwrap())
}

fn kernel(architecture: Architecture, pool: Vec<PoolPart>) -> SimKernel {
    let peers: Vec<PeerId> = (1..=3).filter_map(PeerId::new).collect();
    let cspaces = peers.clone();
    SimKernel::boot(&BootPlan { architecture, pool, peers, cspaces, regions: Vec::new() })
}

fn blocks(kernel: &SimKernel) -> Vec<PageIndex> {
    let pages = (0..kernel.page_count()).map(PageIndex::new);
    pages.filter(|&page| kernel.is_block(page)).collect()
}

/// Returns a kernel of each architecture, and its first two blocks.
fn kernels() -> impl Iterator<Item = (SimKernel, PageIndex, PageIndex)> {
    [Architecture::X86_64, Architecture::Aarch64].into_iter().map(|architecture| {
        let kernel = kernel(architecture, equal_parts(23, 1));
        let blocks = blocks(&kernel);
        (kernel, blocks[0], blocks[1])
    })
}

/// Maps the original capability of a large frame for the client, after the table that it needs.
fn map(kernel: &mut SimKernel, large: PageIndex, rights: PageRights) {
    map_as(kernel, FrameCap::Original(large), rights);
}

fn map_as(kernel: &mut SimKernel, frame: FrameCap, rights: PageRights) {
    let mut table = 100;
    while let Err(error) = kernel.map_frame(frame, client(), vaddr(AT), rights) {
        let KernelError::TableMissing { span_bits: span_bits @ (30 | 39) } = error else {
            panic!("{error:?}");
        };
        kernel.make(PageIndex::new(table), ObjectKind::Table { span_bits }).unwrap();
        kernel.map_table(PageIndex::new(table), span_bits, client(), vaddr(AT)).unwrap();
        table += 1;
    }
}

fn store(kernel: &mut SimKernel, page: u64, byte: u8) {
    kernel.store(client(), &[byte], AT + page * PAGE_BYTES).unwrap();
}

fn load(kernel: &SimKernel, page: u64) -> Result<u8, u64> {
    let mut byte = [0];
    kernel.load(client(), AT + page * PAGE_BYTES, &mut byte).map(|()| byte[0])
}

fn first_byte(kernel: &SimKernel, page: PageIndex) -> u8 {
    kernel.machine().page(kernel.physical_address(page)).0[0]
}

fn page_of(block: PageIndex, number: u32) -> PageIndex {
    PageIndex::new(block.get() + number)
}

#[test]
fn blocks_are_aligned_and_all_of_one_part() {
    let unequal = vec![
        PoolPart { slot: 8, size_bits: 20 },
        PoolPart { slot: 9, size_bits: 20 },
        PoolPart { slot: 10, size_bits: 23 },
        PoolPart { slot: 11, size_bits: 13 },
        PoolPart { slot: 12, size_bits: 21 },
    ];
    // The tables take the first block of the largest part; parts of 1 MiB have none, even if two
    // are neighbours.
    for (pool, expected) in
        [(equal_parts(23, 1), 3), (equal_parts(21, 3), 2), (equal_parts(20, 4), 0), (unequal, 4)]
    {
        let kernel = kernel(Architecture::Aarch64, pool.clone());
        let blocks = blocks(&kernel);
        assert_eq!(blocks.len(), expected, "{pool:?}");
        for block in blocks {
            let base = kernel.physical_address(block);
            assert_eq!(base % BLOCK_BYTES, 0, "{pool:?} {block:?}");
            for number in 0..BLOCK_PAGES {
                let page = page_of(block, number);
                let offset = u64::from(number) * PAGE_BYTES;
                assert_eq!(kernel.physical_address(page), base + offset, "{pool:?} {page:?}");
                assert_eq!(kernel.is_block(page), number == 0, "{pool:?} {page:?}");
            }
        }
    }
}

#[test]
fn pages_of_a_whole_block_cannot_be_used_and_all_others_can() {
    for pool in [equal_parts(23, 1), equal_parts(21, 3), equal_parts(20, 4)] {
        let mut kernel = kernel(Architecture::X86_64, pool);
        let blocks = blocks(&kernel);
        for page in (0..kernel.page_count()).map(PageIndex::new) {
            let within =
                |block: &&PageIndex| (block.get()..block.get() + BLOCK_PAGES).contains(&page.get());
            let made = kernel.make(page, ObjectKind::Frame);
            assert_eq!(made.is_err(), blocks.iter().any(|block| within(&block)), "{page:?}");
        }
        for &block in &blocks {
            kernel.cut(block).unwrap();
            for number in 0..BLOCK_PAGES {
                kernel.make(page_of(block, number), ObjectKind::Frame).unwrap();
            }
        }
    }
}

#[test]
fn a_block_is_whole_or_cut_or_large() {
    for (mut kernel, block, other) in kernels() {
        kernel.join(block).unwrap();
        kernel.cut(block).unwrap();
        kernel.cut(block).unwrap_err();
        kernel.make_large(block).unwrap_err();
        let last = page_of(block, BLOCK_PAGES - 1);
        kernel.make(last, ObjectKind::CNode).unwrap();
        kernel.make(block, ObjectKind::Frame).unwrap();
        kernel.derive(block, SlotAddress { node: last, index: 3 }, CapRights::Read).unwrap();
        kernel.make_large(other).unwrap();
        kernel.derive(other, SlotAddress { node: last, index: 4 }, CapRights::All).unwrap();
        kernel.join(block).unwrap();
        kernel.make(last, ObjectKind::Frame).unwrap_err();
        kernel.make_large(block).unwrap();
        kernel.cut(block).unwrap_err();
        kernel.make_large(block).unwrap_err();
        kernel.make(block, ObjectKind::Frame).unwrap_err();
        kernel.join(block).unwrap();
        kernel.cut(block).unwrap();
        kernel.cut(other).unwrap_err();
    }
}

#[test]
fn a_piece_is_whole_or_cut_or_frames() {
    for (mut kernel, block, other) in kernels() {
        kernel.make_frames(block).unwrap_err();
        kernel.divide(block).unwrap();
        kernel.divide(block).unwrap_err();
        kernel.cut(block).unwrap_err();
        kernel.make_large(block).unwrap_err();
        let [frames, cut, last] = [0, 1, 7].map(|piece| page_of(block, piece * PIECE_PAGES));
        kernel.make(frames, ObjectKind::Frame).unwrap_err();
        kernel.make_frames(frames).unwrap();
        kernel.make_frames(frames).unwrap_err();
        kernel.cut_piece(frames).unwrap_err();
        kernel.cut_piece(cut).unwrap();
        kernel.make_frames(cut).unwrap_err();
        kernel.make(page_of(cut, PIECE_PAGES - 1), ObjectKind::CNode).unwrap();
        let node = page_of(cut, PIECE_PAGES - 1);
        for number in 0..PIECE_PAGES {
            let frame = page_of(frames, number);
            // None of them becomes anything else alone.
            kernel.make(frame, ObjectKind::Table { span_bits: 21 }).unwrap_err();
            let to = SlotAddress { node, index: u8::try_from(number).unwrap() };
            kernel.derive(frame, to, CapRights::All).unwrap();
        }
        kernel.make(page_of(frames, PIECE_PAGES), ObjectKind::Frame).unwrap();
        kernel.join_piece(frames).unwrap();
        let to = SlotAddress { node, index: 0 };
        kernel.derive(frames, to, CapRights::All).unwrap_err();
        kernel.cut_piece(frames).unwrap();
        kernel.make(frames, ObjectKind::Table { span_bits: 21 }).unwrap();
        kernel.make_frames(last).unwrap();
        kernel.join(block).unwrap();
        kernel.make_large(block).unwrap();
        kernel.cut_piece(last).unwrap_err();
        kernel.divide(other).unwrap();
    }
}

#[test]
fn a_cut_that_is_refused_in_the_middle_leaves_the_block_whole() {
    for n in 1..=2 {
        for (mut kernel, block, _) in kernels() {
            kernel.fail_nth(Some(n));
            kernel.cut(block).unwrap_err();
            kernel.make(block, ObjectKind::Frame).unwrap_err();
            kernel.make_large(block).unwrap();
        }
    }
}

#[test]
fn a_large_frame_is_one_mapping_of_512_pages() {
    for (mut kernel, large, _) in kernels() {
        kernel.make_large(large).unwrap();
        map(&mut kernel, large, READ_WRITE);
        for page in [0, 1, 511] {
            store(&mut kernel, page, 7);
            let number = page_of(large, u32::try_from(page).unwrap());
            assert_eq!(first_byte(&kernel, number), 7);
        }
        map(&mut kernel, large, READ_ONLY);
        kernel.store(client(), &[1], AT).unwrap_err();
        assert_eq!(load(&kernel, 511), Ok(7));
        load(&kernel, 512).unwrap_err();
        kernel.unmap_frame(FrameCap::Original(large)).unwrap();
        load(&kernel, 0).unwrap_err();
        // Given out again it is clear.
        kernel.join(large).unwrap();
        kernel.make_large(large).unwrap();
        map(&mut kernel, large, READ_ONLY);
        assert_eq!([0, 1, 511].map(|page| load(&kernel, page)), [Ok(0); 3]);
    }
}

#[test]
fn derived_capabilities_of_a_large_frame_map_it_as_well() {
    for (mut kernel, large, _) in kernels() {
        let slot = SlotAddress { node: SMALL, index: 9 };
        kernel.make(SMALL, ObjectKind::CNode).unwrap();
        kernel.make_large(large).unwrap();
        kernel.derive(large, slot, CapRights::All).unwrap();
        map_as(&mut kernel, FrameCap::Derived(slot), READ_WRITE);
        store(&mut kernel, 300, 5);
        kernel.delete(slot).unwrap();
        load(&kernel, 300).unwrap_err();
        kernel.derive(large, slot, CapRights::All).unwrap();
        map_as(&mut kernel, FrameCap::Derived(slot), READ_ONLY);
        assert_eq!(load(&kernel, 300), Ok(5));
        kernel.join(large).unwrap();
        load(&kernel, 300).unwrap_err();
        kernel.unmap_frame(FrameCap::Derived(slot)).unwrap_err();
    }
}

#[test]
fn a_large_frame_and_a_table_exclude_each_other() {
    for (mut kernel, large, _) in kernels() {
        kernel.make_large(large).unwrap();
        map(&mut kernel, large, READ_ONLY);
        kernel.make(TABLE, ObjectKind::Table { span_bits: 21 }).unwrap();
        kernel.make(SMALL, ObjectKind::Frame).unwrap();
        // A small frame needs a table, which has no place.
        let small = FrameCap::Original(SMALL);
        let missing = kernel.map_frame(small, client(), vaddr(AT + PAGE_BYTES), READ_ONLY);
        assert_eq!(missing, Err(KernelError::TableMissing { span_bits: 21 }));
        let refused = kernel.map_table(TABLE, 21, client(), vaddr(AT));
        assert_eq!(refused, Err(KernelError::AlreadyMapped));
        kernel.unmap_frame(FrameCap::Original(large)).unwrap();
        // Now the table has.
        kernel.map_table(TABLE, 21, client(), vaddr(AT)).unwrap();
        let refused = kernel.map_frame(FrameCap::Original(large), client(), vaddr(AT), READ_ONLY);
        assert_eq!(refused, Err(KernelError::AlreadyMapped));
        kernel.map_frame(small, client(), vaddr(AT), READ_ONLY).unwrap();
        kernel.unmake(TABLE).unwrap();
        map(&mut kernel, large, READ_ONLY);
        for odd in [AT + PAGE_BYTES, AT + BLOCK_BYTES / 2] {
            let refused =
                kernel.map_frame(FrameCap::Original(large), client(), vaddr(odd), READ_ONLY);
            assert_eq!(refused, Err(KernelError::Refused));
        }
        assert_eq!(kernel.machine().replaced_pages(), 0);
    }
}

mod copies {
    use super::*;

    fn fill(kernel: &mut SimKernel, large: PageIndex) {
        for number in 0..BLOCK_PAGES {
            let at = kernel.physical_address(page_of(large, number));
            kernel.machine_mut().page_mut(at).0[0] = u8::try_from(number % 251).unwrap() + 1;
        }
    }

    #[test]
    fn each_part_is_copied_to_a_page_and_the_frame_stays_mapped_for_the_next() {
        for (mut kernel, large, cut) in kernels() {
            kernel.make_large(large).unwrap();
            fill(&mut kernel, large);
            kernel.cut(cut).unwrap();
            for part in 0..512 {
                let to = page_of(cut, part.into());
                kernel.make(to, ObjectKind::Frame).unwrap();
                let before = kernel.invocations();
                kernel.copy_part(large, part, to).unwrap();
                let made = kernel.invocations() - before;
                assert_eq!(made, if part == 0 { 4 } else { 2 }, "part {part}");
                assert_eq!(first_byte(&kernel, to), u8::try_from(part % 251).unwrap() + 1);
            }
            kernel.copy_part(large, 512, cut).unwrap_err();
            kernel.end_copies().unwrap();
            let before = kernel.invocations();
            kernel.end_copies().unwrap();
            assert_eq!(kernel.invocations(), before);
            kernel.copy_page(cut, page_of(cut, 1)).unwrap();
            assert_eq!(first_byte(&kernel, page_of(cut, 1)), 1);
        }
    }

    #[test]
    fn slices_are_cleared_and_nothing_beside_them() {
        for (mut kernel, from, to) in kernels() {
            kernel.make(SMALL, ObjectKind::Frame).unwrap();
            for large in [from, to] {
                kernel.make_large(large).unwrap();
                fill(&mut kernel, large);
            }
            kernel.clear_large(to, 12, 99).unwrap();
            let before = kernel.invocations();
            kernel.clear_large(to, 111, 400).unwrap();
            assert_eq!(kernel.invocations(), before);
            let left = |kernel: &SimKernel, number| first_byte(kernel, page_of(to, number));
            assert_eq!([11, 12, 510, 511].map(|it| left(&kernel, it)), [12, 0, 0, 10]);
            // The source is mapped for loads only: as a target it is mapped anew.
            kernel.copy_part(from, 3, SMALL).unwrap();
            assert_eq!(first_byte(&kernel, SMALL), 4);
            kernel.clear_large(from, 0, 512).unwrap();
            assert_eq!((0..512).map(|it| first_byte(&kernel, page_of(from, it))).max(), Some(0));
            for (first, count) in [(0, 513), (512, 1), (u16::MAX, u16::MAX)] {
                kernel.clear_large(to, first, count).unwrap_err();
            }
            assert_eq!(kernel.machine().replaced_pages(), 0);
        }
    }

    #[test]
    fn a_block_that_is_joined_while_it_is_mapped_is_mapped_anew() {
        for (mut kernel, from, to) in kernels() {
            kernel.make(SMALL, ObjectKind::Frame).unwrap();
            for round in 0..2 {
                kernel.make_large(from).unwrap();
                kernel.make_large(to).unwrap();
                fill(&mut kernel, from);
                fill(&mut kernel, to);
                kernel.copy_part(from, 4, SMALL).unwrap();
                kernel.clear_large(to, 0, 9).unwrap();
                assert_eq!((first_byte(&kernel, SMALL), first_byte(&kernel, to)), (5, 0));
                if round == 0 {
                    kernel.join(from).unwrap();
                    kernel.join(to).unwrap();
                    kernel.copy_part(from, 4, SMALL).unwrap_err();
                    kernel.clear_large(to, 0, 1).unwrap_err();
                }
            }
        }
    }

    /// Whichever invocation is refused, the copy can be done again, and a small one as well.
    #[test]
    fn a_copy_that_is_refused_anywhere_can_be_repeated() {
        for n in 1..=6 {
            for (mut kernel, from, to) in kernels() {
                kernel.make(SMALL, ObjectKind::Frame).unwrap();
                kernel.make(TABLE, ObjectKind::Frame).unwrap();
                for large in [from, to] {
                    kernel.make_large(large).unwrap();
                    fill(&mut kernel, large);
                }
                kernel.fail_nth(Some(n));
                let all = |kernel: &mut SimKernel| {
                    kernel.copy_part(from, 8, SMALL)?;
                    kernel.clear_large(to, 8, 1)
                };
                all(&mut kernel).unwrap_or_else(|_| all(&mut kernel).unwrap());
                let to = page_of(to, 8);
                assert_eq!((first_byte(&kernel, SMALL), first_byte(&kernel, to)), (9, 0));
                kernel.copy_page(SMALL, TABLE).unwrap();
                assert_eq!(first_byte(&kernel, TABLE), 9);
                kernel.end_copies().unwrap();
                for address in [0x0FFF_F000, 0x0FA0_0000, 0x0FC0_0000] {
                    kernel.load(VSpace::Own, address, &mut [0]).unwrap_err();
                }
                assert_eq!(kernel.machine().replaced_pages(), 0, "invocation {n}");
            }
        }
    }

    #[test]
    fn only_frames_of_the_right_size_can_be_copied() {
        for (mut kernel, large, other) in kernels() {
            kernel.make_large(large).unwrap();
            kernel.make(SMALL, ObjectKind::Frame).unwrap();
            kernel.copy_part(SMALL, 0, SMALL).unwrap_err();
            kernel.copy_part(other, 0, SMALL).unwrap_err();
            kernel.copy_page(SMALL, large).unwrap_err();
            kernel.clear_large(SMALL, 0, 1).unwrap_err();
            assert_ne!(kernel.count(InvocationKind::Delete), 0);
            kernel.copy_part(large, 511, SMALL).unwrap();
        }
    }
}
