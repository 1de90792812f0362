// SPDX-License-Identifier: BSD-2-Clause
//! The pages of the image: what is written is read, and whatever else is there is refused.
// Tests may fail by panicking.
#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use fsserver_setup::{
    CHANNELS, CLIENTS_MAX, ClientConfig, FILES_MAX, ROOT_BYTES_MAX, Rights, SETUP_BYTES, Setup,
    SetupError, decode, encode,
};
use proptest::prelude::{any, proptest};

const READER: ClientConfig = ClientConfig::default_of(2);
const WRITER: ClientConfig =
    ClientConfig { channel: 61, rights: Rights::Write, files: 1024, root: "/own/ü" };

fn pages() -> [u8; SETUP_BYTES] {
    encode(&Setup::EMPTY.with(READER).unwrap().with(WRITER).unwrap())
}

/// Returns why a client is refused that is like `READER` but for its root.
fn root_refusal(root: &str) -> Option<SetupError> {
    Setup::EMPTY.with(ClientConfig { root, ..READER }).err()
}

#[test]
fn what_is_written_is_read() {
    let pages = pages();
    let setup = decode(&pages).unwrap();
    assert_eq!(setup.clients(), [READER, WRITER]);
    assert_eq!((setup.client(61), setup.client(2)), (WRITER, READER));
    assert_eq!(encode(&setup), pages);
}

#[test]
fn a_client_of_which_nothing_is_said_reads_all() {
    let pages = encode(&Setup::EMPTY);
    let client = decode(&pages).unwrap().client(7);
    let expected = ClientConfig { channel: 7, rights: Rights::Read, files: 16, root: "/" };
    assert_eq!(client, expected);
}

#[test]
fn the_largest_setup_is_written_and_read() {
    let root = format!("/{}", "r".repeat(ROOT_BYTES_MAX - 1));
    let mut setup = Setup::EMPTY;
    for channel in (0..CHANNELS).take(CLIENTS_MAX) {
        setup = setup.with(ClientConfig { channel, root: &root, ..WRITER }).unwrap();
    }
    assert_eq!(decode(&encode(&setup)).unwrap().clients(), setup.clients());
    let one_more = setup.with(WRITER).err();
    assert_eq!(one_more, Some(SetupError::TooManyClients(32)));
}

#[test]
fn what_is_wrong_in_the_pages_is_told() {
    let cases = [
        (0, b'x', SetupError::Form),
        (8, 32, SetupError::TooManyClients(32)),
        (8, 1, SetupError::Form),
        (8, 3, SetupError::Files(0)),
        (11, 1, SetupError::TooManyClients(0x0100_0002)),
        (12, 62, SetupError::Channel(62)),
        (13, 1, SetupError::Channel(0x0102)),
        (12, 61, SetupError::ChannelTwice(61)),
        (16, 2, SetupError::Rights(2)),
        (20, 0, SetupError::Files(0)),
        (22, 1, SetupError::Files(0x0001_0010)),
        (24, 0, SetupError::Form),
        (25, 2, SetupError::RootLength),
        (28, b'a', SetupError::Root),
        (28, 0xFF, SetupError::Root),
        (29, 1, SetupError::Form),
        (SETUP_BYTES - 1, 1, SetupError::Form),
    ];
    for (at, byte, error) in cases {
        let mut pages = pages();
        pages[at] = byte;
        assert_eq!(decode(&pages).err(), Some(error), "byte {at} is {byte}");
    }
}

#[test]
fn a_root_is_a_path_of_names() {
    for right in ["/", "/a", "/a/b c/...", "/..a"] {
        assert_eq!(root_refusal(right), None, "{right}");
    }
    for wrong in ["", "a", "a/b", "..", "/..", "/a/../b", "/.", "/a/.", "//", "/a/", "/a//b", "/\0"]
    {
        assert_eq!(root_refusal(wrong), Some(SetupError::Root), "{wrong}");
    }
    let long = format!("/{}", "r".repeat(ROOT_BYTES_MAX));
    assert_eq!(root_refusal(&long), Some(SetupError::RootLength));
    assert_eq!(root_refusal(&long[..ROOT_BYTES_MAX]), None);
}

#[test]
fn numbers_have_ranges() {
    let refusal = |client| Setup::EMPTY.with(client).err();
    for files in [0, FILES_MAX.end() + 1] {
        let expected = Some(SetupError::Files(files.into()));
        assert_eq!(refusal(ClientConfig { files, ..READER }), expected);
    }
    let channel = ClientConfig { channel: CHANNELS, ..READER };
    assert_eq!(refusal(channel), Some(SetupError::Channel(62)));
}

proptest! {
    #[test]
    fn any_pages_are_read_without_panic(
        at in 0..SETUP_BYTES,
        byte in any::<u8>(),
        count in 0_u8..40,
    ) {
        let mut pages = pages();
        pages[8] = count;
        pages[at] = byte;
        if let Ok(setup) = decode(&pages) {
            assert_eq!(encode(&setup), pages);
        }
    }
}
