// SPDX-License-Identifier: BSD-2-Clause
//! Checks paths. The bytes come from a client, and are checked in fsserver's own copy.

use fsserver_api::{FsError, NAME_BYTES_MAX};
use proto::limits::PATH_BYTES_MAX;

/// Components of the longest path that is followed.
const COMPONENTS_MAX: usize = 1000;

/// Returns the path, which is absolute, has no `..`, and can be looked up.
///
/// `//` means `/`, `.` means the directory it is in, and a trailing `/` asks for a directory.
pub(crate) fn checked(bytes: &[u8]) -> Result<&[u8], FsError> {
    if bytes.len() > PATH_BYTES_MAX {
        return Err(FsError::PathTooLong);
    }
    if bytes.first() != Some(&b'/') || bytes.contains(&0) {
        return Err(FsError::BadPath);
    }
    let components = || bytes.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    if components().any(|name| name == b"..") {
        return Err(FsError::DotDot);
    }
    if components().any(|name| name.len() > NAME_BYTES_MAX) {
        return Err(FsError::BadPath);
    }
    if components().count() > COMPONENTS_MAX {
        return Err(FsError::PathTooLong);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_path_has_its_own_error() {
        let error = |path: &[u8]| checked(path).err();
        for good in
            [&b"/"[..], b"/a", b"/a/b/", b"//a//b", b"/./a", b"/...", b"/..a", b"/\xff \n\\"]
        {
            assert_eq!(error(good), None, "{good:?}");
        }
        for bad in [&b""[..], b"a", b"./a", b"/a\0b"] {
            assert_eq!(error(bad), Some(FsError::BadPath), "{bad:?}");
        }
        for bad in [&b"/.."[..], b"/a/../b", b"/a/.."] {
            assert_eq!(error(bad), Some(FsError::DotDot), "{bad:?}");
        }
    }

    #[test]
    fn lengths_end_where_they_should() {
        let name = |bytes: usize| [b"/", vec![b'n'; bytes].as_slice()].concat();
        assert_eq!(checked(&name(255)).err(), None);
        assert_eq!(checked(&name(256)).err(), Some(FsError::BadPath));
        assert_eq!(checked(&name(255).repeat(17)[..4096]).err(), None);
        assert_eq!(checked(&name(255).repeat(17)[..4097]).err(), Some(FsError::PathTooLong));
        assert_eq!(checked(&b"/d".repeat(1000)).err(), None);
        assert_eq!(checked(&b"/d".repeat(1001)).err(), Some(FsError::PathTooLong));
    }
}
