// SPDX-License-Identifier: BSD-2-Clause
//! The page of the image: what is written is read, and whatever else is there is refused.
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use pmserver_setup::{
    CallGraph, Division, PeerConfig, PoolPart, Privileges, Run, SETUP_BYTES, Setup, SetupError,
    Subject, decode, encode, pages_without_account,
};
use proptest::prelude::{any, prop_assert_eq, proptest};
use proto::{ByteCount, PeerId};

const PART: PoolPart = PoolPart { slot: 8, size_bits: 26 };
const PEER: PeerConfig = PeerConfig {
    peer: 1,
    name: "fsserver",
    limit: ByteCount::new(8 << 20),
    privileges: Privileges::EXTRA,
};

fn calls() -> CallGraph {
    CallGraph::NONE.with(PeerId::new(31).unwrap(), PeerId::new(1).unwrap())
}

fn page() -> [u8; SETUP_BYTES] {
    let second = PeerConfig { peer: 31, name: "ü", privileges: Privileges::all(), ..PEER };
    let small = PoolPart { slot: 27, size_bits: 12 };
    encode(&Setup::new([PART, small], [PEER, second]).unwrap().with_calls(calls()))
}

fn refusal(parts: &[PoolPart], peers: &[PeerConfig]) -> Option<(Subject, SetupError)> {
    Setup::new(parts.iter().copied(), peers.iter().copied()).err()
}

#[test]
fn what_is_written_is_read() {
    let page = page();
    let setup = decode(&page).unwrap();
    assert_eq!(setup.parts(), [PART, PoolPart { slot: 27, size_bits: 12 }]);
    let second = PeerConfig { peer: 31, name: "ü", privileges: Privileges::all(), ..PEER };
    assert_eq!(setup.peers(), [PEER, second]);
    assert_eq!(setup.calls(), calls());
    assert_eq!(encode(&setup), page);
}

#[test]
fn what_is_wrong_in_the_page_is_told() {
    let cases = [
        (0, b'x', SetupError::Form),
        (4095, 1, SetupError::Form),
        (8, 21, SetupError::TooManyParts(21)),
        (15, 1, SetupError::TooManyPeers(0x0100_0002)),
        (16, 1, SetupError::Confined(0)),
        (16, 2, SetupError::Confined(1)),
        (20, 28, SetupError::PartSlot(28)),
        (24, 31, SetupError::PartSize(31)),
        (36, 32, SetupError::PeerNumber(32)),
        (37, 1, SetupError::PeerNumber(257)),
        (40, 128, SetupError::Privileges(128)),
        (41, 1, SetupError::Privileges(0x110)),
        (44, 1, SetupError::LimitInPages((8 << 20) + 1)),
        (52, 0x80, SetupError::PeerName),
        (52, b'\n', SetupError::PeerName),
        (120, 1, SetupError::PeerNumberTwice(1)),
    ];
    for (at, byte, expected) in cases {
        let mut page = page();
        page[at] = byte;
        assert_eq!(decode(&page).err(), Some(expected), "byte {at}");
    }
    assert_eq!(decode(&[0; SETUP_BYTES]).err(), Some(SetupError::Form));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let part = |slot, size_bits| PoolPart { slot, size_bits };
    let five: Vec<PoolPart> = (8..13).map(|slot| part(slot, 30)).collect();
    let crowd: Vec<PeerConfig> = (0..33).map(|n| PeerConfig { peer: 1 + n, ..PEER }).collect();
    assert_eq!(refusal(&[], &[]), Some((Subject::Setup, SetupError::NoPool)));
    assert_eq!(refusal(&[part(8, 13)], &[]), Some((Subject::Setup, SetupError::PoolTooSmall)));
    assert_eq!(refusal(&five, &[]), Some((Subject::Part(4), SetupError::PoolTooLarge)));
    assert_eq!(refusal(&five[..4], &[]), None);
    let twice = Some((Subject::Part(1), SetupError::PartSlotTwice(8)));
    assert_eq!(refusal(&[PART, part(8, 12)], &[]), twice);
    let number = Some((Subject::Peer(31), SetupError::PeerNumber(32)));
    assert_eq!(refusal(&five[..1], &crowd), number);
    let long = "x".repeat(65);
    for name in ["", &long, "a\nb"] {
        let unnamed = refusal(&[PART], &[PeerConfig { name, ..PEER }]);
        assert_eq!(unnamed, Some((Subject::Peer(0), SetupError::PeerName)));
    }
    let limits = refusal(&[PART], &crowd[..8]);
    let Some((Subject::Peer(7), SetupError::LimitsAbovePool { limits, available })) = limits else {
        panic!("{limits:?}")
    };
    assert_eq!((limits, available < 64 << 20), (64 << 20, true));
}

#[test]
fn limits_may_use_up_what_the_pool_has_and_no_page_more() {
    let division = Division::of(&[PART], 0).unwrap();
    let pages = division.pages - pages_without_account(division.pages, 1);
    let peer = |pages: u32| PeerConfig { limit: ByteCount::new(u64::from(pages) << 12), ..PEER };
    assert_eq!(refusal(&[PART], &[peer(pages)]), None);
    assert!(refusal(&[PART], &[peer(pages + 1)]).is_some());
}

#[test]
fn a_confined_device_costs_page_tables_and_a_slot_for_each_page() {
    let drivers = [1, 2].map(|peer| PeerConfig { peer, privileges: Privileges::DMA, ..PEER });
    let setup = Setup::new([PART], drivers).unwrap();
    let pages = |devices: u32| setup.with_confined(devices << 1).unwrap().division().pages;
    // 2^14 slots of 32 bytes; 32 tables for 64 MiB and one above.
    assert_eq!(pages(0) - pages(1), (1 << 14) / 128 + 33);
    assert_eq!(pages(1) - pages(3), 33);
    let page = encode(&setup.with_confined(4).unwrap());
    let confined: Vec<PeerId> = decode(&page).unwrap().confined().collect();
    assert_eq!(confined, [PeerId::new(2).unwrap()]);
    let large = PeerConfig { limit: ByteCount::new(62 << 20), ..drivers[0] };
    let setup = Setup::new([PART], [large]).unwrap();
    assert!(matches!(setup.with_confined(2), Err((Subject::Peer(0), _))));
}

proptest! {
    /// Of any page, decode makes a setup that is written as the same page, or an error.
    #[test]
    fn reading_is_total(changes in proptest::collection::vec((0_usize..200, any::<u8>()), 1..6)) {
        let mut page = page();
        for (at, byte) in changes {
            page[at] = byte;
        }
        if let Ok(setup) = decode(&page) {
            prop_assert_eq!(encode(&setup), page);
        }
    }
}

#[test]
fn a_peer_calls_those_that_it_was_said_to_call_and_no_others() {
    let [one, other, third] = [1, 2, 3].map(|number| PeerId::new(number).unwrap());
    let calls = CallGraph::NONE.with(one, other);
    assert!(calls.contains(one, other));
    for (caller, server) in [(other, one), (one, third), (one, one)] {
        assert!(!calls.contains(caller, server), "{caller:?} {server:?}");
    }
}

#[test]
fn a_run_of_pages_has_the_blocks_that_are_in_it_as_a_whole() {
    const BLOCK: u64 = 2 << 20;
    for (address, pages, blocks) in [
        (BLOCK, 2000, (10, 3)),
        (BLOCK + 3 * 4096, 2000, (10 + 509, 2)),
        (BLOCK + 3 * 4096, 509 + 511, (10 + 509, 0)),
    ] {
        assert_eq!(Run { first: 10, pages, address }.blocks(), blocks);
    }
}
