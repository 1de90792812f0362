// SPDX-License-Identifier: BSD-2-Clause
//! A thread that performs the loads and stores of the list, so that a fault stops this thread and
//! not the list.
//!
//! It runs two instructions: the access, and one that always raises an exception. Its fault
//! handler, the first thread, learns which of the two stopped it. The probe has no stack, no IPC
//! buffer and no memory of its own, so no Rust invariant depends on it.
#![allow(unsafe_code)] // Two symbols of assembly, of which only the addresses are used.

use core::arch::global_asm;

use sel4::init_thread::{Slot, slot};
use sel4::{CNodeCapData, Fault, ObjectBlueprint, Result, UserContext, Word, cap};

use crate::types::loaded;

/// Slots that the probe needs.
pub(crate) const SLOTS: usize = 4;
const SCHED_CONTEXT_SIZE_BITS: usize = 7;
const PRIORITY: Word = 254;
/// Also the period, so that the probe can run without a pause; the first thread waits for it.
const BUDGET_MICROSECONDS: u64 = 10_000;

#[cfg(target_arch = "x86_64")]
global_asm!(
    "ktest_probe_load: movzx eax, byte ptr [rdi]",
    "ud2",
    "ktest_probe_store: mov byte ptr [rdi], sil",
    "ud2",
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    "ktest_probe_load: ldrb w0, [x0]",
    "udf #0",
    "ktest_probe_store: strb w1, [x0]",
    "udf #0",
);

unsafe extern "C" {
    static ktest_probe_load: u8;
    static ktest_probe_store: u8;
}

/// The thread, and the endpoint that receives its faults.
pub(crate) struct Probe {
    tcb: cap::Tcb,
    endpoint: cap::Endpoint,
    reply: cap::Reply,
}

/// The result of an access.
pub(crate) enum Access {
    /// It succeeded. After a load, this is the byte; after a store, it has no meaning.
    Done(u8),
    /// The address space does not allow it.
    Fault,
    /// Something else stopped the probe.
    Unknown,
}

impl Probe {
    /// Creates the thread and the objects that it needs, in the slots from `first_slot` on. The
    /// thread runs only to perform an access.
    pub(crate) fn start(
        memory: cap::Untyped,
        sched_control: cap::SchedControl,
        first_slot: usize,
    ) -> Result<Self> {
        let root = slot::CNODE.cap();
        let size_bits = SCHED_CONTEXT_SIZE_BITS;
        let mut slots = [first_slot; SLOTS];
        for ((blueprint, number), slot) in [
            ObjectBlueprint::Tcb,
            ObjectBlueprint::Endpoint,
            ObjectBlueprint::Reply,
            ObjectBlueprint::SchedContext { size_bits },
        ]
        .into_iter()
        .zip(first_slot..)
        .zip(&mut slots)
        {
            memory.untyped_retype(&blueprint, &root.absolute_cptr_for_self(), number, 1)?;
            *slot = number;
        }
        let [tcb, endpoint, reply, sched_context] = slots.map(Slot::from_index);
        let probe = Self {
            tcb: tcb.downcast().cap(),
            endpoint: endpoint.downcast().cap(),
            reply: reply.downcast().cap(),
        };
        let sched_context: cap::SchedContext = sched_context.downcast().cap();
        let (budget, period) = (BUDGET_MICROSECONDS, BUDGET_MICROSECONDS);
        sched_control.sched_control_configure_flags(sched_context, budget, period, 0, 0, 0)?;
        probe.tcb.tcb_set_space(
            probe.endpoint.cptr(),
            root,
            CNodeCapData::new(0, 0),
            slot::VSPACE.cap(),
        )?;
        probe.tcb.tcb_set_sched_params(
            slot::TCB.cap(),
            PRIORITY,
            PRIORITY,
            sched_context,
            probe.endpoint,
        )?;
        Ok(probe)
    }

    /// Loads a byte.
    pub(crate) fn load(&self, vaddr: u64) -> Access {
        self.run((&raw const ktest_probe_load).addr(), vaddr, 0)
    }

    /// Stores a byte.
    pub(crate) fn store(&self, vaddr: u64, byte: u8) -> Access {
        self.run((&raw const ktest_probe_store).addr(), vaddr, byte.into())
    }

    fn run(&self, program: usize, vaddr: u64, byte: u64) -> Access {
        let Ok(pc) = Word::try_from(program) else { return Access::Unknown };
        let mut registers = UserContext::default();
        *registers.pc_mut() = pc;
        *registers.c_param_mut(0) = vaddr;
        *registers.c_param_mut(1) = byte;
        if self.tcb.tcb_write_all_registers(true, &mut registers).is_err() {
            return Access::Unknown;
        }
        let (info, _) = self.endpoint.recv(self.reply);
        match sel4::with_ipc_buffer(|buffer| Fault::new(buffer, &info)) {
            Fault::VmFault(fault) if fault.inner().get_Addr() == vaddr => Access::Fault,
            Fault::UserException(_) => match self.tcb.tcb_read_all_registers(false) {
                Ok(registers) => Access::Done(loaded(&registers)),
                Err(_) => Access::Unknown,
            },
            _ => Access::Unknown,
        }
    }
}
