// SPDX-License-Identifier: BSD-2-Clause
//! The checker of invariants finds what is wrong: every sentence that it can say is said about a
//! state that was broken on purpose, by one number in the server's records, or by two of its
//! accounts.
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::watched::{House, furnished, with_account_on_its_way, with_kept_record};
use pmserver_core::PageIndex;
use pmserver_core::kernel::Kernel;

/// How many records of a kind are changed, of those that are alike.
const ALIKE_MAX: usize = 20;
/// What a record of an account begins with.
const ACCOUNT: u8 = 1;

/// How many sentences the checker has: one that is gone with its check would not be missed.
const SENTENCES: usize = 73;
/// Sentences that no such change brings out. What is used below an account follows from the two
/// checks before it, to charge more than there is takes as many frames, a page that is missing in a
/// run is found in its ring first, and what is paid for pieces is not in the records.
const NEVER_FIRST: [&str; 5] = [
    "I1: an account knows what is used below it",
    "I2: what is charged is there",
    "I3: a page of a bound run is in one run",
    "I1: the pool's account pays for moving a run off its piece",
    "I1: the pool's account pays for pieces that are used one by one",
];

/// Returns the sentences in the text of the checker.
fn sentences() -> BTreeSet<String> {
    let text = concat!(
        include_str!("../../src/check/mod.rs"),
        include_str!("../../src/check/accounts.rs"),
        include_str!("../../src/check/memory.rs"),
        include_str!("../../src/check/pieces.rs")
    );
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let strings = code.split('"').skip(1).step_by(2);
    strings.filter(|string| string.contains(' ')).map(str::to_owned).collect()
}

/// Returns what the checker says; nothing if the server's state cannot even be walked.
fn verdict(house: &House) -> Option<Result<(), &'static str>> {
    let server = house.server.borrow();
    server.kernel().begin();
    let found = catch_unwind(AssertUnwindSafe(|| server.check_invariants())).ok();
    server.kernel().begin();
    found
}

/// A number of the server's: 32 bits in a page.
type Place = (PageIndex, usize);

fn get(house: &House, (page, at): Place) -> u32 {
    let server = house.server.borrow();
    let bytes = &server.kernel().record_page(page).0[at..at + 4];
    u32::from_le_bytes(bytes.try_into().unwrap())
}

fn set(house: &House, (page, at): Place, value: u32) {
    let mut server = house.server.borrow_mut();
    let bytes = &mut server.kernel_mut().record_page_mut(page).0[at..at + 4];
    bytes.copy_from_slice(&value.to_le_bytes());
}

/// Changes numbers, adds what the checker says to `said`, and changes them back.
fn change(house: &House, changes: &[(Place, u32)], said: &mut BTreeSet<String>) {
    let before: Vec<_> = changes.iter().map(|(place, _)| (*place, get(house, *place))).collect();
    changes.iter().for_each(|(place, value)| set(house, *place, *value));
    if let Some(Err(sentence)) = verdict(house) {
        said.insert(sentence.to_owned());
    }
    before.iter().for_each(|(place, value)| set(house, *place, *value));
}

/// Changes every number of the records and of the frame table, each of its four bytes.
fn said_about_one(house: &House, said: &mut BTreeSet<String>) {
    for place in house.places(ALIKE_MAX, |_| true) {
        let value = get(house, place);
        let one_more = (0..4).map(|byte| value.wrapping_add(1 << (8 * byte)));
        let flags = (0..4).map(|byte| value ^ 4 << (8 * byte));
        let others = one_more.chain(flags).chain([0, value.wrapping_sub(1)]);
        others.filter(|other| *other != value).for_each(|other| {
            change(house, &[(place, other)], said);
        });
    }
}

/// Lowers any two numbers of accounts: a limit, and what the account above says of it.
fn said_about_two(house: &House, said: &mut BTreeSet<String>) {
    const LESS: u32 = 20;
    let places = house.places(usize::MAX, |kind| kind == Some(ACCOUNT));
    let large: Vec<_> =
        places.into_iter().filter(|p| (LESS..1000).contains(&get(house, *p))).collect();
    for (index, one) in large.iter().enumerate() {
        for other in &large[..index] {
            let lower = |place: Place| (place, get(house, place) - LESS);
            change(house, &[lower(*one), lower(*other)], said);
        }
    }
}

#[test]
fn each_check_finds_a_state_that_breaks_it() {
    let houses = [furnished(), with_account_on_its_way(), with_kept_record()];
    crate::watched::silence_panics();
    let mut said = BTreeSet::new();
    for house in &houses {
        assert_eq!(verdict(house), Some(Ok(())), "before anything is changed");
        said_about_one(house, &mut said);
        said_about_two(house, &mut said);
        assert_eq!(verdict(house), Some(Ok(())), "after everything was changed back");
    }
    assert_eq!(sentences().len(), SENTENCES, "sentences in the checker's text");
    let never = NEVER_FIRST.map(str::to_owned).into_iter().collect();
    let silent: BTreeSet<_> = sentences().difference(&said).cloned().collect();
    assert_eq!(silent, never, "sentences that were not said");
    assert!(said.is_subset(&sentences()), "the sentences are read from the checker's text");
}
