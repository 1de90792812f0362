// SPDX-License-Identifier: BSD-2-Clause
//! What is refused without an SDK, for each file in `tests/bad`: by the image tool, and by the
//! simulator, whose test uses this list, too.

/// File, line, start of the sentence.
pub(crate) const WITHOUT_SDK: &[(&str, u32, &str)] = &[
    ("cnode_slot_above_the_leaf", 7, "cap_cnode slot 512 is outside 458 to 511,"),
    ("cnode_slot_below_the_free_ones", 7, "cap_cnode slot 457 is outside 458 to 511,"),
    ("cnode_slot_twice", 8, "cap_cnode takes slot 500, which cap_cnode in line 7 takes already."),
    ("cnode_unknown_attribute", 7, "cap_cnode has no attribute 'depth'; it takes slot, pd."),
    ("count_above_the_root_cnode", 7, "cap_untyped slot 60 with count 5 reaches outside 1 to 63,"),
    (
        "count_without_end",
        7,
        "cap_untyped slot 60 with count 18446744073709551615 reaches outside 1 to 63,",
    ),
    ("count_zero", 7, "count is 0: leave the element out instead."),
    ("counts_overlap", 8, "cap_untyped takes slot 11, which cap_untyped in line 7 takes already."),
    ("cspace_outside_a_pd", 5, "cap_cnode must be in the cspace of a protection domain."),
    ("empty_board", 7, "the attribute board is empty."),
    ("missing_count", 7, "cap_untyped lacks the attribute count."),
    ("missing_pd", 7, "cap_cnode lacks the attribute pd."),
    ("missing_size_bits", 7, "cap_untyped lacks the attribute size_bits."),
    ("missing_slot", 7, "cap_untyped lacks the attribute slot."),
    ("missing_stock_slot", 7, "cap_vspace lacks the attribute slot."),
    ("not_a_number", 7, "slot 'eight' is not a number."),
    ("not_empty", 7, "cap_untyped must be empty."),
    ("not_xml", 5, "this is not well-formed XML:"),
    (
        "pd_of_another_board",
        7,
        "cap_cnode names the PD 'elsewhere', which this system does not have.",
    ),
    ("size_above_the_kernel", 7, "size_bits 48 is outside 12 to 47,"),
    ("size_below_a_page", 7, "size_bits 11 is outside 12 to 47,"),
    ("slot_above_the_root_cnode", 7, "cap_untyped slot 64 is outside 1 to 63,"),
    (
        "slot_of_a_stock_capability",
        8,
        "cap_vspace takes slot 8, which cap_untyped in line 7 takes already.",
    ),
    ("slot_twice", 8, "cap_untyped takes slot 8, which cap_untyped in line 7 takes already."),
    ("slot_zero", 7, "cap_untyped slot 0 is outside 1 to 63,"),
    ("slot_zero_with_count", 7, "cap_untyped slot 0 with count 2 reaches outside 1 to 63,"),
    ("stock_slot_above_the_root_cnode", 7, "cap_tcb slot 64 is outside 1 to 63,"),
    ("system_of_another_board", 3, "the whole system is for the board 'another'."),
    (
        "unknown_attribute",
        7,
        "cap_untyped has no attribute 'badge'; it takes slot, size_bits, count.",
    ),
    ("unknown_element_in_cspace", 7, "cap_everything is not an element of cspace, which takes"),
    ("unknown_pd", 7, "cap_cnode names the PD 'nobody', which this system does not have."),
    ("untyped_outside_cspace", 5, "cap_untyped must be in the cspace of a protection domain."),
    ("account_outside_a_child", 9, "memory_account must be in a child of a protection domain."),
    ("account_twice", 12, "'client' has a memory_account in line 11 already."),
    ("account_without_limit", 11, "memory_account lacks the attribute limit."),
    (
        "account_unknown_attribute",
        11,
        "memory_account has no attribute 'quota'; it takes limit, privileges.",
    ),
    ("account_limit_not_a_number", 11, "limit '1M' is not a number."),
    ("account_limit_not_in_pages", 11, "the limit 0x100001 is not a multiple of 0x1000."),
    (
        "account_limits_above_the_pool",
        15,
        "with this account the limits add up to 0x4100000 bytes, but the pool has only 0x3e",
    ),
    (
        "account_privilege_unknown",
        11,
        "'fly' is not a privilege; the privileges are read_accounts, supervise, set_policy, dma,",
    ),
    (
        "budget_below_the_period",
        13,
        "'second' calls 'server', which serves others as well: if the budget ends in a call, they \
         wait for 3000 microseconds, and 0 are allowed (period - budget).",
    ),
    (
        "budget_below_the_period_behind_a_server",
        26,
        "'guest' calls 'server', which serves others as well: if the budget ends in a call, they \
         wait for 3000 microseconds, and 0 are allowed (period - budget).",
    ),
    (
        "budget_of_a_supervisor_far_below_the_period",
        13,
        "'second' calls 'server', which serves others as well: if the budget ends in a call, they \
         wait for 10001 microseconds, and 10000 are allowed (period - budget).",
    ),
    ("peer_without_an_account", 13, "'second' is a child of 'server' but has no memory_account."),
    ("peer_without_a_channel", 11, "'client' has a memory_account but no channel to 'server'."),
    (
        "peer_with_another_channel",
        15,
        "the channel of 'client' must have the id 1 at 'server': its id as a child.",
    ),
    (
        "peer_that_cannot_call",
        16,
        "'client' cannot call 'server': its end of the channel lacks pp=\"true\".",
    ),
    ("peer_number_zero", 9, "the peer number 0 is outside 1 to 31."),
    ("peer_number_above_the_last", 9, "the peer number 32 is outside 1 to 31."),
    ("peer_number_above_a_byte", 9, "300 is too large."),
    ("peer_number_twice", 13, "two peers have the number 1."),
    (
        "peers_of_two_servers",
        18,
        "'second' has a memory_account as a child of 'other', others have theirs as",
    ),
    ("pool_without_a_part", 4, "the memory server 'server' has no cap_untyped."),
    ("pool_of_21_parts", 7, "slot 28 is outside 8 to 27: the pool has at most 20 parts."),
    ("pool_part_of_2_gib", 7, "size_bits 31 is outside 12 to 30, the sizes of parts of a pool."),
    ("pool_of_5_gib", 8, "with this part the pool is larger than 4 GiB."),
    (
        "pool_too_small",
        7,
        "the pool is too small: its largest part cannot hold pmserver's own tables.",
    ),
    ("pool_slot_below_the_first", 7, "slot 5 is outside 8 to 27: the pool has at most 20 parts."),
    (
        "slot_of_the_own_vspace",
        8,
        "cap_vspace takes slot 32 of 'server', which is reserved for the VSpace of 'server', which",
    ),
    (
        "slot_of_a_peer_vspace",
        8,
        "cap_vspace takes slot 33 of 'server', which is reserved for the VSpace of 'client', which",
    ),
    (
        "slot_of_a_peer_cnode",
        8,
        "cap_cnode takes slot 481 of 'server', which is reserved for the root CNode of 'client',",
    ),
    (
        "slot_of_the_own_tcb",
        8,
        "cap_tcb takes slot 7 of 'server', which is reserved for its own TCB,",
    ),
    (
        "slot_that_the_server_fills",
        8,
        "cap_vspace takes slot 30 of 'server', which is reserved for the memory server itself.",
    ),
    (
        "leaf_slot_that_the_server_fills",
        8,
        "cap_cnode takes slot 479 of 'server', which is reserved for the memory server itself.",
    ),
    (
        "slot_of_grants",
        12,
        "cap_tcb takes slot 40 of 'client', which is reserved for frames granted to it.",
    ),
];
