// SPDX-License-Identifier: BSD-2-Clause
//! The accounts of the client, of fsserver and of the pool, before and after.

use pmserver_client::{AccountInfo, ByteCount, PeerId, Pm, Transport};
use proto::Console;

use crate::error::DemoError;
use crate::line::print;

const CLIENT: &str = "client-demo";
const FSSERVER: &str = "fsserver";
const PMSERVER: &str = "pmserver";

/// Bytes of a piece: 64 pages.
const PIECE_BYTES: u64 = 64 * 4096;

/// The accounts at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accounts {
    client: AccountInfo,
    fsserver: AccountInfo,
    pool: AccountInfo,
}

impl Accounts {
    /// Reads all three: the client's own account, fsserver's, and that of the pool, which counts
    /// all memory that pmserver has handed out.
    ///
    /// # Errors
    /// What pmserver refuses: others' accounts take the privilege to read them.
    pub fn read<P: Transport>(pm: &Pm<P>, fsserver: PeerId) -> Result<Self, DemoError> {
        Ok(Self {
            client: pm.account().info()?,
            fsserver: pm.account_of(fsserver).info()?,
            pool: pm.pool().info()?,
        })
    }

    /// Prints all three.
    pub(crate) fn print(&self, console: &mut impl Console) -> Result<(), DemoError> {
        print_account(console, CLIENT, &self.client)?;
        print_account(console, FSSERVER, &self.fsserver)?;
        print_account(console, PMSERVER, &self.pool)?;
        print(console, format_args!("free: {}", self.pool.free))
    }

    /// Fails unless all three are equal to the byte; that of the pool but for whole pieces, for
    /// which it is charged as long as one of their frames is in use: those may have been moved
    /// (PM-451).
    ///
    /// # Errors
    /// [`DemoError::Account`] with the first that is not.
    pub fn check_unchanged(&self, after: &Self) -> Result<(), DemoError> {
        for (name, before, after) in [
            (CLIENT, self.client, after.client),
            (FSSERVER, self.fsserver, after.fsserver),
            (PMSERVER, self.pool, without_pieces(&self.pool, &after.pool)),
        ] {
            if before != after {
                return Err(DemoError::Account(name));
            }
        }
        Ok(())
    }
}

/// Returns an account of the pool with as many records for pieces as there were before.
fn without_pieces(before: &AccountInfo, after: &AccountInfo) -> AccountInfo {
    let (was, is) = (before.records.get(), after.records.get());
    if !was.abs_diff(is).is_multiple_of(PIECE_BYTES) {
        return *after;
    }
    let as_before = |count: ByteCount, more: u64, less: u64| {
        ByteCount::new(count.get().saturating_add(more).saturating_sub(less))
    };
    AccountInfo {
        records: before.records,
        used: as_before(after.used, was, is),
        free: as_before(after.free, is, was),
        ..*after
    }
}

fn print_account(
    console: &mut impl Console,
    name: &str,
    info: &AccountInfo,
) -> Result<(), DemoError> {
    let AccountInfo { limit, used, frames, tables, slots, records, .. } = info;
    print(
        console,
        format_args!(
            "account {name}: limit {limit}, used {used}: frames {frames}, tables {tables}, \
             slots {slots}, records {records}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_more_or_less_is_told() {
        let info = AccountInfo { used: ByteCount::new(4096), ..AccountInfo::default() };
        let before = Accounts { client: info, fsserver: info, pool: info };
        assert_eq!(before.check_unchanged(&before), Ok(()));
        let other = AccountInfo { tables: ByteCount::new(1), ..info };
        let after = Accounts { fsserver: other, ..before };
        assert_eq!(before.check_unchanged(&after), Err(DemoError::Account(FSSERVER)));
        let piece = ByteCount::new(PIECE_BYTES);
        let (used, free) = (ByteCount::new(4096 + PIECE_BYTES), ByteCount::new(0));
        let moved = AccountInfo { records: piece, used, free, ..info };
        let begun = Accounts { pool: AccountInfo { free: piece, ..info }, ..before };
        assert_eq!(begun.check_unchanged(&Accounts { pool: moved, ..before }), Ok(()));
        let lost = AccountInfo { used: ByteCount::new(8192 + PIECE_BYTES), ..moved };
        let lost = begun.check_unchanged(&Accounts { pool: lost, ..before });
        assert_eq!(lost, Err(DemoError::Account(PMSERVER)));
        let less = AccountInfo { free: ByteCount::new(1), ..info };
        let after = Accounts { pool: less, ..before };
        assert_eq!(before.check_unchanged(&after), Err(DemoError::Account(PMSERVER)));
    }
}
