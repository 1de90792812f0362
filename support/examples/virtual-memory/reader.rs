// SPDX-License-Identifier: BSD-2-Clause
//! Looks up squares in a table of 8 MiB that another program makes as far as it is looked at.
#![cfg_attr(target_os = "none", no_std, no_main)]

use console_api::Client;
use pmserver_client::{Error, FrameState, MapFlags, PeerId, Pm, VirtAddr};
use proto::{Console, Domain};

const PMSERVER: u8 = 0;
pub(crate) const CONSOLE: u8 = 2;
const SQUARES_PEER: PeerId = PeerId::new(2).unwrap();
const WINDOW: VirtAddr = VirtAddr::new_page(0x1000_0000).unwrap();
const FRAMES: u64 = 2048;
/// A number that its owner gives to a range, for a handler that has several.
const COOKIE: u32 = 0;

#[cfg(target_os = "none")]
pd::program!(reader, CONSOLE);

pub(crate) fn reader(domain: &impl Domain) -> Result<(), Error> {
    let pm = Pm::new(domain.channel(PMSERVER));
    let mut console = Client::new(domain.channel(CONSOLE));

    let table = pm.account().create_container()?;
    // The limit of the account has room for all of it; memory is taken as it is made.
    table.allocate(0..FRAMES)?;
    table.set_handler(0..FRAMES, SQUARES_PEER, COOKIE)?;
    let region = table.attach(0..FRAMES, WINDOW, MapFlags::READ)?;
    let square_of = |number: u64| {
        let mut square = [0; 8];
        region.copy_in(&domain.memory(), number.saturating_mul(8), &mut square)?;
        Ok::<u64, Error>(u64::from_le_bytes(square))
    };

    for number in [7, 1000, 1_048_575] {
        console.print(format_args!("the square of {number} is {}\n", square_of(number)?));
    }
    // The largest root whose square is not above it.
    let (mut low, mut high) = (0_u64, 1_048_576_u64);
    while high.abs_diff(low) > 1 {
        let middle = low.midpoint(high);
        if square_of(middle)? <= 2_000_000 {
            low = middle;
        } else {
            high = middle;
        }
    }
    console.print(format_args!("the root of 2000000 is {low} and a bit\n"));
    let mut made: u64 = 0;
    for frame in 0..FRAMES {
        made = made.saturating_add((!table.state(frame)?.contains(FrameState::ABSENT)).into());
    }
    console.print(format_args!("frames made: {made} of {FRAMES}\n"));
    Ok(())
}
