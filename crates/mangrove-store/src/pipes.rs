//! Pipes that hand what was read from the disk past the kernel's memory from a reader's thread to a core, which gives it to a socket.
//! Nobody copies it: the kernel moves pages.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, splice};

use crate::lock::lock;

/// Pipes that a store has at most. What a visitor who is slow to take it leaves in one stays there, and others do without.
pub const PIPES: usize = 32;
/// What one is to hold: what the kernel allows to everyone.
pub const PIPE_BYTES: usize = 1 << 20;
/// One that holds less is of no use.
const PIPE_BYTES_LEAST: usize = 64 << 10;

/// Takes what is sent to it, without looking.
static NOWHERE: OnceLock<File> = OnceLock::new();

pub(crate) fn nowhere() -> Option<&'static File> {
    if let Some(nowhere) = NOWHERE.get() {
        return Some(nowhere);
    }
    let nowhere = File::options().write(true).open("/dev/null").ok()?;
    Some(NOWHERE.get_or_init(|| nowhere))
}

/// All pipes of a store.
#[derive(Debug, Default)]
pub(crate) struct Pipes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    free: Vec<Pipe>,
    /// That are in use.
    out: usize,
}

/// An empty pipe, or one that is being filled.
#[derive(Debug)]
pub struct Pipe {
    from: OwnedFd,
    into: OwnedFd,
}

impl Pipe {
    pub(crate) fn new() -> io::Result<Pipe> {
        let (from, into) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Not always allowed: then it holds what it held, and is looked at for that.
        let _ = rustix::pipe::fcntl_setpipe_size(&into, PIPE_BYTES);
        match rustix::pipe::fcntl_getpipe_size(&into)? >= PIPE_BYTES_LEAST {
            true => Ok(Pipe { from, into }),
            false => Err(io::ErrorKind::OutOfMemory.into()),
        }
    }

    /// Where it is filled.
    pub fn into(&self) -> BorrowedFd<'_> {
        self.into.as_fd()
    }

    /// Where it is emptied.
    pub(crate) fn from(&self) -> BorrowedFd<'_> {
        self.from.as_fd()
    }

    /// Takes bytes out that nobody wants; they are known to be in it.
    pub fn discard(&self, bytes: usize) -> io::Result<()> {
        let mut left = bytes;
        while left > 0 {
            let nowhere = nowhere().ok_or(io::ErrorKind::NotFound)?;
            match splice(&self.from, None, nowhere, None, left, SpliceFlags::NONBLOCK) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(gone) => left -= gone.min(left),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Pipes {
    /// One that is empty; none where too many are in use, or there can be no more.
    pub(crate) fn take(&self) -> Option<Pipe> {
        let free = {
            let mut state = lock(&self.0);
            if state.out >= PIPES {
                return None;
            }
            state.out += 1;
            state.free.pop()
        };
        let pipe = free.or_else(|| Pipe::new().ok());
        if pipe.is_none() {
            lock(&self.0).out -= 1;
        }
        pipe
    }

    /// It is not used any more: kept if it is empty.
    fn give_back(&self, pipe: Pipe, is_empty: bool) {
        let mut state = lock(&self.0);
        state.out = state.out.saturating_sub(1);
        match is_empty {
            true => state.free.push(pipe),
            false => {
                drop(state);
                drop(pipe); // and with it what it holds
            }
        }
    }
}

/// Content in a pipe, to be given to a socket from there (`splice`).
#[derive(Debug)]
pub struct Poured {
    pipes: Arc<Pipes>,
    pipe: Option<Pipe>,
    left: usize,
    /// What comes after it in the pipe is not part of it.
    after: usize,
}

impl Poured {
    pub(crate) fn new(pipes: &Arc<Pipes>, pipe: Pipe) -> Poured {
        Poured {
            pipes: Arc::clone(pipes),
            pipe: Some(pipe),
            left: 0,
            after: usize::MAX, // until it is known what it holds
        }
    }

    pub(crate) fn pipe(&self) -> Option<&Pipe> {
        self.pipe.as_ref()
    }

    pub(crate) fn holds(&mut self, content: usize, after: usize) {
        (self.left, self.after) = (content, after);
    }

    /// The end that it is taken from.
    pub fn from(&self) -> Option<BorrowedFd<'_>> {
        Some(self.pipe.as_ref()?.from())
    }

    /// Bytes of content that are left in it.
    pub fn left(&self) -> usize {
        self.left
    }

    /// So many were taken.
    pub fn took(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }
}

impl Drop for Poured {
    fn drop(&mut self) {
        let Some(pipe) = self.pipe.take() else {
            return;
        };
        let is_empty =
            self.left == 0 && self.after < PIPE_BYTES && pipe.discard(self.after).is_ok();
        self.pipes.give_back(pipe, is_empty);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn poured(pipes: &Arc<Pipes>, content: &[u8], after: &[u8]) -> Poured {
        let mut poured = Poured::new(pipes, pipes.take().unwrap());
        let mut into = File::from(poured.pipe().unwrap().into().try_clone_to_owned().unwrap());
        into.write_all(&[content, after].concat()).unwrap();
        poured.holds(content.len(), after.len());
        poured
    }

    fn taken(poured: &mut Poured, bytes: usize) -> Vec<u8> {
        let mut from = File::from(poured.from().unwrap().try_clone_to_owned().unwrap());
        let mut taken = vec![0; bytes];
        from.read_exact(&mut taken).unwrap();
        poured.took(bytes);
        taken
    }

    fn free(pipes: &Pipes) -> (usize, usize) {
        let state = lock(&pipes.0);
        (state.free.len(), state.out)
    }

    #[test]
    fn a_pipe_is_used_again_once_it_is_empty_and_never_with_anything_in_it() {
        let pipes = Arc::default();
        let mut first = poured(&pipes, b"content", b"and what is in the same sector");
        assert_eq!(taken(&mut first, 3), b"con");
        assert_eq!((first.left(), free(&pipes)), (4, (0, 1)));
        assert_eq!(taken(&mut first, 4), b"tent");
        drop(first);
        assert_eq!(free(&pipes), (1, 0));
        let mut second = poured(&pipes, b"other", b"");
        assert_eq!(taken(&mut second, 4), b"othe");
        drop(second);
        assert_eq!(free(&pipes), (0, 0), "the visitor went away");
        // Of what could not be filled nobody knows what it holds.
        drop(Poured::new(&pipes, pipes.take().unwrap()));
        assert_eq!(free(&pipes), (0, 0));
    }

    #[test]
    fn there_are_no_more_than_there_may_be() {
        let pipes: Arc<Pipes> = Arc::default();
        let mut all: Vec<_> = (0..PIPES).map(|_| poured(&pipes, b"", b"")).collect();
        assert!(pipes.take().is_none());
        all.pop();
        assert!(pipes.take().is_some());
    }
}
