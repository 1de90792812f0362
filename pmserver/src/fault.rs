// SPDX-License-Identifier: BSD-2-Clause
//! Reads the kernel's message about a fault of a child.

use pd::Woken;
use pmserver_api::AccessKind;
use pmserver_core::Fault;
use sel4::sys::seL4_Fault_tag::seL4_Fault_VMFault;
use sel4_microkit::with_msg_regs;

/// Reads a fault message. Call it before anything is printed: printing overwrites the message
/// registers. The library's own reader panics on a kind of fault that it does not know, and a child
/// can cause any kind.
pub(crate) fn fault_of(message: &Woken) -> Fault {
    with_msg_regs(|registers| match *registers {
        [ip, address, is_fetch, status, ..]
            if message.label() == seL4_Fault_VMFault && is_curable(status) =>
        {
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

/// Returns whether a mapping can cure it: not where a bit is set that is reserved (Intel SDM,
/// "Page-Fault Exception"). Alignment has an exception of its own.
#[cfg(target_arch = "x86_64")]
const fn is_curable(error_code: u64) -> bool {
    error_code & 1 << 3 == 0
}

/// Returns whether a mapping can cure it: a translation, access flag or permission fault, and not
/// alignment or an external abort (Arm ARM, "ESR_EL2", "DFSC").
#[cfg(target_arch = "aarch64")]
const fn is_curable(syndrome: u64) -> bool {
    matches!(syndrome & 0x3F, 0x04..=0x0F)
}

/// Returns bit 1 of the error code, "write" (Intel SDM, "Page-Fault Exception").
#[cfg(target_arch = "x86_64")]
const fn is_store(error_code: u64) -> bool {
    error_code & 1 << 1 != 0
}

/// Returns whether a data abort came from a store: bit WnR is set, and it was no cache maintenance,
/// which sets WnR too (Arm ARM, "ESR_EL2", "ISS encoding for an exception from a Data Abort").
#[cfg(target_arch = "aarch64")]
const fn is_store(syndrome: u64) -> bool {
    const WRITE: u64 = 1 << 6;
    const CACHE_MAINTENANCE: u64 = 1 << 8;
    syndrome & (WRITE | CACHE_MAINTENANCE) == WRITE
}
