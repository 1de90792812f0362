// SPDX-License-Identifier: BSD-2-Clause
//! Random operations on extra frames and limits (PM-260 to PM-262).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{Pm, World, at, frames, info, page, pages, peer, states};
use pmserver_api::{
    AccountHandle, AllocateFlags, ContainerHandle, DeallocateFlags, FrameState, LimitFlags,
    MapFlags, Marks,
};
use proptest::prelude::*;
use proto::limits::EXTRA_MICROS;

const OWN: AccountHandle = AccountHandle::OWN;
const FREE: DeallocateFlags = DeallocateFlags::empty();
const MAY: LimitFlags = LimitFlags::EXTRA;

#[derive(Clone, Copy, Debug)]
enum Step {
    Allocate { peer: u64, start: u64, count: u64, flags: u16 },
    Deallocate { peer: u64, start: u64, count: u64 },
    Mark { peer: u64, start: u64, count: u64, is_set: bool },
    Limit { peer: u64, limit: u32, flags: u16 },
    Map { peer: u64, start: u64, count: u64 },
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let range = (1u64..=4, 0u64..400, 1u64..120);
    prop_oneof![
        6 => (range.clone(), 0u16..8).prop_map(|((peer, start, count), flags)| {
            Step::Allocate { peer, start, count, flags }
        }),
        3 => range.clone().prop_map(|(peer, start, count)| Step::Deallocate { peer, start, count }),
        2 => (range.clone(), any::<bool>()).prop_map(|((peer, start, count), is_set)| {
            Step::Mark { peer, start, count, is_set }
        }),
        2 => (1u64..=4, 0u32..300, 0u16..4)
            .prop_map(|(peer, limit, flags)| Step::Limit { peer, limit, flags }),
        2 => range.prop_map(|(peer, start, count)| Step::Map { peer, start, count }),
        1 => (0u64..2 * EXTRA_MICROS).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Random operations on limits and extra frames in a pool that is too small for all of them:
    /// the invariants hold after each call, and nothing within a limit is ever dropped (PM-261).
    #[test]
    fn what_is_within_a_limit_stays(steps in prop::collection::vec(step(), 1..60)) {
        let world = World::with_policy();
        let mut peers: Vec<Pm> = (1..=4).map(|number| world.as_peer(number)).collect();
        let quiet = world.clone().unchecked();
        let policy = 0;
        for number in 1..=4 {
            let account = AccountHandle::of_peer(peer(number));
            peers[policy].account_set_limits(account, 128, MAY).unwrap();
        }
        let containers: Vec<ContainerHandle> =
            peers.iter_mut().map(|pm| pm.container_create(OWN).unwrap()).collect();
        let mut before: Vec<Vec<FrameState>> = vec![Vec::new(); 4];
        for step in steps {
            let index = |peer: u64| usize::try_from(peer - 1).unwrap();
            let own = match step {
                Step::Allocate { peer, .. } | Step::Deallocate { peer, .. } => peer,
                Step::Limit { peer, .. } => peer,
                _ => 0,
            };
            match step {
                Step::Allocate { peer, start, count, flags } => {
                    let flags = AllocateFlags::from_bits_truncate(flags);
                    let pm = &mut peers[index(peer)];
                    let _ = pm.allocate(containers[index(peer)], at(start), frames(count), flags);
                }
                Step::Deallocate { peer, start, count } => {
                    let pm = &mut peers[index(peer)];
                    let _ = pm.deallocate(containers[index(peer)], at(start), frames(count), FREE);
                }
                Step::Mark { peer, start, count, is_set } => {
                    let marks = if is_set { Marks::DISCARDABLE } else { Marks::empty() };
                    let pm = &mut peers[index(peer)];
                    let _ = pm.mark(containers[index(peer)], at(start), frames(count), marks);
                }
                Step::Limit { peer: number, limit, flags } => {
                    let flags = LimitFlags::from_bits_truncate(flags);
                    let account = AccountHandle::of_peer(peer(number));
                    let _ = peers[policy].account_set_limits(account, limit, flags);
                }
                Step::Map { peer, start, count } => {
                    let pm = &mut peers[index(peer)];
                    let container = containers[index(peer)];
                    let flags = MapFlags::WRITE;
                    let _ = pm.map(container, at(start), frames(count), page(start), flags);
                }
                Step::Pass(micros) => world.advance(micros),
            }
            for (number, container) in (1..).zip(&containers) {
                let mut pm = quiet.as_peer(number);
                let account = info(&mut pm, OWN);
                let now = states(&mut pm, *container, 520);
                let present = now.iter().filter(|has| has.contains(FrameState::PRESENT)).count();
                let charged = pages(account.frames) + pages(account.extra);
                let was_guaranteed = |has: &FrameState| {
                    has.contains(FrameState::PRESENT) && !has.contains(FrameState::EXTRA)
                };
                let before = std::mem::replace(&mut before[index(number)], now.clone());
                for (before, now) in before.iter().zip(&now) {
                    let stays = !was_guaranteed(before) || was_guaranteed(now);
                    prop_assert!(stays || number == own, "PM-261");
                }
                prop_assert_eq!(present as u64, charged, "what is dropped is not charged");
            }
        }
    }
}
