// SPDX-License-Identifier: BSD-2-Clause
//! Random operations against pmserver, and what is made of a failure.
//!
//! `pm` compares the server with the model after each operation of several peers, hostile ones
//! among them. `wire` sends patterns of registers. `self` compares the model with itself, and
//! `canary` compares the server with models that are wrong: each has to be found.
//!
//! A seed determines a run. A failure is one line that begins with the arguments that repeat it.

mod bytes;
mod canary;
mod choose;
mod core_subject;
mod decode;
mod finish;
mod operation;
mod run;
mod shape;
mod subject;
mod tally;
mod wire;

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use model::{Config, Model};

use self::core_subject::CoreSubject;
use self::operation::{Operation, operations};
use self::run::{Found, Mistake, Run};
use self::shape::Shape;
use self::subject::{ModelSubject, Subject};

pub use self::bytes::{core, decode};
pub use self::tally::Tally;

/// How to run a fuzzer.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of the run.
    pub seed: u64,
    /// How many operations.
    pub operations: usize,
    /// The operations to do, by number, where others are left out.
    pub only: Option<Vec<usize>>,
    /// Whether every operation is printed.
    pub echo: bool,
}

/// Returns what was reached if all is well; else the line that repeats the failure.
type Fuzzer = fn(&Plan) -> Result<Tally, String>;

/// The fuzzers by name.
const FUZZERS: [(&str, Fuzzer); 4] =
    [("pm", pm), ("self", itself), ("wire", wire::wire), ("canary", canary::canary)];

/// The seeds of the smoke run, which are always the same.
const SMOKE_SEEDS: std::ops::Range<u64> = 1..7;
const SMOKE_OPERATIONS: usize = 300;

impl Plan {
    /// Returns a plan for a seed, with as many operations as one run usually has.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self { seed, operations: 600, only: None, echo: false }
    }
}

/// Runs a fuzzer, or with `smoke` each of them for a short time.
///
/// # Errors
/// What was found.
pub fn fuzz(name: &str, plan: &Plan) -> Result<Tally, String> {
    if name == "smoke" {
        return smoke();
    }
    let Some((_, fuzzer)) = FUZZERS.iter().find(|(known, _)| *known == name) else {
        let names: Vec<&str> = FUZZERS.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no fuzzer {name}: there are smoke, {}", names.join(", ")));
    };
    fuzzer(plan)
}

/// Runs each fuzzer with a few seeds.
///
/// # Errors
/// What was found first.
pub fn smoke() -> Result<Tally, String> {
    let mut tally = Tally::default();
    for (_, fuzzer) in FUZZERS {
        for seed in SMOKE_SEEDS {
            tally.add(&fuzzer(&Plan { operations: SMOKE_OPERATIONS, ..Plan::of(seed) })?);
        }
    }
    Ok(tally)
}

/// pmserver's core against the model.
fn pm(plan: &Plan) -> Result<Tally, String> {
    hunt("pm", plan, |plan| go(plan, Mistake::None))
}

/// The model against itself.
fn itself(plan: &Plan) -> Result<Tally, String> {
    hunt("self", plan, |plan| {
        // It does not know when memory is short, and so must not be.
        let config = Config { pool_pages: 1 << 30, ..Shape::of(plan.seed % 2).config() };
        let mut subject = ModelSubject::new(Model::new(config.clone()));
        run(chosen(plan), &mut subject, config, (Mistake::None, plan.echo))
    })
}

/// A failure, and before which operation everything was well.
struct Failure {
    step: usize,
    what: Found,
}

fn chosen(plan: &Plan) -> Vec<(usize, Operation)> {
    let all = operations(plan.seed, plan.operations).into_iter().enumerate();
    match &plan.only {
        None => all.collect(),
        Some(only) => all.filter(|(index, _)| only.contains(index)).collect(),
    }
}

/// Does the operations of a plan with the server.
fn go(plan: &Plan, mistake: Mistake) -> Result<Tally, Failure> {
    let shape = Shape::of(plan.seed);
    run(chosen(plan), &mut CoreSubject::new(shape), shape.config(), (mistake, plan.echo))
}

/// Does operations, and prints them where `echo` says so.
fn run<S: Subject>(
    operations: Vec<(usize, Operation)>,
    subject: &mut S,
    config: Config,
    (mistake, echo): (Mistake, bool),
) -> Result<Tally, Failure> {
    let at = |step| move |what| Failure { step, what };
    let mut run = Run::new(subject, config, mistake, echo).map_err(at(0))?;
    let end = operations.last().map_or(0, |(last, _)| last + 1);
    for (index, operation) in operations {
        caught(|| run.step(&operation, 0x1000 + index as u64)).map_err(at(index))?;
        if run.is_lost() {
            return Ok(run.tally());
        }
    }
    caught(|| run.end_run()).map_err(at(end))?;
    Ok(run.tally())
}

/// Makes a panic a failure like others.
fn caught(step: impl FnOnce() -> Result<(), Found>) -> Result<(), Found> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("a panic: {}", text.unwrap_or_default()))
    })
}

/// Runs a fuzzer, and makes a failure short by leaving operations out.
fn hunt(
    name: &str,
    plan: &Plan,
    run: impl Fn(&Plan) -> Result<Tally, Failure>,
) -> Result<Tally, String> {
    let mut failure = match run(plan) {
        Ok(tally) => return Ok(tally),
        Err(failure) => failure,
    };
    let mut plan = Plan { echo: false, ..plan.clone() };
    if plan.only.is_some() {
        return Err(line(name, &plan, &failure));
    }
    let mut left: Vec<usize> = (0..plan.operations.min(failure.step.saturating_add(1))).collect();
    let mut size = left.len().div_ceil(2);
    let mut attempts = 0;
    while size > 0 && attempts < SHRINK_ATTEMPTS_MAX {
        let mut from = 0;
        while from < left.len() && attempts < SHRINK_ATTEMPTS_MAX {
            let end = left.len().min(from + size);
            let fewer: Vec<usize> = left[..from].iter().chain(&left[end..]).copied().collect();
            attempts += 1;
            match run(&Plan { only: Some(fewer.clone()), ..plan.clone() }) {
                Err(found) => (left, failure) = (fewer, found),
                Ok(_) => from = end,
            }
        }
        size /= 2;
    }
    plan.only = Some(left);
    Err(line(name, &plan, &failure))
}

const SHRINK_ATTEMPTS_MAX: usize = 400;

/// Returns the line that tells of a failure, and with which arguments it comes again.
fn line(name: &str, plan: &Plan, failure: &Failure) -> String {
    let mut line = format!("sim fuzz {name} {:#x}", plan.seed);
    if plan.operations != Plan::of(0).operations {
        let _ = write!(line, " --operations {}", plan.operations);
    }
    if let Some(only) = &plan.only {
        let numbers: Vec<String> = only.iter().map(usize::to_string).collect();
        let _ = write!(line, " --only {}", numbers.join(","));
    }
    let shape = Shape::of(plan.seed).name;
    let _ = write!(line, " : {shape}, step {}: {}", failure.step, failure.what);
    line
}
