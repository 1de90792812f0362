// SPDX-License-Identifier: BSD-2-Clause
//! The rows of pmserver's books, one after the other.

use core::marker::PhantomData;

use pmserver_api::{BookRow, Parts, Row};
use proto::Transport;

use crate::connection::Pm;
use crate::terms::{Error, Operation};

/// More calls than it takes to look at all records of the largest pool, and none is a row.
const CALLS_MAX: u32 = 1 << 20;

/// Iterates over a book. It ends after an error.
///
/// What is made or ends meanwhile may be told or not; each row is whole.
pub struct Rows<'pm, T: Transport, R: BookRow> {
    pm: &'pm Pm<T>,
    /// Where the next row is looked for; nothing at the end.
    cursor: Option<u64>,
    row: PhantomData<fn() -> R>,
}

impl<T: Transport> Pm<T> {
    /// Returns all rows of a book (operation 54, inspect; PM-470).
    ///
    /// ```
    /// # let testbed = sim::testbed::Testbed::new();
    /// use pmserver_client::{ContainerRow, Pm};
    ///
    /// let pm = Pm::new(testbed.channel(1));
    /// let container = pm.account().create_container()?;
    /// container.allocate(0..5)?;
    /// for row in pm.rows::<ContainerRow>() {
    ///     assert_eq!(row?.frames, 5);
    /// }
    /// # Ok::<(), pmserver_client::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the rows: `NoRight` unless the system file gives the caller the privilege
    /// `inspect`.
    pub const fn rows<R: BookRow>(&self) -> Rows<'_, T, R> {
        self.rows_from(0)
    }

    /// Returns the rows of a book from a cursor on.
    ///
    /// # Errors
    /// As [`Pm::rows`], and `Invalid` for a cursor behind the end of the book.
    pub const fn rows_from<R: BookRow>(&self, cursor: u64) -> Rows<'_, T, R> {
        Rows { pm: self, cursor: Some(cursor), row: PhantomData }
    }
}

impl<T: Transport, R: BookRow> Rows<'_, T, R> {
    fn part(&self, cursor: u64, part: u8) -> Result<Row, Error> {
        self.pm.call(Operation::Inspect, |calls| calls.inspect(R::BOOK, cursor, part))
    }

    /// Returns the parts of the first row behind a cursor and the cursor behind it; nothing if it
    /// was another one at a later call.
    fn parts(&self, cursor: u64, first: Row) -> Result<Option<Parts>, Error> {
        let mut parts = Parts::default();
        for (place, part) in parts.iter_mut().zip(0..R::BOOK.parts()) {
            let row = if part == 0 { first } else { self.part(cursor, part)? };
            if row.cursor != first.cursor || !row.is_there() {
                return Ok(None);
            }
            *place = row.words;
        }
        Ok(Some(parts))
    }

    fn advance(&mut self) -> Result<Option<R>, Error> {
        for _ in 0..CALLS_MAX {
            let Some(cursor) = self.cursor else { return Ok(None) };
            let first = self.part(cursor, 0)?;
            if first.is_there() {
                let Some(parts) = self.parts(cursor, first)? else { continue };
                self.cursor = Some(first.cursor);
                let row = R::from_parts(first.cursor, &parts);
                return row.map(Some).ok_or(Error::no_progress(Operation::Inspect));
            }
            self.cursor = Some(first.cursor).filter(|cursor| *cursor != 0);
        }
        Err(Error::no_progress(Operation::Inspect))
    }
}

impl<T: Transport, R: BookRow> Iterator for Rows<'_, T, R> {
    type Item = Result<R, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.cursor = None;
        }
        next.transpose()
    }
}
