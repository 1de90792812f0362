// SPDX-License-Identifier: BSD-2-Clause
//! What the protocol lets a server answer to one request.

use std::ops::RangeInclusive;

use pmserver_api::{AccountInfo, Failure, FrameState, PmError, Reply};
use proto::Micros;

use super::doubt::Doubt;

/// What a server answered.
pub type Answer = Result<Reply, Failure>;

/// What the protocol lets a server answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This and nothing else.
    Exactly(Answer),
    /// This error, with numbers in these ranges.
    Refused {
        /// The error.
        error: PmError,
        /// How many frames may have been done.
        done: RangeInclusive<u64>,
        /// The frame number, address or deadline that it may name.
        at: RangeInclusive<u64>,
    },
    /// A number in this range.
    Number(RangeInclusive<u64>),
    /// A time in this range.
    Time(RangeInclusive<u64>),
    /// One state a frame.
    States(Vec<StateBounds>),
    /// Counts of an account.
    Counts(CountBounds),
    /// Any of these.
    OneOf(Vec<Self>),
}

/// The bits that are set in a frame's state, and those that may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateBounds {
    /// Set.
    pub surely: FrameState,
    /// Set or possibly set.
    pub perhaps: FrameState,
}

/// What an account's counts have to be, in pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountBounds {
    /// The limit.
    pub limit: u64,
    /// What is promised; unknown while an account below is being destroyed.
    pub promised: Option<u64>,
    /// Virtual frames within limits and above them together.
    pub frames: RangeInclusive<u64>,
    /// The extra ones among them.
    pub extra: RangeInclusive<u64>,
    /// Pages of the pool, if it is the pool's account.
    pub pool: Option<u64>,
}

impl Expected {
    /// Returns the expectation of a success without values.
    pub(crate) const fn done() -> Self {
        Self::Exactly(Ok(Reply::Done))
    }

    /// Returns the expectation of exactly this error.
    pub(crate) const fn refused(error: PmError, done: u64, at: u64) -> Self {
        Self::Exactly(Err(Failure { error, done, at }))
    }

    /// Whether a server may answer this.
    #[must_use]
    pub fn allows(&self, answer: &Answer) -> bool {
        match (self, answer) {
            (Self::Exactly(expected), _) => expected == answer,
            (Self::Refused { error, done, at }, Err(failure)) => {
                *error == failure.error && done.contains(&failure.done) && at.contains(&failure.at)
            }
            (Self::Number(range), Ok(Reply::Number(number))) => range.contains(number),
            (Self::Time(range), Ok(Reply::Time(time))) => range.contains(&time.get()),
            (Self::States(bounds), Ok(Reply::Status(status))) => {
                u64::try_from(bounds.len()) == Ok(status.count)
                    && bounds.iter().zip(&status.frames).all(|(bound, state)| bound.allow(*state))
            }
            (Self::Counts(bounds), Ok(Reply::AccountInfo(info))) => bounds.allow(info),
            (Self::OneOf(all), _) => all.iter().any(|expected| expected.allows(answer)),
            _ => false,
        }
    }

    /// Whether the operation succeeds and does something, as far as that is known.
    #[must_use]
    pub fn is_success(&self) -> bool {
        match self {
            Self::Exactly(Ok(Reply::Number(0) | Reply::Fault(None))) => false,
            Self::Exactly(answer) => answer.is_ok(),
            Self::Refused { .. } => false,
            Self::OneOf(all) => all.first().is_some_and(Self::is_success),
            Self::Number(range) => *range.end() > 0,
            Self::Time(_) | Self::States(_) | Self::Counts(_) => true,
        }
    }

    /// Returns one of the answers that are allowed.
    ///
    /// # Panics
    /// If the model expects bounds of which only a server knows the exact values.
    pub fn answer(self) -> Answer {
        match self {
            Self::Exactly(answer) => answer,
            Self::Refused { error, done, at } => {
                Err(Failure { error, done: *done.start(), at: *at.start() })
            }
            Self::Number(range) => Ok(Reply::Number(*range.start())),
            Self::Time(range) => Ok(Reply::Time(Micros::new(*range.start()))),
            Self::OneOf(all) => all.into_iter().next().expect("there is an answer").answer(),
            Self::States(_) | Self::Counts(_) => panic!("only a server knows {self:?}"),
        }
    }
}

impl From<PmError> for Expected {
    fn from(error: PmError) -> Self {
        Self::refused(error, 0, 0)
    }
}

impl StateBounds {
    pub(crate) fn set(&mut self, bit: FrameState, is_set: impl Into<Doubt>) {
        let doubt = is_set.into();
        self.surely.set(bit, doubt.surely());
        self.perhaps.set(bit, doubt.perhaps());
    }

    fn allow(&self, state: FrameState) -> bool {
        state.contains(self.surely) && self.perhaps.contains(state)
    }
}

impl CountBounds {
    fn allow(&self, info: &AccountInfo) -> bool {
        let pages = |bytes: proto::ByteCount| bytes.get() / proto::PAGE_BYTES;
        let kinds = [info.frames, info.tables, info.slots, info.records].map(pages);
        let used = pages(info.used);
        let (frames, extra, free) = (pages(info.frames), pages(info.extra), pages(info.free));
        pages(info.limit) == self.limit
            && self.promised.is_none_or(|promised| promised == pages(info.promised))
            && self.frames.contains(&(frames + extra))
            && self.extra.contains(&extra)
            && used == kinds.iter().sum::<u64>()
            && self.pool.map_or(free == 0, |pool| used + extra + free == pool)
    }
}
