// SPDX-License-Identifier: BSD-2-Clause

//! The code in which a stopped peer goes on (PM-370): it answers every caller with
//! `ProtocolError::Stopped`, for ever.
//!
//! It is part of no program, so that nothing depends on how a peer was built: the image has it in a
//! page that every peer has mapped at the same address, and that nobody can write to. It needs
//! registers alone: no stack, no memory, and nothing of what the peer was doing.
//!
//! ```text
//!   again:  ReplyRecv(INPUT, message info of the answer, REPLY)    the first answers who waits
//!           jump to again
//! ```

use microkit_tool::sel4::Arch;
use proto::ProtocolError;

/// Slots that Microkit fills in every protection domain: the endpoint or notification on which it
/// waits, and the reply object of the caller that it serves.
const INPUT: u8 = 1;
const REPLY: u8 = 4;

/// The message info of an answer without registers.
const fn answer() -> u32 {
    #[expect(clippy::as_conversions, reason = "a constant, and a label of 16 bits")]
    let label = ProtocolError::Stopped.status() as u32;
    label << 12
}

/// Returns the code for an architecture.
pub(crate) fn code(arch: Arch) -> Result<Vec<u8>, String> {
    match arch {
        Arch::X86_64 => Ok(x86_64()),
        Arch::Aarch64 => Ok(aarch64()),
        Arch::Riscv64 => Err("there is no code to answer callers with on RISC-V.".to_owned()),
    }
}

/// libsel4's `x64_sys_send_recv`: syscall number in rdx, destination in rdi, message info in rsi,
/// reply in r12.
fn x86_64() -> Vec<u8> {
    let [a, b, c, d] = answer().to_le_bytes();
    let again: [&[u8]; 6] = [
        &[0x48, 0xC7, 0xC2, 0xFE, 0xFF, 0xFF, 0xFF], // mov rdx, -2 (seL4_SysReplyRecv)
        &[0xBF, INPUT, 0, 0, 0],                     // mov edi, INPUT
        &[0xBE, a, b, c, d],                         // mov esi, answer
        &[0x41, 0xBC, REPLY, 0, 0, 0],               // mov r12d, REPLY
        &[0x0F, 0x05],                               // syscall
        &[0xEB, 0xE5],                               // jmp again (27 bytes back)
    ];
    again.concat()
}

/// libsel4's `arm_sys_send_recv`: syscall number in x7, destination in x0, message info in x1,
/// reply in x6.
fn aarch64() -> Vec<u8> {
    let answer = answer();
    let again: [u32; 7] = [
        0xD280_0000 | u32::from(INPUT) << 5,  // mov x0, INPUT
        0xD280_0001 | (answer & 0xFFFF) << 5, // movz x1, answer, bits 0 to 15
        0xF2A0_0001 | (answer >> 16) << 5,    // movk x1, answer, bits 16 to 31
        0xD280_0006 | u32::from(REPLY) << 5,  // mov x6, REPLY
        0x9280_0027,                          // mov x7, -2 (seL4_SysReplyRecv)
        0xD400_0001,                          // svc 0
        0x17FF_FFFA,                          // b again (6 instructions back)
    ];
    again.iter().flat_map(|instruction| instruction.to_le_bytes()).collect()
}
