//! The Brotli encoder, through the interface of the C library that its crate keeps.

use super::{STEP, Settings, Step};
use brotli::enc::{
    StandardAlloc,
    encode::{
        BrotliEncoderDestroyInstance, BrotliEncoderOperation, BrotliEncoderParameter,
        BrotliEncoderStateStruct,
    },
};

/// The greatest body that is told to the encoder beforehand: from there on the window decides alone.
const SIZE_HINT_MAX: u64 = 1 << 20;

pub(super) struct Brotli(BrotliEncoderStateStruct<StandardAlloc>);

impl Brotli {
    pub(super) fn new(settings: Settings, len: Option<u64>) -> Option<Self> {
        let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
        let hint = u32::try_from(len.unwrap_or(SIZE_HINT_MAX).min(SIZE_HINT_MAX)).unwrap_or(0);
        let is_set = [
            (BrotliEncoderParameter::BROTLI_PARAM_QUALITY, u32::from(settings.level)),
            (BrotliEncoderParameter::BROTLI_PARAM_LGWIN, u32::from(settings.window_bits)),
            (BrotliEncoderParameter::BROTLI_PARAM_SIZE_HINT, hint),
        ]
        .into_iter()
        .all(|(parameter, value)| state.set_parameter(parameter, value));
        is_set.then_some(Self(state))
    }

    /// `None`: it failed.
    pub(super) fn run(&mut self, data: &[u8], step: Step, out: &mut Vec<u8>) -> Option<()> {
        let operation = match step {
            Step::Push => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
            Step::Flush => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
            Step::Finish => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
        };
        let (mut left, mut taken) = (data.len(), 0);
        loop {
            let at = out.len();
            out.resize(at + STEP, 0);
            let (mut room, mut written) = (STEP, at);
            let is_fine = self.0.compress_stream(
                operation,
                &mut left,
                data,
                &mut taken,
                &mut room,
                out,
                &mut written,
                &mut None,
                &mut |_, _, _, _| (),
            );
            out.truncate(written);
            if !is_fine {
                return None;
            }
            let is_done = match step {
                Step::Push | Step::Flush => left == 0 && !self.0.has_more_output(),
                Step::Finish => self.0.is_finished(),
            };
            if is_done {
                return Some(());
            }
        }
    }
}

impl Drop for Brotli {
    fn drop(&mut self) {
        BrotliEncoderDestroyInstance(&mut self.0);
    }
}
