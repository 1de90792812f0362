// SPDX-License-Identifier: BSD-2-Clause
//! The table of operations: what each one is called, and how it stands on the wire. Nothing in it
//! stands in a second place of the source.
//!
//! A test holds the table of `support/docs/fs-protocol.md` against this one.

use pmserver_api::Registers;
use proto::Message;

// A number is never given to another operation; 0xF000 and up are left to test variants of the
// server. A row is: number, variant, name, registers of the request, registers of the reply.
pmserver_api::operation_table! {
    u64:
    1 Version "version" () -> ("version", "fsserver's peer");
    2 Lookup "lookup" ("container", "path bytes") -> ("file");
    3 Stat "stat" ("file") -> ("kind:32 links:32", "size", "modified:32 changed:32");
    4 ReadDir "read_dir" ("file", "container", "frames", "cookie") -> ("bytes", "next cookie");
    5 Read "read" ("file", "container", "offset", "start frame:32 length:32") -> ("bytes");
    6 Close "close" ("file") -> ();
    7 ReadStanding "read_standing" ("file", "container", "offset", "start frame:32 length:32")
        -> ("bytes");
    8 Release "release" ("container") -> ();
    9 LookupShort "lookup_short" ("path", "path", "path", "path") -> ("file");
    10 ReadTaken "read_taken" ("file", "container", "offset", "frames:32 length:32") -> ("bytes");
    11 ReadLent "read_lent" ("file", "container", "offset", "start") -> ("bytes");
    12 Write "write" ("file", "container", "offset", "start frame:32 length:32") -> ("bytes");
    13 Truncate "truncate" ("file", "size") -> ();
    14 Create "create" ("container", "path bytes") -> ("file");
    15 MakeDir "make_dir" ("container", "path bytes") -> ();
    16 Unlink "unlink" ("container", "path bytes") -> ();
    17 RemoveDir "remove_dir" ("container", "path bytes") -> ();
    18 Rename "rename" ("container", "from bytes:32 to bytes:32") -> ();
    19 Link "link" ("container", "existing bytes:32 new bytes:32") -> ();
    20 Symlink "symlink" ("container", "target bytes:32 path bytes:32") -> ();
    21 SetTimes "set_times" ("file", "accessed", "modified") -> ();
    22 SyncFile "sync_file" ("file") -> ();
    23 Sync "sync" () -> ();
    24 Space "space" ()
        -> ("block bytes", "blocks", "free blocks", "inodes:32 free inodes:32");
    25 ReadLink "read_link" ("file", "container") -> ("bytes");
    26 Trim "trim" () -> ();
}

impl Operation {
    /// Returns the message that requests this with these registers.
    pub(crate) const fn message<const N: usize>(self, registers: [u64; N]) -> Message {
        Message::new(self.number(), registers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_from_1_on_without_a_gap() {
        for (operation, number) in Operation::ALL.iter().zip(1..) {
            assert_eq!(operation.number(), number);
            assert_eq!(Operation::from_number(number), Some(*operation));
        }
        for none in [0, Operation::Trim.number().saturating_add(1), 1 << 16 | 1, u64::MAX] {
            assert_eq!(Operation::from_number(none), None);
        }
    }
}
