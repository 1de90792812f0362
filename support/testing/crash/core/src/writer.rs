// SPDX-License-Identifier: BSD-2-Clause
//! The program: changes files as a seed says, has fsserver killed meanwhile, and looks at what is
//! there then.

use alloc::string::String;
use core::fmt;

use block_api::BlockError;
use fsserver_api::Client;
use pmserver_client::{AddressSpace, Pm, Transport};
use proto::{Console, Waiter};

use crate::dice::Dice;
use crate::files::{Files, is_lost};
use crate::history::History;
use crate::marks::{Mark, Marks, Order};
use crate::operation::Operation;

/// How often fsserver may be killed while the program looks at what is there.
const LOOKS_MAX: u32 = 8;

/// Steps of fsserver after which it is killed, at most: a part of a call, some calls, a sync.
const STEPS_MAX: [u64; 3] = [8, 60, 400];

/// Why the test failed.
pub(crate) enum Failure {
    /// pmserver refused something.
    Pm(pmserver_client::Error),
    /// fsserver refused something.
    Fs(fsserver_api::CallError),
    /// The driver refused something.
    Disk(block_api::CallError),
    /// Something is not as it has to be.
    Wrong(&'static str),
    /// Something was found that cannot be.
    Found(String),
}

impl From<pmserver_client::Error> for Failure {
    fn from(error: pmserver_client::Error) -> Self {
        Self::Pm(error)
    }
}

impl From<fsserver_api::CallError> for Failure {
    fn from(error: fsserver_api::CallError) -> Self {
        Self::Fs(error)
    }
}

impl From<block_api::CallError> for Failure {
    fn from(error: block_api::CallError) -> Self {
        Self::Disk(error)
    }
}

impl From<BlockError> for Failure {
    fn from(error: BlockError) -> Self {
        Self::Disk(error.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pm(error) => write!(f, "pmserver: {error}"),
            Self::Fs(error) => write!(f, "fsserver: {error}"),
            Self::Disk(error) => write!(f, "the driver: {error}"),
            Self::Wrong(what) => f.write_str(what),
            Self::Found(what) => f.write_str(what),
        }
    }
}

/// What the program works with.
struct Writer<F: Transport, W: Waiter, A> {
    files: Files<F, W, A>,
    history: History,
    dice: Dice,
    kills_left: u64,
    kills: u64,
}

/// Changes files as the order on the disk says. Prints what it has done, or why it failed; returns
/// whether all is well.
pub fn run<P: Transport, F: Transport, D: Transport, W: Waiter>(
    pm: &Pm<P>,
    fs: Client<F, W>,
    disk: block_api::Client<D>,
    (space, waiter): (impl AddressSpace, impl Waiter),
    console: &mut impl Console,
) -> bool {
    let result = Marks::new(pm, disk, waiter).and_then(|marks| write(pm, fs, marks, space));
    match &result {
        Ok(done) => console.print(format_args!("{done}\n")),
        Err(failure) => console.print(format_args!("FAIL: {failure}\n")),
    }
    result.is_ok()
}

/// What was done.
struct Done {
    order: Order,
    operations: u32,
    kills: u64,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order, operations, kills } = self;
        write!(f, "crash: seed {}, operations {operations}, kills {kills}", order.seed)
    }
}

fn write<P: Transport, F: Transport, D: Transport, W: Waiter>(
    pm: &Pm<P>,
    fs: Client<F, W>,
    mut marks: Marks<D, impl Waiter>,
    space: impl AddressSpace,
) -> Result<Done, Failure> {
    let order = marks.order(&space)?;
    let mut writer = Writer {
        files: Files::new(pm, fs, space)?,
        history: History::new(order.seed),
        dice: Dice::new(!order.seed),
        kills_left: order.kills,
        kills: 0,
    };
    marks.make(&mut writer.files.space, Mark(0))?;
    let mut operations = 0;
    while u64::from(operations) < order.operations && (order.kills == 0 || writer.kills_left > 0) {
        let (number, operation) = writer.history.begin();
        operations = number;
        if writer.step(number, operation)? {
            marks.make(&mut writer.files.space, Mark(number))?;
        }
    }
    // Nothing that is still armed strikes.
    writer.files.arm(u64::MAX)?;
    writer.files.sync()?;
    if writer.kills_left > 0 {
        return Err(Failure::Wrong("fsserver was not killed often enough"));
    }
    writer.files.trim()?;
    Ok(Done { order, operations, kills: writer.kills })
}

impl<F: Transport, W: Waiter, A: AddressSpace> Writer<F, W, A> {
    /// Does an operation. Returns whether it has made something last.
    fn step(&mut self, number: u32, operation: Operation) -> Result<bool, Failure> {
        if self.kills_left > 0 && self.dice.below(4) == 0 {
            self.arm()?;
        }
        let result = self.files.perform(number, operation);
        if self.files.is_same()? {
            result?;
            self.history.end(operation);
            return Ok(matches!(operation, Operation::Sync | Operation::SyncFile { .. }));
        }
        self.history.may_be_late(number, operation);
        self.look()?;
        Ok(false)
    }

    /// Looks at what is there after a kill.
    fn look(&mut self) -> Result<(), Failure> {
        for _ in 0..LOOKS_MAX {
            self.kills = self.kills.saturating_add(1);
            self.kills_left = self.kills_left.saturating_sub(1);
            // It may be killed while it replays the journal, too.
            if self.kills_left > 0 && self.dice.below(3) == 0 {
                self.arm()?;
            }
            match self.files.look_again().and_then(|()| self.files.lasting()) {
                Ok(found) if self.files.is_same()? => {
                    self.history.check(&found).map_err(Failure::Found)?;
                    self.history.adopt(&found);
                    return Ok(());
                }
                Ok(_) => {}
                Err(Failure::Fs(error)) if is_lost(error.refusal()) => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Wrong("fsserver does not come back"))
    }

    fn arm(&mut self) -> Result<(), Failure> {
        let kind = usize::try_from(self.dice.below(3)).unwrap_or_default();
        let steps = self.dice.below(STEPS_MAX.get(kind).copied().unwrap_or(1));
        self.files.arm(steps)
    }
}
