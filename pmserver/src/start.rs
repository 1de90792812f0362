// SPDX-License-Identifier: BSD-2-Clause
//! Starts the server with the setup that the image contains.

use core::fmt;

use pmserver_core::Server;
use pmserver_core::kernel::KernelError;
use pmserver_setup::{HandedOver, SetupError, decode_with, parts_of};

use crate::capabilities::slots;
use crate::kernel::Sel4Kernel;
use crate::regions;

/// Why pmserver cannot start.
pub(crate) enum StartError {
    /// The image has no setup.
    NoSetup,
    /// The setup is wrong.
    Setup(SetupError),
    /// The kernel refuses what the setup asks for.
    Kernel(KernelError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSetup => write!(f, "no domain of this image has a memory_account"),
            Self::Setup(error) => write!(f, "{error}"),
            Self::Kernel(error) => write!(f, "the kernel refuses the pool: {error:?}"),
        }
    }
}

/// Returns the parts of the pool that the initialiser hands over, if it does.
fn handed_over() -> Result<impl Iterator<Item = HandedOver> + Clone, SetupError> {
    let parts = regions::untyped_list().map(|list| parts_of(&list)).transpose()?;
    Ok(parts.into_iter().flatten())
}

/// Divides the pool and opens the accounts that the setup lists.
pub(crate) fn start() -> Result<Server<Sel4Kernel>, StartError> {
    let page = regions::setup_page().ok_or(StartError::NoSetup)?;
    let handed_over = handed_over().map_err(StartError::Setup)?;
    let parts = handed_over.clone().map(|object| object.part);
    let setup = decode_with(&page, parts).map_err(StartError::Setup)?;
    for object in handed_over {
        slots::take(&object).map_err(StartError::Kernel)?;
    }
    let kernel = Sel4Kernel::boot(&setup).map_err(StartError::Kernel)?;
    let server = Server::new(kernel, setup.peers()).map_err(StartError::Kernel)?;
    Ok(server.with_calls(setup.calls()))
}
