// SPDX-License-Identifier: BSD-2-Clause
//! The twin of the client in C: the same calls, and the same transcript, line by line.
//!
//! It runs in the simulator, and its transcript is what the boards print, where the program is the
//! one in C.
#![no_std]
#![forbid(unsafe_code)]

mod files;
mod memory;
mod step;

use core::fmt;

use fsserver_api::Client;
use pmserver_api::{AccountHandle, AccountInfo, CallError, Calls, PROTOCOL_VERSION};
use proto::{AddressSpace, Console, Transport, VirtAddr, Waiter};

use crate::step::Twin;

/// The pages that are looked at.
pub(crate) const WINDOW: VirtAddr = VirtAddr::new_page(0x1030_0000).unwrap();
pub(crate) const SECOND_WINDOW: VirtAddr = VirtAddr::new_page(0x1050_0000).unwrap();

/// What is written to memory and to a file.
pub(crate) const TEXT: &[u8] = b"written by a client\n";

/// Why the twin stopped: a step failed that others need.
pub(crate) struct Stopped;

impl From<CallError> for Stopped {
    fn from(_: CallError) -> Self {
        Self
    }
}

impl From<fsserver_api::CallError> for Stopped {
    fn from(_: fsserver_api::CallError) -> Self {
        Self
    }
}

impl From<fmt::Error> for Stopped {
    fn from(_: fmt::Error) -> Self {
        Self
    }
}

/// Runs all steps. Returns whether all is well.
pub fn run<P: Transport, F: Transport, W: Waiter>(
    pm: P,
    fs: Client<F, W>,
    space: impl AddressSpace,
    console: &mut impl Console,
) -> bool {
    let mut twin = Twin { pm: Calls::new(pm), fs, space, console, is_well: true };
    let is_back = steps(&mut twin).unwrap_or(false);
    let is_well = twin.is_well && is_back;
    let last = if is_well { "PASS\n" } else { "FAIL: something is not as it was\n" };
    console.write(last.as_bytes());
    is_well
}

/// Returns whether the account is where it was.
fn steps<P: Transport, F: Transport, W: Waiter, A: AddressSpace, C: Console>(
    twin: &mut Twin<'_, P, F, W, A, C>,
) -> Result<bool, Stopped> {
    let version = twin.pm.version();
    twin.step("version", &version.as_ref().map(|_| 0))?;
    let me = twin.pm.whoami();
    twin.step("whoami", &me.map(|_| 0))?;
    let identity = twin.fs.version();
    let is_known = u64::from(version? == PROTOCOL_VERSION);
    twin.file_step("version", &identity.as_ref().map(|_| is_known))?;
    let before = account_info(twin)?;
    let container = twin.pm.container_create(AccountHandle::OWN);
    twin.step("container_create", &container.as_ref().map(|_| 0))?;
    let container = container?;
    memory::memory(twin, container)?;
    memory::accounts(twin)?;
    files::files(twin, container, identity?.peer)?;
    let destroyed = twin.pm.container_destroy(container);
    twin.step("container_destroy", &destroyed.map(|()| 0))?;
    Ok(account_info(twin)? == before)
}

fn account_info<P: Transport, F: Transport, W: Waiter, A: AddressSpace, C: Console>(
    twin: &mut Twin<'_, P, F, W, A, C>,
) -> Result<AccountInfo, Stopped> {
    let info = twin.pm.account_info(AccountHandle::OWN);
    twin.step("account_info", &info.as_ref().map(|_| 0))?;
    Ok(info?)
}
