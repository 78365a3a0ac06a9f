//! Packing a body as it passes.
//!
//! An encoder keeps a window of what it has seen and some tables; both are bounded by the settings below,
//! whatever the body. The settings are for speed: a proxy packs the same answer again and again, and the
//! last few per cent of size cost more time than all before. `cargo run --release -p policy --example
//! compress` prints what each setting costs. From there, on one core of a small virtual machine:
//!
//! | | JSON 2 KiB | JSON 64 KiB | HTML 64 KiB | held |
//! |---|---|---|---|---|
//! | zstd 1 | 185 MB/s, 3.2 × smaller | 650 MB/s, 5.7 × | 700 MB/s, 8.1 × | 480 KiB |
//! | br 2 | 105 MB/s, 3.2 × | 160 MB/s, 5.6 × | 200 MB/s, 7.5 × | 770 KiB |
//! | gzip 2 | 88 MB/s, 3.1 × | 240 MB/s, 5.0 × | 350 MB/s, 7.0 × | 270 KiB |
//!
//! One step up would cost: zstd 3 a third of the speed for 1 %; br 4 half for 2 %, and 5 MiB for each body;
//! gzip 3 a quarter for 5 %, gzip 6 (the usual one) half for 15 %.

mod brotli;

use super::Coding;
use brotli::Brotli;
use flate2::{Compress as Deflate, Compression, FlushCompress, Status};
use zstd::stream::raw::{CParameter, Encoder as Zstd, InBuffer, Operation, OutBuffer};

/// zlib's level.
pub const GZIP_LEVEL: u8 = 2;
/// zlib's window, as a power of two. 15, the most that gzip has, takes a quarter more memory and saves
/// less than one per cent.
pub const GZIP_WINDOW_BITS: u8 = 14;
/// Brotli's quality. From 4 on an encoder takes 5 MiB and more.
pub const BR_QUALITY: u8 = 2;
/// Brotli's window, as a power of two.
pub const BR_WINDOW_BITS: u8 = 17;
/// zstd's level.
pub const ZSTD_LEVEL: u8 = 1;
/// zstd's window, as a power of two; RFC 9659 allows browsers to refuse more than 23.
pub const ZSTD_WINDOW_BITS: u8 = 17;

/// What a gzip encoder holds at most, in bytes: 269 KiB were measured.
pub const GZIP_STATE_LEN: usize = 320 * 1024;
/// What a Brotli encoder holds at most, in bytes: 766 KiB were measured.
pub const BR_STATE_LEN: usize = 1024 * 1024;
/// What a zstd encoder holds at most, in bytes: 477 KiB were measured.
pub const ZSTD_STATE_LEN: usize = 512 * 1024;

/// How much room is made for output at a time.
const STEP: usize = 8 * 1024;

/// Packing failed: there was no memory, or a bug. The response cannot be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {0} encoder failed")]
pub struct Failed(&'static str);

/// How a coding is set. [`Settings::default_for`] is what the data plane uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// zlib's and zstd's level, Brotli's quality.
    pub level: u8,
    /// The window, as a power of two.
    pub window_bits: u8,
}

/// Packs one body. Give it all pieces, then [`Encoder::finish`].
pub struct Encoder(State);

enum State {
    Gzip(Deflate),
    Br(Box<Brotli>),
    Zstd(Zstd<'static>),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Encoder").field(&self.coding()).finish()
    }
}

impl Encoder {
    /// An encoder for a body of `len` bytes, or of a length that is not known.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(coding: Coding, len: Option<u64>) -> Result<Self, Failed> {
        Self::with(coding, Settings::default_for(coding, len), len)
    }

    /// An encoder that is set differently, to measure it.
    ///
    /// # Errors
    /// When there is no memory for it, or the coding has no such setting.
    pub fn with(coding: Coding, settings: Settings, len: Option<u64>) -> Result<Self, Failed> {
        let failed = Failed(coding.name());
        Ok(Self(match coding {
            Coding::Gzip => {
                if !(9..=15).contains(&settings.window_bits) || settings.level > 9 {
                    return Err(failed);
                }
                let level = Compression::new(u32::from(settings.level));
                State::Gzip(Deflate::new_gzip(level, settings.window_bits))
            }
            Coding::Br => State::Br(Box::new(Brotli::new(settings, len).ok_or(failed)?)),
            Coding::Zstd => {
                let mut encoder = Zstd::new(i32::from(settings.level)).map_err(|_error| failed)?;
                for parameter in [
                    CParameter::WindowLog(u32::from(settings.window_bits)),
                    CParameter::ChecksumFlag(false),
                    CParameter::ContentSizeFlag(false),
                ] {
                    encoder.set_parameter(parameter).map_err(|_error| failed)?;
                }
                State::Zstd(encoder)
            }
        }))
    }

    /// The most bytes that an encoder of `coding` holds with the default settings, whatever passes through it. Who
    /// bounds the number of responses that are packed at a time multiplies by this.
    #[must_use]
    pub const fn state_len(coding: Coding) -> usize {
        match coding {
            Coding::Gzip => GZIP_STATE_LEN,
            Coding::Br => BR_STATE_LEN,
            Coding::Zstd => ZSTD_STATE_LEN,
        }
    }

    /// Its coding.
    #[must_use]
    pub const fn coding(&self) -> Coding {
        match self.0 {
            State::Gzip(_) => Coding::Gzip,
            State::Br(_) => Coding::Br,
            State::Zstd(_) => Coding::Zstd,
        }
    }

    /// Takes a piece of the body and adds to `out` what is ready, perhaps nothing. What it adds is at most a little
    /// more than all that it holds back and `data` together, so pieces bound it.
    ///
    /// # Errors
    /// See [`Failed`]; the encoder is of no use afterwards.
    pub fn push(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
        self.run(data, Step::Push, out)
    }

    /// Adds to `out` all that is held back, so that the client can unpack everything so far. Costs some bytes, so not
    /// after every piece: when the service pauses.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Failed> {
        self.run(&[], Step::Flush, out)
    }

    /// Adds the end to `out`.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Failed> {
        self.run(&[], Step::Finish, out)
    }

    fn run(&mut self, data: &[u8], step: Step, out: &mut Vec<u8>) -> Result<(), Failed> {
        let is_done = match &mut self.0 {
            State::Gzip(deflate) => run_gzip(deflate, data, step, out),
            State::Br(brotli) => brotli.run(data, step, out),
            State::Zstd(zstd) => run_zstd(zstd, data, step, out),
        };
        is_done.ok_or(Failed(self.coding().name()))
    }
}

impl Settings {
    /// What the data plane uses. A short body of known length gets a window of its own size: it saves the time to
    /// clear tables that it would not fill.
    #[must_use]
    pub fn default_for(coding: Coding, len: Option<u64>) -> Self {
        let (level, most) = match coding {
            Coding::Gzip => (GZIP_LEVEL, GZIP_WINDOW_BITS),
            Coding::Br => (BR_QUALITY, BR_WINDOW_BITS),
            Coding::Zstd => (ZSTD_LEVEL, ZSTD_WINDOW_BITS),
        };
        let needed = len.map_or(u64::BITS, |len| u64::BITS - len.leading_zeros());
        let needed = u8::try_from(needed.clamp(LEAST_WINDOW_BITS, 64)).unwrap_or(64);
        Self { level, window_bits: needed.min(most) }
    }
}

/// The smallest window: what all three can have.
const LEAST_WINDOW_BITS: u32 = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Push,
    Flush,
    Finish,
}

/// `None`: it failed.
fn run_gzip(deflate: &mut Deflate, mut data: &[u8], step: Step, out: &mut Vec<u8>) -> Option<()> {
    let flush = match step {
        Step::Push => FlushCompress::None,
        Step::Flush => FlushCompress::Sync,
        Step::Finish => FlushCompress::Finish,
    };
    loop {
        out.reserve(STEP);
        let (in_before, room) = (deflate.total_in(), out.capacity() - out.len());
        let out_before = out.len();
        let status = deflate.compress_vec(data, out, flush).ok()?;
        let taken = usize::try_from(deflate.total_in() - in_before).ok()?;
        data = data.get(taken..)?;
        let is_full = out.len() - out_before == room;
        match (step, status) {
            (Step::Finish, Status::StreamEnd) => return Some(()),
            (Step::Finish, Status::Ok) => {}
            // zlib says that a flush is over by leaving room (its manual, `deflate`).
            (Step::Push | Step::Flush, _) if data.is_empty() && !is_full => return Some(()),
            (Step::Push | Step::Flush, Status::Ok) => {}
            // No progress although there was room.
            (_, Status::BufError | Status::StreamEnd) => return None,
        }
    }
}

fn run_zstd(zstd: &mut Zstd<'_>, data: &[u8], step: Step, out: &mut Vec<u8>) -> Option<()> {
    let mut input = InBuffer::around(data);
    while input.pos() < data.len() {
        out.reserve(STEP);
        let at = out.len();
        zstd.run(&mut input, &mut OutBuffer::around_pos(out, at)).ok()?;
    }
    if step == Step::Push {
        return Some(());
    }
    loop {
        out.reserve(STEP);
        let at = out.len();
        let mut output = OutBuffer::around_pos(out, at);
        let left = match step {
            Step::Finish => zstd.finish(&mut output, false),
            Step::Push | Step::Flush => zstd.flush(&mut output),
        };
        if left.ok()? == 0 {
            return Some(());
        }
    }
}
