// SPDX-License-Identifier: BSD-2-Clause
//! The points of a run at which something can go wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::kernel::Refusal;
use crate::system::{Blow, Mishap, Moment, Strike, System, Traffic};
use crate::system_file::SystemFile;

/// A point, written as `refuse:invocation:error` or `stop:call:moment:blow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point(Mishap);

const MOMENTS: [(Moment, &str); 4] = [
    (Moment::Sent, "sent"),
    (Moment::Received, "received"),
    (Moment::Served, "served"),
    (Moment::Answered, "answered"),
];
const BLOWS: [(Blow, &str); 2] = [(Blow::Fault, "fault"), (Blow::Stop, "stop")];

impl Point {
    /// Returns what goes wrong.
    #[must_use]
    pub const fn mishap(self) -> Mishap {
        self.0
    }

    /// Returns whether a domain is stopped; else an invocation is refused.
    #[must_use]
    pub const fn is_strike(self) -> bool {
        matches!(self.0, Mishap::Strike(_))
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Mishap::Refusal(Refusal { nth, error }) => write!(f, "refuse:{nth}:{error}"),
            Mishap::Strike(Strike { call, moment, blow }) => {
                let moment = MOMENTS.iter().find(|(known, _)| *known == moment);
                let blow = BLOWS.iter().find(|(known, _)| *known == blow);
                let name = |name: Option<&str>| name.unwrap_or_default().to_owned();
                let (moment, blow) = (moment.map(|of| of.1), blow.map(|of| of.1));
                write!(f, "stop:{call}:{}:{}", name(moment), name(blow))
            }
        }
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is not refuse:INVOCATION:ERROR or stop:CALL:MOMENT:BLOW");
        let number = |text: &str| text.parse().map_err(|_| wrong());
        match text.split(':').collect::<Vec<_>>()[..] {
            ["refuse", nth, error] => {
                let error = error.parse().map_err(|_| wrong())?;
                Ok(Self(Mishap::Refusal(Refusal { nth: number(nth)?, error })))
            }
            ["stop", call, moment, blow] => {
                let moment = MOMENTS.iter().find(|(_, name)| *name == moment).ok_or_else(wrong)?.0;
                let blow = BLOWS.iter().find(|(_, name)| *name == blow).ok_or_else(wrong)?.0;
                Ok(Self(Mishap::Strike(Strike { call: number(call)?, moment, blow })))
            }
            _ => Err(wrong()),
        }
    }
}

/// A run of more calls than this repeats itself: it fills or waits in a loop.
const CALLS_MAX: usize = 10_000;
/// What is kept of the calls of one kind in such a run: these from the beginning, and of the others
/// one in so many.
const FIRST: usize = 48;
const ONE_IN: usize = 4096;

/// Returns for each call whether a domain is stopped there.
fn keeps(all: &[Traffic]) -> Vec<bool> {
    let mut seen: BTreeMap<Traffic, usize> = BTreeMap::new();
    let mut keep = |traffic: &Traffic| {
        let before = seen.entry(*traffic).or_default();
        *before += 1;
        all.len() <= CALLS_MAX || *before <= FIRST || before.is_multiple_of(ONE_IN)
    };
    all.iter().map(&mut keep).collect()
}

/// Returns every point of a run that is over. Of a run that repeats itself, not all.
#[must_use]
pub fn points(file: &SystemFile, system: &System) -> Vec<Point> {
    let mut points = Vec::new();
    let pmserver = file.running("pmserver");
    let is_child = |domain: usize| {
        file.domains[domain].parent.is_some_and(|(parent, _)| Some(parent) == pmserver)
    };
    let all = system.traffic();
    let keeps = keeps(&all);
    for ((traffic, call), _) in all.into_iter().zip(1..).zip(keeps).filter(|(_, keep)| *keep) {
        let mut moments = Vec::new();
        if is_child(traffic.caller) {
            moments.push(Moment::Sent);
            moments.extend(traffic.callee.map(|_| Moment::Answered));
        }
        if traffic.callee.is_some_and(is_child) {
            moments.extend([Moment::Received, Moment::Served]);
        }
        for moment in moments {
            let strike = |blow| Point(Mishap::Strike(Strike { call, moment, blow }));
            points.extend([Blow::Fault, Blow::Stop].map(strike));
        }
    }
    system.with_server(|server| {
        for (kind, nth) in server.kernel().recorded().iter().zip(1..) {
            let errors = 0..kind.errors().len();
            points.extend(errors.map(|error| Point(Mishap::Refusal(Refusal { nth, error }))));
        }
    });
    points
}
