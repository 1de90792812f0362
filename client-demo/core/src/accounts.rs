// SPDX-License-Identifier: BSD-2-Clause
//! The accounts of the client, of fsserver and of the pool, before and after.

use pmserver_client::{AccountInfo, PeerId, Pm, Transport};
use proto::Console;

use crate::error::DemoError;
use crate::line::print;

const CLIENT: &str = "client-demo";
const FSSERVER: &str = "fsserver";
const PMSERVER: &str = "pmserver";

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

    /// Fails unless all three are equal to the byte.
    ///
    /// # Errors
    /// [`DemoError::Account`] with the first that is not.
    pub fn check_unchanged(&self, after: &Self) -> Result<(), DemoError> {
        for (name, before, after) in [
            (CLIENT, &self.client, &after.client),
            (FSSERVER, &self.fsserver, &after.fsserver),
            (PMSERVER, &self.pool, &after.pool),
        ] {
            if before != after {
                return Err(DemoError::Account(name));
            }
        }
        Ok(())
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
    use pmserver_client::ByteCount;

    use super::*;

    #[test]
    fn one_byte_more_or_less_is_told() {
        let info = AccountInfo { used: ByteCount::new(4096), ..AccountInfo::default() };
        let before = Accounts { client: info, fsserver: info, pool: info };
        assert_eq!(before.check_unchanged(&before), Ok(()));
        let other = AccountInfo { tables: ByteCount::new(1), ..info };
        let after = Accounts { fsserver: other, ..before };
        assert_eq!(before.check_unchanged(&after), Err(DemoError::Account(FSSERVER)));
        let less = AccountInfo { free: ByteCount::new(1), ..info };
        let after = Accounts { pool: less, ..before };
        assert_eq!(before.check_unchanged(&after), Err(DemoError::Account(PMSERVER)));
    }
}
