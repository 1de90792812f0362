// SPDX-License-Identifier: BSD-2-Clause
//! Access to the IPC buffer after a fault, and to the counter. The only `unsafe` code that all
//! domains share.
#![allow(unsafe_code)]

use core::ptr;
#[cfg(target_arch = "x86_64")]
use core::sync::atomic::AtomicU64;
use core::sync::atomic::{AtomicPtr, Ordering};

use sel4::IpcBuffer;

/// The address of the IPC buffer, for use after a fault: the code that the fault interrupted may
/// hold the platform's handle to it and never returns it.
static IPC_BUFFER: AtomicPtr<IpcBuffer> = AtomicPtr::new(ptr::null_mut());

/// Records the address of the IPC buffer. Called before a recovery can happen.
pub(crate) fn remember_ipc_buffer() {
    IPC_BUFFER.store(sel4::with_ipc_buffer_mut(ptr::from_mut), Ordering::Relaxed);
}

/// Returns the IPC buffer. Called once in each recovery, which accesses it in no other way.
pub(crate) fn recovered_ipc_buffer() -> Option<&'static mut IpcBuffer> {
    let buffer = IPC_BUFFER.load(Ordering::Relaxed);
    // SAFETY: 1. The pointer is null, or the address of the buffer that the platform set up for
    // the domain's whole life. 2. Code that held a reference to it ran before the recovery and
    // never continues (U3 recovery-abandons), so this reference is the only one from now on.
    unsafe { buffer.as_mut() }
}

/// Where a recovery goes on, and the top of its stack: for [`set_stack`].
#[cfg(target_arch = "x86_64")]
static ENTRY: AtomicU64 = AtomicU64::new(0);
#[cfg(target_arch = "x86_64")]
static STACK_TOP: AtomicU64 = AtomicU64::new(0);

/// Returns the address at which a recovery begins, if it is to go on at `entry` with this stack.
///
/// A domain that is rescued while it waits for a request starts with the next one. The kernel's
/// fastpath then clears the stack pointer, as system calls on x86-64 keep it elsewhere.
#[cfg(target_arch = "x86_64")]
pub(crate) fn entry_with_stack(entry: u64, stack_top: u64) -> u64 {
    ENTRY.store(entry, Ordering::Relaxed);
    STACK_TOP.store(stack_top, Ordering::Relaxed);
    // A function has no other way to its address, and addresses are 64 bits wide.
    #[allow(clippy::as_conversions)]
    let address = set_stack as *const () as u64;
    address
}

/// Returns the address at which a recovery begins: the kernel sets the stack pointer.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const fn entry_with_stack(entry: u64, _: u64) -> u64 {
    entry
}

// SAFETY: uses no stack before it has set one, and both values were stored before pmserver learned
// of the entry. What ran on that stack never continues (U3 recovery-abandons).
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn set_stack() -> ! {
    core::arch::naked_asm!(
        "mov rsp, [rip + {top}]",
        "jmp [rip + {entry}]",
        top = sym STACK_TOP,
        entry = sym ENTRY,
    )
}

/// Returns the ticks of the processor's counter and, if the processor says it, how many of them a
/// second has: of the generic timer (Arm ARM, "The Generic Timer in AArch64 state"), or of the time
/// stamp counter, whose frequency cannot be read.
#[must_use]
pub fn counter() -> (u64, Option<u64>) {
    read::<true>()
}

/// Returns the ticks alone: with fewer instructions, some of which before may have yet to end.
#[cfg(feature = "trace")]
#[inline(always)]
pub(crate) fn ticks() -> u64 {
    read::<false>().0
}

/// Reads the counter: all of [`counter`], or in the first instruction that may be, and no more.
#[inline(always)]
fn read<const ALL: bool>() -> (u64, Option<u64>) {
    let (first, second): (u64, u64);
    // SAFETY: reads registers that the kernels of the SDK let user programs read; nothing changes
    // (U6 clock-readable). Without the frequency the second number is any, and is not used.
    unsafe {
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!(
            ".if {all}\nisb\n.endif",
            "mrs {}, cntpct_el0",
            ".if {all}\nmrs {}, cntfrq_el0\n.endif",
            out(reg) first,
            out(reg) second,
            all = const if ALL { 1 } else { 0 },
            options(nomem, nostack)
        );
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("rdtsc", out("rax") first, out("rdx") second, options(nomem, nostack));
    }
    match cfg!(target_arch = "aarch64") {
        true => (first, ALL.then_some(second)),
        false => (second << 32 | first, None),
    }
}
