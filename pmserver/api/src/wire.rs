// SPDX-License-Identifier: BSD-2-Clause
//! Registers that carry several small fields.

/// One register as two 16-bit fields and a 32-bit field, lowest first.
pub(crate) struct Fields {
    pub(crate) low: u16,
    pub(crate) middle: u16,
    pub(crate) high: u32,
}

impl Fields {
    pub(crate) const fn unpack(register: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = register.to_le_bytes();
        Self {
            low: u16::from_le_bytes([a, b]),
            middle: u16::from_le_bytes([c, d]),
            high: u32::from_le_bytes([e, f, g, h]),
        }
    }

    pub(crate) const fn pack(&self) -> u64 {
        let [a, b] = self.low.to_le_bytes();
        let [c, d] = self.middle.to_le_bytes();
        let [e, f, g, h] = self.high.to_le_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

/// Returns the low 16 bits.
pub(crate) fn low_u16(value: u64) -> u16 {
    let [a, b, ..] = value.to_le_bytes();
    u16::from_le_bytes([a, b])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_from_every_corner() {
        for register in
            [0, 1, 0xFFFF, 0x10000, 0xFFFF_FFFF, 1 << 32, u64::MAX, 0x0123_4567_89AB_CDEF]
        {
            assert_eq!(Fields::unpack(register).pack(), register);
        }
    }
}
