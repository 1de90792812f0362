// SPDX-License-Identifier: BSD-2-Clause
//! Files. When fsserver fails in the middle of a call, the shell says so, and reads on from where
//! it was: what it has read is its own, and fsserver has forgotten it.

use alloc::vec::Vec;

use client_demo_core::{DemoError, ROUND_BYTES_MAX, Transfer, list, print_checksum};
use fsserver_api::{FileHandle, FileKind, FileStatus, FsError};
use pmserver_client::{AddressSpace, Pm, Transport};
use proto::{Console, Waiter};
use sha2::{Digest, Sha256};

use crate::error::ShellError;

/// Failures of fsserver in one command, after which it has failed.
const FAILURES_MAX: usize = 8;

/// Bytes that `cat` reads at a time: what is on the screen is what was read.
const CAT_BYTES: u64 = 512;

/// The longest line that is printed at once.
const LINE_BYTES_MAX: usize = 4096;

/// How often `bench` reads a file.
const BENCH_READS: u64 = 16;

/// The connection to fsserver.
pub(crate) struct Files<'a, P: Transport, F: Transport, W: Waiter, A: AddressSpace> {
    transfer: Transfer<'a, P, F, W, A>,
}

impl<'a, P: Transport, F: Transport, W: Waiter, A: AddressSpace> Files<'a, P, F, W, A> {
    pub(crate) const fn new(transfer: Transfer<'a, P, F, W, A>) -> Self {
        Self { transfer }
    }

    /// Lists a folder by the names in it, with the sizes of files.
    pub(crate) fn list(
        &mut self,
        path: &str,
        console: &mut impl Console,
    ) -> Result<(), ShellError> {
        let mut entries: Vec<(Vec<u8>, FileKind)> = Vec::new();
        self.on(path, console, |transfer, file, _| {
            entries.clear();
            list(transfer, file, |entry| {
                entries.try_reserve(1)?;
                entries.push((entry.name().to_vec(), entry.kind()));
                Ok(())
            })
        })?;
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for (name, kind) in entries {
            let name = name.escape_ascii();
            match kind {
                FileKind::Regular => {
                    let path = alloc::format!("{}/{name}", path.trim_end_matches('/'));
                    let FileStatus { size_bytes, .. } = self.status(&path, console)?;
                    console.print(format_args!("{size_bytes:>9}  {name}\n"));
                }
                FileKind::Directory => console.print(format_args!("{:>9}  {name}/\n", "")),
                FileKind::Symlink => console.print(format_args!("{:>9}  {name}@\n", "")),
                FileKind::Special => console.print(format_args!("{:>9}  {name}\n", "")),
            }
        }
        Ok(())
    }

    /// Prints what is known of a file, with its times if they are asked for.
    pub(crate) fn stat(
        &mut self,
        path: &str,
        with_times: bool,
        console: &mut impl Console,
    ) -> Result<(), ShellError> {
        let status = self.status(path, console)?;
        let kind = match status.kind {
            FileKind::Regular => "file",
            FileKind::Directory => "folder",
            FileKind::Symlink => "symbolic link",
            FileKind::Special => "special file",
        };
        let FileStatus { size_bytes, links, modified_seconds, changed_seconds, .. } = status;
        console.print(format_args!("{kind}, bytes {size_bytes}, names {links}\n"));
        if with_times {
            console.print(format_args!(
                "modified {modified_seconds}, changed {changed_seconds}: seconds since 1970\n"
            ));
        }
        Ok(())
    }

    /// Prints a file, by whole lines, each as soon as it was read.
    pub(crate) fn cat(&mut self, path: &str, console: &mut impl Console) -> Result<(), ShellError> {
        let (mut offset, mut line) = (0, Vec::new());
        self.on(path, console, |transfer, file, console| {
            transfer.read_from(file, &mut offset, CAT_BYTES, |piece| {
                for part in piece.split_inclusive(|byte| *byte == b'\n') {
                    line.extend_from_slice(part);
                    if line.ends_with(b"\n") || line.len() > LINE_BYTES_MAX {
                        console.write(&line);
                        line.clear();
                    }
                }
            })
        })?;
        if !line.is_empty() {
            line.push(b'\n');
            console.write(&line);
        }
        Ok(())
    }

    /// Prints the checksum of a file, as `sha256sum` does.
    pub(crate) fn checksum(
        &mut self,
        path: &str,
        console: &mut impl Console,
    ) -> Result<(), ShellError> {
        let (mut offset, mut hasher) = (0, Sha256::new());
        self.on(path, console, |transfer, file, _| {
            transfer.read_from(file, &mut offset, ROUND_BYTES_MAX, |piece| hasher.update(piece))
        })?;
        Ok(print_checksum(console, &hasher.finalize(), relative(path))?)
    }

    /// Reads a file again and again, and prints how long that takes.
    pub(crate) fn bench<T: Transport>(
        &mut self,
        path: &str,
        pm: &Pm<T>,
        console: &mut impl Console,
    ) -> Result<(), ShellError> {
        let before = pm.clock()?;
        let mut bytes: u64 = 0;
        for _ in 0..BENCH_READS {
            let mut offset = 0;
            self.on(path, console, |transfer, file, _| {
                transfer.read_from(file, &mut offset, ROUND_BYTES_MAX, |_| {})
            })?;
            bytes = bytes.saturating_add(offset);
        }
        let micros = pm.clock()?.get().saturating_sub(before.get());
        // Bytes in a microsecond are 10^6 bytes in a second.
        let rate = bytes.checked_div(micros).unwrap_or_default();
        console.print(format_args!(
            "{BENCH_READS} reads, bytes {bytes}, microseconds {micros}: {rate} MB/s\n"
        ));
        Ok(())
    }

    fn status(&mut self, path: &str, console: &mut impl Console) -> Result<FileStatus, ShellError> {
        self.on(path, console, |transfer, file, _| transfer.stat(file))
    }

    /// Does something with an open file; if fsserver fails meanwhile, opens it anew and goes on.
    fn on<R, C: Console>(
        &mut self,
        path: &str,
        console: &mut C,
        mut action: impl FnMut(
            &mut Transfer<'a, P, F, W, A>,
            FileHandle,
            &mut C,
        ) -> Result<R, DemoError>,
    ) -> Result<R, ShellError> {
        let mut failures_left = FAILURES_MAX;
        loop {
            let result = self.transfer.open(relative(path)).and_then(|file| {
                let result = action(&mut self.transfer, file, console);
                let closed = self.transfer.close(file);
                result.and_then(|result| closed.map(|()| result))
            });
            match result {
                Err(DemoError::Fs(_, error)) if is_lost(error.refusal()) => {
                    console.write(b"[fsserver was restarted, the shell goes on]\n");
                    failures_left = failures_left
                        .checked_sub(1)
                        .ok_or(ShellError::Usage("fsserver fails again and again"))?;
                }
                result => return Ok(result?),
            }
        }
    }
}

/// Returns whether fsserver has failed: in this call, or while it was not called. Then it has
/// forgotten the file.
const fn is_lost(refusal: Option<FsError>) -> bool {
    matches!(refusal, Some(FsError::Restarted | FsError::BadHandle))
}

/// Returns a path as it is from the root.
fn relative(path: &str) -> &[u8] {
    path.trim_matches('/').as_bytes()
}
