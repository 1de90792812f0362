// SPDX-License-Identifier: BSD-2-Clause
//! The states of a range of frames, one after the other.

use pmserver_api::{FrameState, Status};
use proto::Transport;
use proto::limits::CALL_FRAMES_MAX;

use super::container_ref::ContainerRef;
use crate::terms::{Error, Operation, Span};

/// Iterates over a range, and asks for as many states at a time as one reply carries.
pub(crate) struct States<'pm, T: Transport> {
    container: ContainerRef<'pm, T>,
    /// The range; nothing after an error.
    span: Result<Option<Span>, Error>,
    /// How many states were returned.
    done: u64,
    /// The last reply, and how many states of it were returned.
    reply: Option<(Status, u64)>,
}

impl<'pm, T: Transport> States<'pm, T> {
    pub(crate) fn new(container: ContainerRef<'pm, T>, span: Result<Span, Error>) -> Self {
        Self { container, span: span.map(Some), done: 0, reply: None }
    }

    /// Returns the next state of the last reply.
    fn told(&mut self) -> Option<FrameState> {
        let (status, told) = self.reply.as_mut()?;
        let state = status.frames.get(usize::try_from(*told).ok()?).copied();
        let state = state.filter(|_| *told < status.count)?;
        *told = told.saturating_add(1);
        Some(state)
    }

    /// Returns the next state and its number; nothing at the end of the range.
    fn advance(&mut self, span: Span) -> Result<Option<(u64, FrameState)>, Error> {
        let Some((start, count)) = span.piece(self.done, CALL_FRAMES_MAX) else { return Ok(None) };
        let state = match self.told() {
            Some(state) => state,
            None => {
                let container = self.container;
                let status = container.pm.call(Operation::Status, |calls| {
                    calls.status(container.handle, start, count)
                })?;
                self.reply = Some((status, 0));
                self.told().ok_or(Error::no_progress(Operation::Status))?
            }
        };
        self.done = self.done.saturating_add(1);
        Ok(Some((start.get(), state)))
    }
}

impl<T: Transport> Iterator for States<'_, T> {
    type Item = Result<(u64, FrameState), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match self.span {
            Ok(span) => self.advance(span?),
            Err(error) => Err(error),
        };
        if next.is_err() {
            self.span = Ok(None);
        }
        next.transpose()
    }
}
