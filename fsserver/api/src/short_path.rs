// SPDX-License-Identifier: BSD-2-Clause
//! A path that a message carries.

use proto::limits::FASTPATH_REGISTERS;

/// The bytes of the longest short path: what the kernel's fastpath carries.
pub const SHORT_PATH_BYTES_MAX: usize = FASTPATH_REGISTERS * 8;

/// A path of 1 to [`SHORT_PATH_BYTES_MAX`] bytes, none of which is zero. In the registers zeros
/// follow it, and the lowest byte of a register comes first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortPath {
    bytes: [u8; SHORT_PATH_BYTES_MAX],
    length: usize,
}

impl ShortPath {
    /// Returns the path, or `None` if it is empty, too long, or has a zero byte.
    #[must_use]
    pub fn new(path: &[u8]) -> Option<Self> {
        let mut bytes = [0; SHORT_PATH_BYTES_MAX];
        bytes.get_mut(..path.len())?.copy_from_slice(path);
        (!path.is_empty() && !path.contains(&0)).then_some(Self { bytes, length: path.len() })
    }

    /// Returns the bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    pub(crate) fn from_registers(registers: [u64; FASTPATH_REGISTERS]) -> Option<Self> {
        let mut bytes = [0; SHORT_PATH_BYTES_MAX];
        for (to, register) in bytes.chunks_exact_mut(8).zip(registers) {
            to.copy_from_slice(&register.to_le_bytes());
        }
        let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let is_padded = bytes.iter().skip(length).all(|byte| *byte == 0);
        (length > 0 && is_padded).then_some(Self { bytes, length })
    }

    pub(crate) fn to_registers(self) -> [u64; FASTPATH_REGISTERS] {
        let mut registers = [0; FASTPATH_REGISTERS];
        for (register, bytes) in registers.iter_mut().zip(self.bytes.chunks_exact(8)) {
            *register = bytes.try_into().map_or(0, u64::from_le_bytes);
        }
        registers
    }
}

impl core::fmt::Debug for ShortPath {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.bytes().escape_ascii().fmt(f)
    }
}
