// SPDX-License-Identifier: BSD-2-Clause
//! The soak test as a protection domain: reads all files again and again, while fsserver is killed
//! at random. Two domains run it at the same time.
//!
//! fsserver is the one of the scenarios: a client tells it to fault or to hang after some pages, or
//! has it rescued after a random time, in the middle of whatever it does for either client. A
//! client gets right data, or an error and tries again. In the end all memory is where it was, to
//! the byte.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::cell::Cell;

use client_demo_core::{Accounts, DemoError, digest};
use fsserver_api::{Client, FsError};
use heap::Heap;
use pd::{Finished, OwnGrants, PpChannel};
use pmserver_client::{Message, Micros, PeerId, Pm, Transport};
use proto::{AddressSpace, Console};
use scenarios_core::Sabotage;
use sel4_microkit::protection_domain;
use shm::OwnMemory;

/// The channels, as the system file numbers them.
const PMSERVER: usize = 0;
const FSSERVER: usize = 1;
const CONSOLE: usize = 2;

/// The peer that compares the accounts.
const FIRST_PEER: u8 = 2;

/// What it is built with: how long it runs, in seconds, and what the kills are drawn from.
const SECONDS: Option<&str> = option_env!("SOAK_SECONDS");
const SEED: Option<&str> = option_env!("SOAK_SEED");

/// When both have read all files once and wait, and when they begin.
const QUIET_MICROS: u64 = 5_000_000;
const START_MICROS: u64 = 6_000_000;
/// How long the last reading may take.
const END_MICROS: u64 = 5_000_000;
/// The longest time after which fsserver is rescued.
const RESCUE_MICROS_MAX: u64 = 40_000;
/// Pages that fsserver copies before it faults or hangs, at most.
const PAGES_MAX: u64 = 40;

/// Marsaglia's xorshift generator.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.checked_rem(bound).unwrap_or_default()
    }
}

/// Readings that a client tries after the last kill, until one is right.
const LAST_ROUNDS: u64 = 8;

/// What came of the readings.
#[derive(Default)]
struct Tally {
    /// Readings, right or with an error.
    rounds: u64,
    /// Those that gave right data.
    reads: u64,
    /// Calls that fsserver answered after it was killed in the middle of them.
    kills: u64,
}

/// Why the test failed.
enum Failure {
    /// An error where there was no reason for one.
    Demo(DemoError),
    /// Other data than the first time.
    Data,
    /// Nothing was read after the last kill.
    Useless,
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        Self::Demo(error)
    }
}

impl From<pmserver_client::Error> for Failure {
    fn from(error: pmserver_client::Error) -> Self {
        Self::Demo(error.into())
    }
}

fn number(text: Option<&str>, default: u64) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn wait_until<T: Transport>(pm: &Pm<T>, micros: u64) -> Result<(), Failure> {
    while pm.clock()? < Micros::new(micros) {
        OwnMemory.relax();
    }
    Ok(())
}

/// The channel to fsserver. fsserver is rescued if it does not answer within a random time.
struct Watched<'a> {
    pm: Pm<PpChannel>,
    fsserver: PeerId,
    dice: Dice,
    kills: &'a Cell<u64>,
}

impl Transport for Watched<'_> {
    fn call(&mut self, request: Message) -> Message {
        let patience = Micros::new(self.dice.below(RESCUE_MICROS_MAX).saturating_add(1));
        // If it is refused, nothing ends a hang, and the test runs out of time.
        let watch = self.pm.watch(self.fsserver, patience);
        let reply = PpChannel::new(FSSERVER).call(request);
        drop(watch);
        if reply.label() == FsError::Restarted.status() {
            self.kills.set(self.kills.get().saturating_add(1));
        }
        reply
    }
}

fn soak<T: Transport>(pm: &Pm<T>) -> Result<Tally, Failure> {
    let mut fs = Client::new(PpChannel::new(FSSERVER));
    let expected = digest(pm, &mut fs, &mut OwnMemory, &mut OwnGrants)?;
    let version = fs.version().map_err(|error| DemoError::Fs("asking for the version", error))?;
    let (own, fsserver) = (pm.whoami()?.peer.get(), version.peer);
    let mut dice = Dice(number(SEED, 1).wrapping_mul(u64::from(own)).wrapping_mul(0x9E37_79B9) | 1);
    let kills = Cell::new(0);
    let mut fs = Client::new(Watched {
        pm: Pm::new(PpChannel::new(PMSERVER)),
        fsserver,
        dice: Dice(dice.below(u64::MAX) | 1),
        kills: &kills,
    });
    wait_until(pm, QUIET_MICROS)?;
    let before = (own == FIRST_PEER).then(|| Accounts::read(pm, fsserver)).transpose()?;
    wait_until(pm, START_MICROS)?;

    let end = number(SECONDS, 600).saturating_mul(1_000_000).saturating_add(START_MICROS);
    let mut tally = Tally::default();
    while pm.clock()? < Micros::new(end) {
        sabotage(&mut dice);
        read(pm, &mut fs, &expected, &mut tally)?;
    }
    // What is still armed strikes in one of these.
    let mut left = LAST_ROUNDS;
    while !read(pm, &mut fs, &expected, &mut tally)? {
        left = left.checked_sub(1).ok_or(Failure::Useless)?;
    }
    if let Some(before) = before {
        wait_until(pm, end.saturating_add(END_MICROS))?;
        before.check_unchanged(&Accounts::read(pm, fsserver)?)?;
    }
    tally.kills = kills.get();
    Ok(tally)
}

/// Tells fsserver, half of the times, to fault or to hang.
fn sabotage(dice: &mut Dice) {
    let pages = dice.below(PAGES_MAX);
    let sabotage = match dice.below(4) {
        0 => Sabotage::FaultAfter(pages),
        1 => Sabotage::HangAfter(pages),
        _ => return,
    };
    PpChannel::new(FSSERVER).call(sabotage.request());
}

/// Reads all files. Returns whether that gave the expected data; an error of fsserver's did not.
fn read<T: Transport>(
    pm: &Pm<T>,
    fs: &mut Client<Watched<'_>>,
    expected: &[u8; 32],
    tally: &mut Tally,
) -> Result<bool, Failure> {
    tally.rounds = tally.rounds.saturating_add(1);
    match digest(pm, fs, &mut OwnMemory, &mut OwnGrants) {
        Ok(digest) if digest == *expected => {
            tally.reads = tally.reads.saturating_add(1);
            Ok(true)
        }
        Ok(_) => Err(Failure::Data),
        Err(error) if error.is_of_fsserver() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[global_allocator]
static HEAP: Heap = heap::empty();

#[protection_domain]
fn init() -> Finished {
    pd::report_panics::<CONSOLE>();
    let pm = Pm::new(PpChannel::new(PMSERVER));
    let mut console = console_api::Client::new(PpChannel::new(CONSOLE));
    let outcome = match pm.reserve_heap(client_demo_core::HEAP) {
        Ok(memory) => {
            heap::give(&HEAP, memory);
            soak(&pm)
        }
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(Tally { rounds, reads, kills }) => console
            .print(format_args!("soak: kills {kills}, reads {reads}, rounds {rounds}\nPASS\n")),
        Err(Failure::Demo(error)) => console.print(format_args!("FAIL: {error}\n")),
        Err(Failure::Data) => console.write(b"FAIL: other data than the first time\n"),
        Err(Failure::Useless) => console.write(b"FAIL: nothing was read after the last kill\n"),
    }
    Finished
}
