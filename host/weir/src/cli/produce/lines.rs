//! Lines of a file or of standard input, as slices of the chunks they were read in.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::cli::Failure;

/// Bytes asked for in one read.
const READ_BYTES: usize = 256 * 1024;

/// Chunks read ahead.
const CHUNKS_AHEAD: usize = 4;

/// A line longer than this is none: no broker takes a larger batch.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One line, without its end.
pub(in crate::cli) type Line = Bytes;

#[derive(Debug)]
pub(in crate::cli) enum LineError {
    TooLong { bytes: usize },
    Read(io::Error),
}

/// What is read.
pub(in crate::cli) struct Input {
    reader: Box<dyn Read + Send>,
    len: Option<u64>,
}

/// A file, or standard input for `None` and `-`.
pub(in crate::cli) fn open(file: Option<&Path>) -> Result<Input, Failure> {
    let Some(path) = file.filter(|path| *path != Path::new("-")) else {
        return Ok(Input {
            reader: Box::new(io::stdin()),
            len: None,
        });
    };
    let failure = |error: io::Error| {
        Failure::new(
            format!("cannot read {}: {error}", path.display()),
            "name a file, or `-` for standard input",
        )
    };
    let file = File::open(path).map_err(failure)?;
    let meta = file.metadata().map_err(failure)?;
    if meta.is_dir() {
        return Err(failure(io::ErrorKind::IsADirectory.into()));
    }
    let len = meta.is_file().then_some(meta.len());
    Ok(Input {
        reader: Box::new(file),
        len,
    })
}

impl Input {
    /// Its length in bytes, where it is known.
    pub(in crate::cli) fn len(&self) -> Option<u64> {
        self.len
    }

    /// Begins to read, on a thread of its own: reading from a terminal or a pipe blocks.
    pub(in crate::cli) fn start(self) -> Lines {
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        std::thread::spawn(move || read_chunks(self.reader, &sender));
        Lines { chunks }
    }
}

/// The chunks of an input, each made of whole lines.
pub(in crate::cli) struct Lines {
    chunks: mpsc::Receiver<Result<Bytes, LineError>>,
}

impl Lines {
    pub(in crate::cli) async fn next_chunk(&mut self) -> Option<Result<Bytes, LineError>> {
        self.chunks.recv().await
    }
}

fn read_chunks(mut reader: impl Read, chunks: &mpsc::Sender<Result<Bytes, LineError>>) {
    let mut pending = BytesMut::new();
    loop {
        let filled = pending.len();
        pending.resize(filled + READ_BYTES, 0);
        let read = match reader.read(&mut pending[filled..]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                pending.truncate(filled);
                continue;
            }
            Err(error) => {
                let _ = chunks.blocking_send(Err(LineError::Read(error)));
                return;
            }
        };
        pending.truncate(filled + read);
        let chunk = if read == 0 {
            pending.split() // the last line may lack its end
        } else {
            match memchr::memrchr(b'\n', &pending[filled..]) {
                Some(at) => pending.split_to(filled + at + 1),
                None if pending.len() > LINE_BYTES_MAX => {
                    let _ = chunks.blocking_send(Err(LineError::TooLong {
                        bytes: LINE_BYTES_MAX,
                    }));
                    return;
                }
                None => continue,
            }
        };
        if !chunk.is_empty() && chunks.blocking_send(Ok(chunk.freeze())).is_err() {
            return; // nobody wants more
        }
        if read == 0 {
            return;
        }
    }
}

/// The lines of a chunk.
pub(in crate::cli) fn split(chunk: Bytes) -> impl Iterator<Item = Line> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at == chunk.len() {
            return None;
        }
        let end = memchr::memchr(b'\n', &chunk[at..]).map_or(chunk.len(), |found| at + found);
        let text = chunk[at..end]
            .strip_suffix(b"\r")
            .unwrap_or(&chunk[at..end])
            .len();
        let line = chunk.slice(at..at + text);
        at = (end + 1).min(chunk.len());
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives `step` bytes at a time.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(out.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn lines_of(text: &[u8], step: usize) -> Vec<Bytes> {
        let (sender, mut chunks) = mpsc::channel(1024);
        read_chunks(Dribble(text, step), &sender);
        drop(sender);
        let mut lines = Vec::new();
        while let Some(chunk) = chunks.blocking_recv() {
            lines.extend(split(chunk.unwrap()));
        }
        lines
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = b"one\n\ntwo\r\nthree\rfour\nlast";
        for step in [1, 2, 3, 7, 100] {
            let lines = lines_of(text, step);
            assert_eq!(lines, ["one", "", "two", "three\rfour", "last"], "step {step}");
        }
    }

    #[test]
    fn an_end_at_the_end_makes_no_line() {
        assert_eq!(lines_of(b"a\n", 10), ["a"]);
        assert_eq!(lines_of(b"\n", 10), [""]);
        assert_eq!(lines_of(b"", 10), [] as [Bytes; 0]);
    }

    #[test]
    fn a_line_without_end_is_refused_before_memory_is_full() {
        struct Endless;
        impl Read for Endless {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                out.fill(b'x');
                Ok(out.len())
            }
        }
        let (sender, mut chunks) = mpsc::channel(4);
        read_chunks(Endless, &sender);
        assert!(matches!(chunks.try_recv(), Ok(Err(LineError::TooLong { .. }))));
    }
}
