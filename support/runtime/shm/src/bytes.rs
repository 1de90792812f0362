// SPDX-License-Identifier: BSD-2-Clause
//! The one loop that copies bytes to and from memory that others may write. Memory is cleared by
//! copying zeros.
//!
//! The compiler must neither read such memory twice nor leave a read out, so the loop is assembly:
//! blocks of 64 bytes on aarch64 (10 instructions each, 640 a page), `rep movs` on x86-64. On other
//! machines, and under Miri, it is a loop of single accesses.

/// Copies `bytes` bytes. Each is read once and written once, in ascending order.
///
/// One of both ranges may be private memory: then the caller passes a pointer that it may use for
/// all of the range.
pub(crate) fn copy(from: *const u8, to: *mut u8, bytes: usize) {
    copy_code(from, to, bytes, core::ptr::null());
}

/// The same; what was stored from `code` on, which is the beginning of whole pages, can be fetched
/// by instructions then, unless `code` is null. Data and instruction caches need not be coherent
/// (Arm ARM, "Concurrent modification and execution of instructions").
#[cfg(all(target_arch = "aarch64", not(miri)))]
pub(crate) fn copy_code(from: *const u8, to: *mut u8, bytes: usize, code: *const u8) {
    // Words only if both addresses can be aligned to them: the target's programs make no others.
    let can_be_aligned = from.addr() % 8 == to.addr() % 8;
    let head = if can_be_aligned { (to.addr().wrapping_neg() % 8).min(bytes) } else { bytes };
    let rest = bytes.saturating_sub(head);
    // SAFETY: 1. The loops access `head + rest` bytes from both addresses on, words at aligned
    // ones, and nothing else. 2. The range that is not the caller's own lies outside every Rust
    // object (U1 window-never-referenced); if nothing is mapped there, a page fault stops the
    // domain. 3. The stack and the flags' meaning for Rust code are not touched. 4. Cache
    // maintenance changes no contents, and user programs may do it (U7 caches-maintainable).
    unsafe {
        core::arch::asm!(
            // The head, byte by byte.
            "cbz {head}, 3f",
            "2: ldrb {a:w}, [{from}], #1\nstrb {a:w}, [{to}], #1",
            "subs {head}, {head}, #1\nb.ne 2b",
            // Blocks of eight words.
            "3: subs {rest}, {rest}, #64",
            "b.lo 5f",
            "4: ldp {a}, {b}, [{from}], #64",
            "ldp {c}, {d}, [{from}, #-48]",
            "ldp {e}, {f}, [{from}, #-32]",
            "ldp {g}, {h}, [{from}, #-16]",
            "stp {a}, {b}, [{to}], #64",
            "stp {c}, {d}, [{to}, #-48]",
            "stp {e}, {f}, [{to}, #-32]",
            "stp {g}, {h}, [{to}, #-16]",
            "subs {rest}, {rest}, #64",
            "b.hs 4b",
            // Single words.
            "5: adds {rest}, {rest}, #56",
            "b.mi 7f",
            "6: ldr {a}, [{from}], #8\nstr {a}, [{to}], #8",
            "subs {rest}, {rest}, #8\nb.pl 6b",
            // The last bytes.
            "7: adds {rest}, {rest}, #8",
            "b.eq 9f",
            "8: ldrb {a:w}, [{from}], #1\nstrb {a:w}, [{to}], #1",
            "subs {rest}, {rest}, #1\nb.ne 8b",
            // A line of either cache has 4 bytes by 2 to the power of a field of CTR_EL0.
            "9: cbz {code}, 12f",
            "mrs {c}, ctr_el0\nmov {a}, #4",
            "and {d}, {c}, #15\nlsl {d}, {a}, {d}",
            "ubfx {c}, {c}, #16, #4\nlsl {c}, {a}, {c}\nmov {a}, {code}",
            "10:\n.rept 8\ndc cvau, {a}\nadd {a}, {a}, {c}\n.endr",
            "cmp {a}, {to}\nb.lo 10b\ndsb ish",
            "11:\n.rept 8\nic ivau, {code}\nadd {code}, {code}, {d}\n.endr",
            "cmp {code}, {to}\nb.lo 11b\ndsb ish\nisb",
            "12:",
            code = inout(reg) code => _,
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            head = inout(reg) head => _,
            rest = inout(reg) rest => _,
            a = out(reg) _,
            b = out(reg) _,
            c = out(reg) _,
            d = out(reg) _,
            e = out(reg) _,
            f = out(reg) _,
            g = out(reg) _,
            h = out(reg) _,
            options(nostack)
        );
    }
}

/// Copies `bytes` bytes. Each is read once and written once, in ascending order.
///
/// One of both ranges may be private memory: then the caller passes a pointer that it may use for
/// all of the range. Caches are always coherent.
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) fn copy_code(from: *const u8, to: *mut u8, bytes: usize, _: *const u8) {
    // SAFETY: 1. The two instructions access `bytes` bytes from both addresses on and nothing else;
    // the direction flag is clear on entry. 2. The range that is not the caller's own lies outside
    // every Rust object (U1 window-never-referenced); if nothing is mapped there, a page fault
    // stops the domain.
    unsafe {
        core::arch::asm!(
            "rep movsq",
            "mov ecx, {tail:e}",
            "rep movsb",
            tail = in(reg) bytes % 8,
            inout("rcx") bytes / 8 => _,
            inout("rsi") from => _,
            inout("rdi") to => _,
            options(nostack, preserves_flags)
        );
    }
}

/// Copies `bytes` bytes. Each is read once and written once, in ascending order.
#[cfg(not(all(any(target_arch = "aarch64", target_arch = "x86_64"), not(miri))))]
pub(crate) fn copy_code(from: *const u8, to: *mut u8, bytes: usize, _: *const u8) {
    let addresses = (from.expose_provenance()..).zip(to.expose_provenance()..);
    for (from, to) in addresses.take(bytes) {
        crate::access::store::<u8>(to, crate::access::load(from));
    }
}

/// Zeros to copy, word by word.
static ZEROS: [u64; 512] = [0; 512];

/// Clears `bytes` bytes. Each is written once, in ascending order. With `is_code` they are whole
/// pages, which can be fetched by instructions then.
pub(crate) fn clear(at: *mut u8, bytes: usize, is_code: bool) {
    let mut done: usize = 0;
    while done < bytes {
        let more = bytes.saturating_sub(done).min(size_of_val(&ZEROS));
        let to = at.wrapping_add(done);
        copy_code(ZEROS.as_ptr().cast(), to, more, if is_code { to } else { core::ptr::null() });
        done = done.saturating_add(more);
    }
}
