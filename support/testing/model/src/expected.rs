// SPDX-License-Identifier: BSD-2-Clause
//! What the model accepts as a reply, and what it takes from the reply that there was.

use std::ops::RangeInclusive;

use pmserver_api::{AccountInfo, Failure, FrameState, PmError, Reply};
use proto::Micros;

/// What a server answered.
pub type Answer = Result<Reply, Failure>;

/// What the protocol lets a server answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This and nothing else.
    Exactly(Answer),
    /// This error, with numbers in these ranges.
    Refused {
        /// Which.
        error: PmError,
        /// How many frames may have been done.
        done: RangeInclusive<u64>,
        /// What it may speak of.
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

/// The bits that a frame's state has, and those that it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateBounds {
    /// These are set.
    pub surely: FrameState,
    /// These may be set, the sure ones among them.
    pub perhaps: FrameState,
}

/// What an account's counts have to be, in pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountBounds {
    /// The limit.
    pub limit: u64,
    /// What is promised; nothing where the protocol does not say it.
    pub promised: Option<u64>,
    /// Virtual frames within limits and above them together.
    pub frames: RangeInclusive<u64>,
    /// Those above.
    pub extra: RangeInclusive<u64>,
    /// Pages of the pool, where the account is the pool's.
    pub pool: Option<u64>,
}

impl Expected {
    /// Returns what expects success with nothing to tell.
    pub(crate) const fn done() -> Self {
        Self::Exactly(Ok(Reply::Done))
    }

    /// Returns what expects an error that speaks of something after some frames.
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

    /// Returns one of the answers that are allowed, where the model made the rest of the decisions.
    ///
    /// # Panics
    /// Where only a server can make them.
    pub fn answer(self) -> Answer {
        match self {
            Self::Exactly(answer) => answer,
            Self::Refused { error, done, at } => {
                Err(Failure { error, done: *done.start(), at: *at.start() })
            }
            Self::Number(range) => Ok(Reply::Number(*range.start())),
            Self::Time(range) => Ok(Reply::Time(Micros::new(*range.start()))),
            Self::OneOf(all) => all.into_iter().next().expect("there is an answer").answer(),
            Self::States(_) | Self::Counts(_) => panic!("the model decides about {self:?}"),
        }
    }
}

impl From<PmError> for Expected {
    fn from(error: PmError) -> Self {
        Self::refused(error, 0, 0)
    }
}

impl StateBounds {
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

/// What the protocol leaves to the server, as its answer shows it: the numbers of handles,
/// deadlines, where an account was short. Without an answer the model decides for itself.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a>(pub(crate) Option<&'a Answer>);

impl<'a> Seen<'a> {
    pub(crate) fn reply(self) -> Option<&'a Reply> {
        self.0.and_then(|answer| answer.as_ref().ok())
    }

    pub(crate) fn failure(self) -> Option<Failure> {
        self.0.and_then(|answer| answer.as_ref().err().copied())
    }

    /// Returns which of several outcomes there was; the first where none of them was.
    pub(crate) fn which(self, outcomes: &[Expected]) -> usize {
        let position = |answer| outcomes.iter().position(|expected| expected.allows(answer));
        self.0.and_then(position).unwrap_or(0)
    }

    /// Returns the deadline that was granted, if it lies where it may; else the earliest.
    pub(crate) fn deadline(self, range: &RangeInclusive<u64>) -> Micros {
        let seen = match self.reply() {
            Some(Reply::Lease(lease)) => Some(lease.deadline.get()),
            Some(Reply::Pinned(pinned)) => Some(pinned.lease.deadline.get()),
            Some(Reply::Time(time)) => Some(time.get()),
            _ => None,
        };
        Micros::new(seen.filter(|time| range.contains(time)).unwrap_or(*range.start()))
    }
}
