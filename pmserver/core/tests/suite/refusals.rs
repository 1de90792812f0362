// SPDX-License-Identifier: BSD-2-Clause
//! The kernel refuses every invocation of every operation in turn, with each error that it has
//! (PM-4, PM-380): what is told is what has changed, and the same call then does the rest.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::refused::cases::{Case, Done, cases};
use crate::refused::{Difference, Flavour, Place, Scene, Seen, finish};
use pmserver_api::{Failure, Operation, PmError};
use sim::InvocationKind;

/// Fewer runs say that calls do not reach what they are for.
const RUNS_MIN: u64 = 3_000;
/// No kind of invocation has more errors.
const ERRORS_MAX: usize = 5;

/// The runs that were made, and how many of them were refused.
#[derive(Default)]
struct Tally {
    runs: u64,
    refused: u64,
    broken: Vec<String>,
}

/// The same world without the call, and after the call that nothing was refused to.
struct Known {
    before: Seen,
    after: Seen,
    result: (u64, Option<Failure>),
    invocations: u64,
    /// What is left of both when everything is destroyed.
    settled: [Seen; 2],
}

fn known(case: &Case, flavour: Flavour, records: u64) -> Known {
    let scene = prepared(case, flavour, records);
    let before = scene.look();
    let left = scene.settle();
    let scene = prepared(case, flavour, records);
    let first = scene.invocations();
    let result = finish(|done| (case.call)(&scene, done), 0);
    let invocations = scene.invocations() - first;
    let after = scene.look();
    Known { before, after, result, invocations, settled: [left, scene.settle()] }
}

fn prepared(case: &Case, flavour: Flavour, records: u64) -> Scene {
    let scene = Scene::new(flavour, records);
    (case.prepare)(&scene);
    scene
}

/// Returns how many records to have before a call so that it takes most pages for its own.
fn records_before(case: &Case) -> u64 {
    let cost = |records: u64| {
        let scene = prepared(case, Flavour::Plain, records);
        let first = scene.invocations();
        finish(|done| (case.call)(&scene, done), 0);
        (scene.invocations() - first, records)
    };
    let coarse: Vec<(u64, u64)> = (0..64).step_by(8).map(cost).collect();
    let is_same = coarse.iter().all(|(made, _)| *made == coarse[0].0);
    let costs = if is_same { (0..64).map(cost).collect() } else { coarse };
    costs.into_iter().max().map_or(0, |(_, records)| records)
}

/// Refuses each invocation of a call, in each way.
fn refuse_each(case: &Case, flavour: Flavour, records: u64, tally: &mut Tally) {
    let known = known(case, flavour, records);
    // All in the plain flavour; in the others, which meet the same code in other places, a part,
    // unless the environment asks for all.
    let is_whole = flavour == Flavour::Plain || std::env::var_os("REFUSALS").is_some();
    let step = if is_whole { 1 } else { 3 };
    for nth in (1..=known.invocations).step_by(step) {
        // The other errors in one flavour: the same code meets them in all.
        let errors = if flavour == Flavour::Plain { ERRORS_MAX } else { 1 };
        for error in 0..errors {
            let run = || {
                let scene = prepared(case, flavour, records);
                scene.refuse(nth, error);
                let result = finish(|done| (case.call)(&scene, done), 0);
                scene.refuse_nothing();
                (scene, result)
            };
            let (scene, result) = run();
            let has_error = |kind: &InvocationKind| error < kind.errors().len();
            let Some(kind) = scene.refused().filter(has_error) else {
                break;
            };
            let what = format!("{} {flavour:?} {nth} {kind:?} {error}", case.name);
            tally.runs += 1;
            let seen = scene.look();
            tally.settled(&what, &scene, &known);
            if result == known.result {
                tally.absorbed(&what, flavour, &seen, &known);
                continue;
            }
            tally.refused += 1;
            tally.expect(is_refusal(&result, &known), &format!("{what}: {result:?}"));
            tally.partial(&what, case.done, result.0, &seen, &known);
            let (scene, result) = run();
            let again = finish(|done| (case.call)(&scene, done), result.0);
            tally.expect(again == known.result, &format!("{what}: then {again:?}"));
            tally.compare(&what, "is repeated", &scene.look(), &known.after);
        }
    }
}

fn is_refusal(result: &(u64, Option<Failure>), known: &Known) -> bool {
    // A page that the kernel does not map may be at an address that it does not allow (PM-383).
    let errors = [
        PmError::Invalid,
        PmError::Kernel,
        PmError::NoMemory,
        PmError::Occupied,
        PmError::NoTableQuota,
    ];
    match result.1 {
        // A pin that did not end is in the way, and told with a deadline in the future (PM-344).
        Some(Failure { error: PmError::Locked | PmError::Pending, at, .. }) => at > 0,
        Some(failure) => errors.contains(&failure.error),
        // It says how many there are.
        None => known.result.1.is_none() && result.0 < known.result.0,
    }
}

impl Tally {
    fn expect(&mut self, holds: bool, what: &str) {
        if !holds {
            self.broken.push(what.to_owned());
        }
    }

    /// Destroys everything, and compares what is left.
    fn settled(&mut self, what: &str, scene: &Scene, known: &Known) {
        let left = scene.settle();
        let [differs, _] = known.settled.each_ref().map(|settled| left.differences(settled));
        let is_known = known.settled.iter().any(|settled| left.differences(settled).is_empty());
        self.expect(is_known, &format!("{what} is over: {differs:?}"));
    }

    fn compare(&mut self, what: &str, how: &str, seen: &Seen, wanted: &Seen) {
        let differences = seen.differences(wanted);
        self.expect(differences.is_empty(), &format!("{what} {how}: {differences:?}"));
    }

    /// Compares what is seen with what would be seen without the refusal.
    fn absorbed(&mut self, what: &str, flavour: Flavour, seen: &Seen, known: &Known) {
        // A pin that could not end then ends at the next call of anybody, which moves the frames
        // and so revokes the grants to them.
        let is_overdue = matches!(flavour, Flavour::Overdue | Flavour::OverdueBehindIommu);
        let mut differences = seen.differences(&known.after);
        differences.retain(|Difference { place, .. }| !(is_overdue && place.what == "grants"));
        self.expect(differences.is_empty(), &format!("{what} is absorbed: {differences:?}"));
    }

    /// Compares what is seen with what is told. What else is seen is as before or as afterwards;
    /// accounts and relations are compared if nothing may have changed.
    fn partial(&mut self, what: &str, done: Done, count: u64, seen: &Seen, known: &Known) {
        let from_old = seen.differences(&known.before);
        let from_new = seen.differences(&known.after);
        // Memory that a frame was given stays (PM-381), and grants may be gone, with their slots.
        let is_compared = |place: &Place| match place.what {
            "memory" | "grants" | "account" => false,
            "relation" => done == Done::Nothing,
            _ => true,
        };
        let is_new = |place: &Place| !from_new.iter().any(|other| other.place == *place);
        let is_beyond = |place: &Place| match done {
            Done::Counted => place.index.is_some_and(|index| index > count),
            Done::Nothing => true,
            Done::Part => false,
        };
        let wrong = from_old.iter().filter(|Difference { place, .. }| {
            is_compared(place) && (is_beyond(place) || !is_new(place))
        });
        let wrong: Vec<_> = wrong.collect();
        self.expect(wrong.is_empty(), &format!("{what} after {count}: {wrong:?}"));
        let is_told = |place: &Place| place.index.is_some_and(|index| index < count);
        let missing = from_new.iter().filter(|Difference { place, .. }| {
            done == Done::Counted && is_compared(place) && is_told(place)
        });
        let missing: Vec<_> = missing.collect();
        self.expect(missing.is_empty(), &format!("{what} told {count}: {missing:?}"));
    }
}

/// Refuses all of the ways to call an operation, in all flavours.
fn refuse_all(operation: Operation) -> Tally {
    let mut tally = Tally::default();
    for case in cases(operation) {
        let records = records_before(&case);
        for flavour in Flavour::ALL {
            refuse_each(&case, flavour, records, &mut tally);
        }
    }
    tally
}

#[test]
fn whatever_the_kernel_refuses_what_is_told_is_what_has_changed() {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut tallies = Vec::new();
        while let Some(operation) = Operation::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            tallies.push((*operation, refuse_all(*operation)));
        }
        tallies
    };
    let mut tallies = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    tallies.sort_by_key(|(operation, _)| *operation);
    for (operation, Tally { runs, refused, .. }) in &tallies {
        println!("{:>20} {runs:>6} runs, {refused:>6} refused", operation.name());
    }
    let broken: Vec<&String> = tallies.iter().flat_map(|(_, tally)| &tally.broken).collect();
    assert!(broken.is_empty(), "{} are wrong: {broken:#?}", broken.len());
    let runs: u64 = tallies.iter().map(|(_, tally)| tally.runs).sum();
    let refused: u64 = tallies.iter().map(|(_, tally)| tally.refused).sum();
    println!("{runs} runs, {refused} refused");
    assert!(runs > RUNS_MIN, "only {runs} runs: the calls meet too little");
}
