// SPDX-License-Identifier: BSD-2-Clause

//! Answers what programs for aarch64 ask their processor.
//!
//! A program learns from ID registers which instructions there are, but user level may not read
//! them: the kernel makes a fault of it. The board is known when the image is made, so the
//! instruction that reads ID_AA64ISAR0_EL1 is replaced by one that loads the answer. No other ID
//! register has an answer here (decision 0046).
//!
//! ```text
//!   mrs  xN, S3_0_C0_Cm_op     11010101 00111000 0000mmmm oppNNNNN    an ID register
//!   mrs  xN, ID_AA64ISAR0_EL1                      0110 000NNNNN
//!   movz xN, #i, lsl #16       11010010 101iiiii iiiiiiii iiiNNNNN
//! ```

use microkit_tool::elf::{ElfFile, ElfSegmentData};

/// `mrs` of any ID register that user level may not read, and the bits that say so.
const READ_ID: u32 = 0xD538_0000;
const READ_ID_BITS: u32 = 0xFFFF_F000;
/// `mrs` of ID_AA64ISAR0_EL1, for register x0; the last five bits are the register.
const READ_ISAR0: u32 = 0xD538_0600;
const REGISTER_BITS: u32 = 0x1F;
/// `movz x0, #0, lsl #16`.
const LOAD_SHIFTED: u32 = 0xD2A0_0000;
/// The field CRC32 of ID_AA64ISAR0_EL1, bits 16 to 19, in that instruction: the first bit of what
/// it loads.
const CRC32: u32 = 1 << 5;

/// Replaces every read of ID_AA64ISAR0_EL1 in a program by what it says of a processor that has
/// CRC32 instructions or not, and nothing else.
///
/// # Errors
/// A program that reads another ID register.
pub(crate) fn answer(program: &mut ElfFile, has_crc32: bool) -> Result<(), String> {
    for segment in program.segments.iter_mut().filter(|segment| segment.is_executable()) {
        let ElfSegmentData::RealData(bytes) = &mut segment.data else { continue };
        // Instructions are at multiples of four.
        let first = segment.virt_addr.next_multiple_of(4);
        let before = usize::try_from(first.wrapping_sub(segment.virt_addr)).unwrap_or_default();
        let words = bytes.get_mut(before..).unwrap_or_default().as_chunks_mut::<4>().0;
        for (word, address) in words.iter_mut().zip((first..).step_by(4)) {
            let instruction = u32::from_le_bytes(*word);
            if instruction & !REGISTER_BITS == READ_ISAR0 {
                let answer = if has_crc32 { CRC32 } else { 0 };
                *word = (LOAD_SHIFTED | answer | instruction & REGISTER_BITS).to_le_bytes();
            } else if instruction & READ_ID_BITS == READ_ID {
                return Err(format!(
                    "{} reads an ID register at {address:#x}, which user level may not; only \
                     ID_AA64ISAR0_EL1 has an answer",
                    program.path.display()
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `mrs x8, ID_AA64ISAR0_EL1`, `mrs x30, ID_AA64PFR0_EL1`, and two that user level may do:
    /// `mrs x8, CNTVCT_EL0`, `mrs x8, TPIDR_EL0`.
    const ISAR0: u32 = 0xD538_0608;
    const PFR0: u32 = 0xD538_041E;
    const ALLOWED: [u32; 2] = [0xD53B_E048, 0xD53B_D048];
    /// `movz x8, #1, lsl #16`, and the same with 0.
    const PRESENT: u32 = 0xD2A0_0028;
    const ABSENT: u32 = 0xD2A0_0008;

    /// A program with a segment of these instructions, which begins two bytes before the first.
    fn program(instructions: &[u32], is_executable: bool) -> ElfFile {
        let mut elf = ElfFile::new("test.elf".into(), 64, 0x20_0004, 183);
        let code = instructions.iter().flat_map(|instruction| instruction.to_le_bytes());
        let bytes = [0xD5, 0x38].into_iter().chain(code).collect();
        let data = ElfSegmentData::RealData(bytes);
        elf.add_segment(true, false, is_executable, 0x20_0002, data, None);
        elf
    }

    #[test]
    fn the_register_is_answered_wherever_it_is_read() {
        for (has_crc32, answer) in [(true, PRESENT), (false, ABSENT)] {
            let mut elf = program(&[ISAR0, ALLOWED[0], ISAR0 | 1, ALLOWED[1]], true);
            answer_all(&mut elf, has_crc32);
            assert!(elf == program(&[answer, ALLOWED[0], answer | 1, ALLOWED[1]], true));
        }
    }

    #[test]
    fn data_stays_as_it_is() {
        let mut elf = program(&[ISAR0, PFR0], false);
        answer_all(&mut elf, true);
        assert!(elf == program(&[ISAR0, PFR0], false));
    }

    #[test]
    fn another_register_is_refused_with_its_address() {
        // The first and the last of the encodings.
        for other in [0xD538_0000, PFR0, 0xD538_0FFF] {
            let refusal = answer(&mut program(&[ISAR0, other], true), true).unwrap_err();
            assert!(refusal.starts_with("test.elf reads an ID register at 0x200008,"), "{refusal}");
        }
    }

    fn answer_all(elf: &mut ElfFile, has_crc32: bool) {
        assert_eq!(answer(elf, has_crc32), Ok(()));
    }
}
