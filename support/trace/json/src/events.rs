// SPDX-License-Identifier: BSD-2-Clause
//! Trace events ("Trace Event Format", Chromium): complete events, arrows between them, and the
//! names of tracks.

use serde::Serialize;
use serde_json::{Map, Value, json};
use sim::system_file::SystemFile;

use crate::slices::Slice;

/// The whole system is one process.
const PROCESS: u32 = 1;
const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// One event. Times are in microseconds.
#[derive(Serialize)]
struct Event<'a> {
    name: &'a str,
    /// What kind of event it is.
    ph: &'static str,
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    pid: u32,
    tid: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'static str>,
    /// What joins the two ends of an arrow.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    /// An arrow ends at the slice that is there, not at the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<&'static str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    args: Map<String, Value>,
}

/// Returns the JSON of slices, whose ticks are so many a second: sorted by time, and what contains
/// others before those.
///
/// # Errors
/// A sentence if a second has no ticks.
pub fn json(file: &SystemFile, slices: &[Slice], ticks_per_second: u64) -> Result<String, String> {
    let origin = slices.iter().map(|slice| slice.begin).min().unwrap_or_default();
    let micros = |ticks: u64| {
        let nanos = u128::from(ticks.saturating_sub(origin)).saturating_mul(NANOS_PER_SECOND);
        let nanos = nanos.checked_div(ticks_per_second.into());
        // A float has no other conversion; what it cannot tell apart is below a nanosecond.
        #[allow(clippy::as_conversions)]
        nanos.map(|nanos| nanos as f64 / 1000.0).ok_or("nobody knows how many ticks a second has")
    };
    let mut sorted: Vec<(usize, &Slice)> = slices.iter().enumerate().collect();
    sorted.sort_by_key(|(_, slice)| (slice.begin, std::cmp::Reverse(slice.end)));
    let before = |index: usize| slices.get(index.wrapping_sub(1));
    let mut events = tracks(file);
    for (index, slice) in sorted {
        let (ts, end) = (micros(slice.begin)?, micros(slice.end)?);
        let event = |ph| Event {
            name: &slice.name,
            ph,
            ts,
            dur: None,
            pid: PROCESS,
            tid: track(slice.domain),
            cat: None,
            id: None,
            bp: None,
            args: Map::new(),
        };
        let args = slice.arguments.clone();
        events.push(value(&Event { dur: Some(end - ts), args, ..event("X") })?);
        let arrow = |ph, id| Event { name: "call", cat: Some("call"), id: Some(id), ..event(ph) };
        if let Some(called) = slice.calls {
            events.push(value(&arrow("s", called))?);
        } else if before(index).is_some_and(|caller| caller.calls == Some(index)) {
            events.push(value(&Event { bp: Some("e"), ..arrow("f", index) })?);
        }
    }
    let all = json!({ "displayTimeUnit": "ns", "traceEvents": events });
    serde_json::to_string(&all).map_err(|error| error.to_string())
}

fn value(event: &Event<'_>) -> Result<Value, String> {
    serde_json::to_value(event).map_err(|error| error.to_string())
}

/// Returns the number of a domain's track, which is not 0.
const fn track(domain: usize) -> usize {
    domain.wrapping_add(1)
}

/// Returns the names of the tracks, and their order: callers above those whom they call.
fn tracks(file: &SystemFile) -> Vec<Value> {
    let of = |name: &str, tid: usize, args: Value| {
        let (ph, pid) = ("M", PROCESS);
        json!({ "name": name, "ph": ph, "pid": pid, "tid": tid, "args": args })
    };
    let mut events = vec![of("process_name", 0, json!({ "name": "system" }))];
    for (index, domain) in file.domains.iter().enumerate() {
        let tid = track(index);
        events.push(of("thread_name", tid, json!({ "name": domain.name })));
        events.push(of("thread_sort_index", tid, json!({ "sort_index": domain.priority })));
    }
    events
}
