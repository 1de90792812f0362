// SPDX-License-Identifier: BSD-2-Clause
//! A register that carries two fields of 32 bits.

/// Returns a register with two 32-bit fields, lower first.
#[must_use]
pub const fn pack_pair(low: u32, high: u32) -> u64 {
    let [a, b, c, d] = low.to_le_bytes();
    let [e, f, g, h] = high.to_le_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Returns the two 32-bit fields of a register, lower first.
#[must_use]
pub const fn unpack_pair(register: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = register.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_back_from_every_corner() {
        assert_eq!(pack_pair(1, 2), 0x2_0000_0001);
        for register in [0, 1, 0xFFFF_FFFF, 1 << 32, u64::MAX, 0x0123_4567_89AB_CDEF] {
            let (low, high) = unpack_pair(register);
            assert_eq!(pack_pair(low, high), register);
        }
    }
}
