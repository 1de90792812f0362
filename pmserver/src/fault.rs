// SPDX-License-Identifier: BSD-2-Clause
//! What the kernel says of a child's fault.

use pmserver_api::AccessKind;
use pmserver_core::Fault;
use sel4::sys::seL4_Fault_tag::seL4_Fault_VMFault;
use sel4_microkit::{MessageInfo, with_msg_regs};

/// Reads the message of a fault; before anything is printed, which goes through the same message
/// registers. The library's own reading panics at kinds that it does not know, and which kind comes
/// is up to the child.
pub(crate) fn fault_of(message: &MessageInfo) -> Fault {
    with_msg_regs(|registers| match *registers {
        [ip, address, is_fetch, status, ..] if message.label() == seL4_Fault_VMFault => {
            let kind = match is_store(status) {
                true => AccessKind::Write,
                // x86-64 kernels do not always say that it was a fetch.
                false if is_fetch != 0 || address == ip => AccessKind::Execute,
                false => AccessKind::Read,
            };
            Fault::Access { address, kind }
        }
        _ => Fault::Other,
    })
}

/// Bit 1 of the error code (Intel SDM, "Page-Fault Exception").
#[cfg(target_arch = "x86_64")]
const fn is_store(error_code: u64) -> bool {
    error_code & 1 << 1 != 0
}

/// WnR of a data abort, which is set for cache maintenance, too: that is none (Arm ARM, "ESR_EL2",
/// "ISS encoding for an exception from a Data Abort").
#[cfg(target_arch = "aarch64")]
const fn is_store(syndrome: u64) -> bool {
    const WRITE: u64 = 1 << 6;
    const CACHE_MAINTENANCE: u64 = 1 << 8;
    syndrome & (WRITE | CACHE_MAINTENANCE) == WRITE
}
