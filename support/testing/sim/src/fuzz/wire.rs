// SPDX-License-Identifier: BSD-2-Clause
//! Random registers: none may make the server panic, break an invariant, or get an answer that is
//! no reply (PM-2, PM-3).

use std::panic::{AssertUnwindSafe, catch_unwind};

use fastrand::Rng;
use pmserver_api::{Label, Operation, PmError};
use proto::limits::MESSAGE_REGISTERS_MAX;
use proto::{Message, PeerId, ProtocolError};

use super::core_subject::CoreSubject;
use super::shape::Shape;
use super::{Plan, Tally};

const PEERS: u64 = 6;

/// Numbers from replies, most of them handles.
#[derive(Default)]
struct Known(Vec<u64>);

impl Known {
    fn register(&self, rng: &mut Rng) -> u64 {
        match rng.u8(0..20) {
            0 => rng.u64(..),
            1 => u64::MAX - rng.u64(0..4),
            2 => 1 << rng.u8(0..64),
            3..7 => rng.u64(0..40),
            7 | 8 => 0x1000_0000 + 4096 * rng.u64(0..40),
            9..13 => rng.u64(0..9) | rng.u64(0..16) << 16 | rng.u64(0..3) << 32,
            13 => rng.u64(0..9) | rng.u64(0..8) << 16 | 100_000 << 32,
            _ => rng.choice(&self.0).copied().unwrap_or_default(),
        }
    }
}

fn label(rng: &mut Rng) -> u64 {
    // 0 and the number after the last are no operations.
    let number = rng.u64(0..=Operation::ALL.len() as u64 + 1);
    // Some operations have a count or flags above their number; others must refuse them.
    let has_more = operation(number).is_some_and(|operation| operation.label() != Label::Bare);
    let more = has_more || rng.u8(0..20) == 0;
    let (count, flags) = if more { (rng.u64(0..9), rng.u64(0..17)) } else { (0, 0) };
    number | count << 16 | flags << 32 | u64::from(rng.u8(0..60) == 0) << rng.u8(16..64)
}

fn operation(label: u64) -> Option<Operation> {
    u16::try_from(label & 0xFFFF).ok().and_then(Operation::from_number)
}

/// Returns how many registers an operation takes, or any number.
fn length(rng: &mut Rng, label: u64) -> usize {
    let usual = operation(label).map(|operation| {
        let registers = operation.registers();
        registers.request.len() + 2 * registers.list.len()
    });
    match rng.u8(0..20) {
        0 => rng.usize(0..=MESSAGE_REGISTERS_MAX),
        _ => usual.unwrap_or_default(),
    }
}

/// Returns what is wrong with the form of a reply.
fn form(reply: &Message) -> Result<(), String> {
    let count = reply.registers().len();
    let is_refusal = PmError::from_status(reply.label()).is_some();
    let is_misuse = ProtocolError::from_status(reply.label())
        .is_some_and(|error| error != ProtocolError::BadReply);
    match (reply.label(), count) {
        (0, _) => Ok(()),
        (_, 2) if is_refusal => Ok(()),
        (_, 0) if is_misuse => Ok(()),
        _ => Err(format!("the reply is {reply:?}")),
    }
}

/// Sends messages of a seed, one for each operation of the plan.
pub(super) fn wire(plan: &Plan) -> Result<Tally, String> {
    let mut rng = Rng::with_seed(plan.seed);
    let mut subject = CoreSubject::new(Shape::of(plan.seed));
    let mut known = Known::default();
    for step in 0..plan.operations {
        let caller = PeerId::new(rng.u64(1..PEERS)).expect("a number of a peer");
        let label = label(&mut rng);
        let length = length(&mut rng, label);
        let registers: Vec<u64> = (0..length).map(|_| known.register(&mut rng)).collect();
        let request = Message::from_wire(label, &registers).expect("no more registers than fit");
        let server = subject.server_mut();
        if rng.u8(0..10) == 0 {
            server.kernel().clock().advance(rng.u64(0..400_000));
        }
        let at = |what: String| {
            format!(
                "sim fuzz wire {:#x} --operations {} : step {step}: peer {caller} {label:#x} \
                 {registers:x?}: {what}",
                plan.seed,
                step + 1
            )
        };
        let replied = catch_unwind(AssertUnwindSafe(|| server.call(caller, &request)));
        let reply = replied.map_err(|_| at("the server panics".to_owned()))?;
        if plan.echo {
            println!("{step:>6} peer {caller} {label:#x} {registers:x?} -> {reply:x?}");
        }
        form(&reply).map_err(at)?;
        server.check_invariants().map_err(|broken| at(format!("invariant broken: {broken}")))?;
        if reply.label() == 0 {
            known.0.extend(reply.registers().iter().filter(|number| **number > 0x1000));
        }
    }
    Ok(Tally::default())
}
