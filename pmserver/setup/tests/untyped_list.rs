// SPDX-License-Identifier: BSD-2-Clause
//! The pool that the initialiser hands over: which of the listed objects become its parts.
// Tests may fail by panicking.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

use pmserver_setup::{
    HandedOver, LIST_BYTES, PeerConfig, PoolPart, Privileges, Setup, SetupError, decode,
    decode_with, encode_without_pool, parts_of,
};
use proptest::prelude::{any, prop_assert, proptest};
use proto::ByteCount;

const MEMORY: u8 = 0;
const DEVICE: u8 = 1;

fn list(first: u64, objects: &[(u8, u8)]) -> [u8; LIST_BYTES] {
    let end = first + u64::try_from(objects.len()).unwrap();
    let mut bytes: Vec<u8> = [first, end].into_iter().flat_map(u64::to_le_bytes).collect();
    for (size_bits, is_device) in objects {
        bytes.extend([0xff; 8]);
        bytes.extend([*size_bits, *is_device]);
        bytes.extend([0xff; 6]);
    }
    bytes.resize(LIST_BYTES, 0xff);
    bytes.try_into().unwrap()
}

fn chosen(list: &[u8; LIST_BYTES]) -> Vec<(u64, u32, u32)> {
    let parts = parts_of(list).unwrap();
    parts.map(|HandedOver { from, part }| (from, part.slot, part.size_bits)).collect()
}

#[test]
fn the_largest_that_are_memory_become_parts() {
    let mixed =
        [(12, MEMORY), (28, DEVICE), (11, MEMORY), (26, MEMORY), (21, MEMORY), (26, MEMORY)];
    let expected = [(6, 8, 26), (8, 9, 26), (7, 10, 21), (3, 11, 12)];
    assert_eq!(chosen(&list(3, &mixed)), expected);
    assert_eq!(chosen(&list(3, &[(31, MEMORY), (47, MEMORY), (0, MEMORY)])), []);
}

#[test]
fn no_more_become_parts_than_there_are_slots_and_than_can_be_managed() {
    let mut many = vec![(13, MEMORY); 100];
    many.push((14, MEMORY));
    let parts = chosen(&list(0, &many));
    assert_eq!((parts.len(), parts[0], parts[19]), (20, (100, 8, 14), (19, 27, 13)));
    let large = chosen(&list(0, &[(30, MEMORY); 6]));
    assert_eq!(large.len(), 4, "4 GiB");
}

#[test]
fn what_is_no_list_is_refused() {
    let short = list(5, &[(26, MEMORY)]);
    let with_end = |end: u64| {
        let mut list = short;
        list[8..16].copy_from_slice(&end.to_le_bytes());
        parts_of(&list).err()
    };
    assert_eq!(with_end(5), None, "nothing is listed");
    assert_eq!(with_end(5 + 255), None, "as many as the page has room for");
    for end in [4, 5 + 256, u64::MAX] {
        assert_eq!(with_end(end), Some(SetupError::UntypedList), "{end}");
    }
}

#[test]
fn a_setup_without_a_pool_has_what_is_handed_over() {
    let peer = PeerConfig {
        peer: 1,
        name: "fsserver",
        limit: ByteCount::new(8 << 20),
        privileges: Privileges::empty(),
    };
    let page =
        encode_without_pool(&Setup::new([PoolPart { slot: 8, size_bits: 30 }], [peer]).unwrap());
    assert_eq!(decode(&page).err(), Some(SetupError::NoPool));
    let with = |size_bits| {
        let parts: Vec<PoolPart> =
            parts_of(&list(1, &[(size_bits, MEMORY)])).unwrap().map(|object| object.part).collect();
        decode_with(&page, parts).map(|setup| (setup.parts().to_vec(), setup.peers().to_vec()))
    };
    assert_eq!(with(26), Ok((vec![PoolPart { slot: 8, size_bits: 26 }], vec![peer])));
    // Whether the limits fit into what was left is known only then.
    assert!(matches!(with(22), Err(SetupError::LimitsAbovePool { .. })));
}

proptest! {
    /// Of any page, a pool that can be set up is chosen, or it is refused.
    #[test]
    fn reading_is_total(
        first in any::<u64>(),
        count in 0_u64..300,
        bytes in any::<[[u8; 32]; 32]>(),
    ) {
        let mut page = [0; LIST_BYTES];
        page.iter_mut().zip(bytes.into_iter().flatten().cycle()).for_each(|(to, from)| *to = from);
        page[..8].copy_from_slice(&first.to_le_bytes());
        page[8..16].copy_from_slice(&first.saturating_add(count).to_le_bytes());
        let Ok(parts) = parts_of(&page) else { return Ok(()) };
        let parts: Vec<PoolPart> = parts.map(|object| object.part).collect();
        let refused = Setup::new(parts, []).err().map(|(_, error)| error);
        prop_assert!(matches!(refused, None | Some(SetupError::NoPool | SetupError::PoolTooSmall)));
    }
}
