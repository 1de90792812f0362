// SPDX-License-Identifier: BSD-2-Clause
//! Every order: an exhaustive search of what the peers of small systems can do, with pmserver's
//! real core over the simulated kernel.
//!
//! Breadth first. A step is one action of one peer, or time going on to the next deadline. Of
//! states that are the same but for the names of pages and handles and for the time, one is
//! searched (`check.rs`). In each state everything must hold that has to, and from each state
//! everything must come true that was promised, whatever has happened before.

mod action;
mod check;
mod promised;
mod steps;
mod systems;
mod world;

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::action::Action;
use self::systems::systems;
use self::world::{Step, World};
use crate::stop::audit::Audit;

/// What a search has reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// States that differ.
    pub states: usize,
    /// Steps from one to another.
    pub steps: usize,
    /// Steps that a peer was refused.
    pub refused: usize,
    /// The number of actions that lead to the last state.
    pub depth: usize,
    /// Whether every state was searched that can be reached.
    pub is_complete: bool,
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, steps, refused, depth, is_complete } = self;
        let end = if *is_complete { "complete" } else { "cut off" };
        write!(f, "states {states} steps {steps} refused {refused} depth {depth} {end}")
    }
}

/// Returns the names of the small systems.
#[must_use]
pub fn names() -> Vec<&'static str> {
    systems().into_iter().map(|(name, ..)| name).collect()
}

/// A state that was reached: from which one, and by what.
struct Place {
    from: usize,
    action: Option<Action>,
    depth: usize,
}

/// Searches a small system until `states_max` states were found.
///
/// # Errors
/// What is wrong, and the actions that lead there.
pub fn explore(name: &str, states_max: usize) -> Result<Reached, String> {
    let actions = systems().into_iter().find(|(known, ..)| *known == name);
    let (_, shape, actions) = actions.ok_or_else(|| format!("there is no system {name}"))?;
    let mut first = World::new(shape);
    let audit = Audit::of(&mut first.server)?;
    let mut places = vec![Place { from: 0, action: None, depth: 0 }];
    let mut keys = HashSet::from([first.key()]);
    let mut open = VecDeque::from([(first, 0)]);
    let mut reached = Reached::default();
    while let Some((world, at)) = open.pop_front() {
        let (key, depth) = (world.key(), places[at].depth);
        for &action in &actions {
            if places.len() >= states_max {
                return Ok(Reached { states: places.len(), ..reached });
            }
            let mut next = world.clone();
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let step = next.step(action);
                if matches!(step, Step::Idle) {
                    return Ok(None);
                }
                let reached_key = next.key();
                let is_refused = matches!(step, Step::Refused) && !is_access(action);
                // What is due at a deadline that has passed may be done on the way, and a large
                // frame may be split (PM-448).
                let may_change = world.has_something_due() || shape.is_large();
                if is_refused && reached_key != key && !may_change {
                    return Err(format!("{action:?} was refused and has changed something"));
                }
                Ok(Some((matches!(step, Step::Refused), reached_key)))
            }));
            let result = caught.unwrap_or_else(|panic| Err(panicked(&*panic)));
            let found = match result {
                Ok(None) => continue,
                Ok(Some((is_refused, next_key))) => {
                    reached.steps += 1;
                    reached.refused += usize::from(is_refused);
                    if !keys.insert(next_key) {
                        continue;
                    }
                    let check = || next.check().and_then(|()| next.check_future(&audit));
                    catch_unwind(AssertUnwindSafe(check))
                        .unwrap_or_else(|panic| Err(panicked(&*panic)))
                }
                Err(sentence) => Err(sentence),
            };
            places.push(Place { from: at, action: Some(action), depth: depth + 1 });
            reached.depth = depth + 1;
            match found {
                Ok(()) => open.push_back((next, places.len() - 1)),
                Err(sentence) => {
                    let path = path(&places, places.len() - 1);
                    return Err(format!("{name}: {sentence}, after {path:?}"));
                }
            }
        }
    }
    Ok(Reached { states: places.len(), is_complete: true, ..reached })
}

const fn is_access(action: Action) -> bool {
    matches!(action, Action::Load(..) | Action::Store(..))
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a panic: {}", text.unwrap_or_default())
}

/// Returns the actions that lead to a state.
fn path(places: &[Place], mut at: usize) -> Vec<Action> {
    let mut path = Vec::new();
    while let Some(action) = places[at].action {
        path.push(action);
        at = places[at].from;
    }
    path.reverse();
    path
}
