// SPDX-License-Identifier: BSD-2-Clause
//! Runs plays at many points, on several threads. Every run has a system of its own, so a run
//! depends only on its play and its point, and the report on neither order nor threads. How far it
//! got, and what is found, goes to standard error at once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::{Outcome, Play, Point};

/// Failures that are printed.
const LINES_MAX: usize = 40;
/// After so many runs a line says how far it got.
const RUNS_PER_LINE: usize = 5_000;

/// Which points to run.
#[derive(Clone, Copy, Debug)]
pub enum Choice {
    /// Every one.
    All,
    /// So many of all.
    Sample {
        /// What determines them.
        seed: u64,
        /// How many.
        count: usize,
    },
    /// This one.
    One(Point),
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    plays: usize,
    points: usize,
    strikes: usize,
    refusals: usize,
    wrong: Vec<String>,
}

impl Report {
    /// Returns whether nothing was found.
    #[must_use]
    pub const fn is_well(&self) -> bool {
        self.wrong.is_empty()
    }

    /// Returns how many runs there were.
    #[must_use]
    pub const fn runs(&self) -> usize {
        self.strikes + self.refusals
    }

    fn add(&mut self, point: Point, outcome: Outcome) {
        if point.is_strike() {
            self.strikes += 1;
        } else {
            self.refusals += 1;
        }
        match outcome {
            Outcome::Well => {}
            Outcome::Wrong(line) => self.wrong.push(line),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.wrong.iter().take(LINES_MAX) {
            writeln!(f, "sim stop {line}")?;
        }
        let Self { plays, points, strikes, refusals, wrong } = self;
        let (runs, wrong) = (self.runs(), wrong.len());
        write!(f, "stop: plays {plays} points {points} runs {runs} stops {strikes} ")?;
        writeln!(f, "refusals {refusals} wrong {wrong}")
    }
}

/// Runs plays at the chosen points.
///
/// # Errors
/// What goes wrong already without a mishap.
///
/// # Panics
/// Never: a run that panics is reported.
pub fn sweep(plays: &[Play], choice: Choice, threads: usize) -> Result<Report, String> {
    let rehearsals = parallel(plays.len(), threads, |index| plays[index].rehearse());
    let mut jobs = Vec::new();
    for (play, points) in plays.iter().zip(rehearsals) {
        jobs.extend(points?.into_iter().map(|point| (play, point)));
    }
    let report = Report { plays: plays.len(), points: jobs.len(), ..Report::default() };
    match choice {
        Choice::All => {}
        Choice::Sample { seed, count } => {
            fastrand::Rng::with_seed(seed).shuffle(&mut jobs);
            jobs.truncate(count);
        }
        Choice::One(only) => jobs.retain(|(_, point)| *point == only),
    }
    // A panic is reported as a line of its own.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let (begin, done) = (Instant::now(), AtomicUsize::new(0));
    let outcomes = parallel(jobs.len(), threads, |index| {
        let (play, point) = jobs[index];
        let outcome = play.run(point);
        if let Outcome::Wrong(line) = &outcome {
            eprintln!("sim stop {line}");
        }
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(RUNS_PER_LINE) {
            let seconds = begin.elapsed().as_secs();
            eprintln!("stop: {done} of {}, {seconds} s, now {}", jobs.len(), play.name());
        }
        outcome
    });
    std::panic::set_hook(hook);
    let runs = jobs.iter().zip(outcomes);
    Ok(runs.fold(report, |mut report, (&(_, point), outcome)| {
        report.add(point, outcome);
        report
    }))
}

/// Does `count` jobs on several threads; returns the results in order.
fn parallel<R: Send>(count: usize, threads: usize, job: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        break;
                    }
                    let result = job(index);
                    results.lock().expect("no job panics").insert(index, result);
                }
            });
        }
    });
    results.into_inner().expect("no job panics").into_values().collect()
}
