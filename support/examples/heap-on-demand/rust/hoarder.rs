// SPDX-License-Identifier: BSD-2-Clause
//! Allocates until its account is at its limit, is told so, and goes on. Its heap is its account:
//! each container more is made when it is needed.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use core::fmt::{self, Display};

use console_api::Client;
use heap::Heap;
use pd::PpChannel;
use pmserver_client::{Pages, Pm, VirtAddr};
use proto::{Console, Domain};

const PMSERVER: u8 = 0;
const CONSOLE: u8 = 2;
/// Where the heap has room to grow, 128 MiB: its account has less.
const WINDOW: Pages = Pages::new(VirtAddr::new(0x1000_0000).unwrap(), 32768).unwrap();
const BLOCK_BYTES: usize = 10_000;
const BLOCKS_MAX: usize = 100;

#[global_allocator]
static HEAP: Heap =
    heap::growing(WINDOW, |pages| Pm::new(PpChannel::new(PMSERVER.into())).reserve_heap(pages));

pd::program!(hoard, CONSOLE);

fn hoard(domain: &impl Domain) -> Result<(), NotSo> {
    let mut console = Client::new(domain.channel(CONSOLE));
    // What grows by itself, as a vector does, panics where there is no more memory: this has room.
    let mut blocks = Vec::with_capacity(BLOCKS_MAX);
    while blocks.len() < BLOCKS_MAX
        && let Ok(block) = block(blocks.len())
    {
        blocks.push(block);
    }
    match heap::refusal(&HEAP).and_then(|error| error.refusal()) {
        Some(error) => console.print(format_args!("no more memory: {error}\n")),
        None => return Err(NotSo),
    }
    let mut check = |what: &str, is_so: bool| {
        console.print(format_args!("{what}: {}\n", if is_so { "yes" } else { "no" }));
        if is_so { Ok(()) } else { Err(NotSo) }
    };
    check("most of the account's 512 KiB are in blocks of 10000 bytes", blocks.len() > 40)?;
    let is_whole =
        |(number, block): (usize, &Vec<u8>)| block.iter().all(|byte| usize::from(*byte) == number);
    check("all blocks are as they were written", blocks.iter().enumerate().all(is_whole))?;
    drop(blocks.pop());
    check("after one is freed there is room for one", block(0).is_ok())
}

/// Returns a block whose bytes are all its number, or an error if there is no more memory.
fn block(number: usize) -> Result<Vec<u8>, TryReserveError> {
    let mut block = Vec::new();
    block.try_reserve_exact(BLOCK_BYTES)?;
    block.resize(BLOCK_BYTES, u8::try_from(number).unwrap_or_default());
    Ok(block)
}

/// Something is not as it should be.
struct NotSo;

impl Display for NotSo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is not so")
    }
}
