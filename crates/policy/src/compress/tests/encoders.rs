//! What encoders make is unpacked again, by decoders that are used nowhere else.

use super::*;
use logic::balance::Random;
use std::io::Read;

fn unpack(coding: Coding, packed: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    match coding {
        Coding::Gzip => {
            let mut rest = packed;
            let mut decoder = flate2::bufread::GzDecoder::new(&mut rest);
            decoder.read_to_end(&mut body).unwrap();
            assert_eq!(rest, b"", "one member and nothing behind it");
        }
        Coding::Br => {
            brotli::Decompressor::new(packed, 4096).read_to_end(&mut body).unwrap();
        }
        Coding::Zstd => body = zstd::decode_all(packed).unwrap(),
    }
    body
}

/// What a decoder has when it was given all bytes so far and more may come.
fn unpack_so_far(coding: Coding, packed: &[u8]) -> Vec<u8> {
    /// Ends a stream that is not over.
    struct NotYet<'a>(&'a [u8]);
    impl Read for NotYet<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(into)? {
                0 => Err(std::io::ErrorKind::WouldBlock.into()),
                read => Ok(read),
            }
        }
    }
    fn drain(mut decoder: impl Read) -> Vec<u8> {
        let (mut body, mut piece) = (Vec::new(), [0; 512]);
        loop {
            match decoder.read(&mut piece) {
                Ok(0) => panic!("the stream is over"),
                Ok(read) => body.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return body,
                Err(error) => panic!("{error}"),
            }
        }
    }
    match coding {
        Coding::Gzip => drain(flate2::read::GzDecoder::new(NotYet(packed))),
        Coding::Br => drain(brotli::Decompressor::new(NotYet(packed), 512)),
        Coding::Zstd => drain(zstd::Decoder::new(NotYet(packed)).unwrap()),
    }
}

fn pack(coding: Coding, len: Option<u64>, pieces: &[&[u8]]) -> Vec<u8> {
    let mut encoder = Encoder::new(coding, len).unwrap();
    let mut packed = Vec::new();
    for piece in pieces {
        encoder.push(piece, &mut packed).unwrap();
    }
    encoder.finish(&mut packed).unwrap();
    packed
}

/// Text that repeats itself, as answers do.
fn text(len: usize) -> Vec<u8> {
    let mut random = Random::new(7);
    let words = ["{\"id\":", "\"name\":\"", "item", "price", "},", "null", "  ", "\n"];
    let mut text = Vec::with_capacity(len + 16);
    while text.len() < len {
        text.extend_from_slice(words[random.below(words.len())].as_bytes());
        text.extend_from_slice(random.below(1000).to_string().as_bytes());
    }
    text.truncate(len);
    text
}

fn noise(len: usize) -> Vec<u8> {
    let mut random = Random::new(11);
    (0..len).map(|_| u8::try_from(random.below(256)).unwrap()).collect()
}

#[test]
fn bodies_of_every_size_come_out_as_they_went_in() {
    for coding in Coding::ALL {
        for body in [
            text(0),
            text(1),
            text(1_024),
            text(16 * 1024),
            text(150_000),
            noise(1),
            noise(50_000),
            vec![0; 300_000],
        ] {
            let len = u64::try_from(body.len()).unwrap();
            for len in [None, Some(len), Some(0)] {
                let pieces: Vec<&[u8]> = body.chunks(10_000).collect();
                let packed = pack(coding, len, &pieces);
                assert!(unpack(coding, &packed) == body, "{coding} {len:?} {}", body.len());
            }
        }
    }
}

#[test]
fn text_gets_smaller_and_noise_hardly_larger() {
    for coding in Coding::ALL {
        let (body, noise) = (text(100_000), noise(100_000));
        assert!(pack(coding, None, &[&body]).len() * 2 < body.len(), "{coding}");
        let large = pack(coding, None, &[&noise]).len();
        assert!(large < noise.len() + noise.len() / 100 + 64, "{coding}: {large}");
    }
}

#[test]
fn after_a_flush_everything_so_far_can_be_read() {
    for coding in Coding::ALL {
        let mut encoder = Encoder::new(coding, None).unwrap();
        let (mut packed, mut sent) = (Vec::new(), Vec::new());
        for at in 0..25_usize {
            let piece = text(at * 73);
            sent.extend_from_slice(&piece);
            encoder.push(&piece, &mut packed).unwrap();
            encoder.flush(&mut packed).unwrap();
            assert!(unpack_so_far(coding, &packed) == sent, "{coding} {at}");
        }
        encoder.finish(&mut packed).unwrap();
        assert!(unpack(coding, &packed) == sent, "{coding}");
    }
}

#[test]
fn a_large_piece_is_flushed_as_a_whole() {
    for coding in Coding::ALL {
        let mut encoder = Encoder::new(coding, None).unwrap();
        let (body, mut packed) = (noise(200_000), Vec::new());
        encoder.push(&body, &mut packed).unwrap();
        encoder.flush(&mut packed).unwrap();
        encoder.flush(&mut packed).unwrap();
        assert!(unpack_so_far(coding, &packed) == body, "{coding}");
    }
}

#[test]
fn what_is_in_the_output_already_stays() {
    for coding in Coding::ALL {
        let mut encoder = Encoder::new(coding, None).unwrap();
        let mut out = b"head".to_vec();
        encoder.push(&text(50_000), &mut out).unwrap();
        encoder.flush(&mut out).unwrap();
        encoder.finish(&mut out).unwrap();
        let packed = out.strip_prefix(b"head").unwrap();
        assert!(unpack(coding, packed) == text(50_000), "{coding}");
    }
}

#[test]
fn a_decoder_needs_no_larger_window_than_is_promised() {
    let packed = pack(Coding::Zstd, None, &[&text(400_000)]);
    let mut decoder = zstd::Decoder::new(packed.as_slice()).unwrap();
    decoder.window_log_max(u32::from(ZSTD_WINDOW_BITS)).unwrap();
    let mut body = Vec::new();
    decoder.read_to_end(&mut body).unwrap();
    assert!(body == text(400_000));
}

#[test]
fn an_encoder_may_go_from_one_thread_to_another() {
    fn is_send<T: Send>() {}
    is_send::<Encoder>();
}

#[test]
fn settings_that_a_coding_does_not_have_are_refused() {
    for (coding, level, window_bits) in
        [(Coding::Gzip, 10, 15), (Coding::Gzip, 1, 16), (Coding::Gzip, 1, 8), (Coding::Zstd, 1, 60)]
    {
        let settings = Settings { level, window_bits };
        assert!(Encoder::with(coding, settings, None).is_err(), "{coding} {settings:?}");
    }
}

#[test]
fn a_short_body_gets_a_small_window() {
    let bits = |coding, len| Settings::default_for(coding, len).window_bits;
    assert_eq!(bits(Coding::Zstd, Some(0)), 10);
    assert_eq!(bits(Coding::Zstd, Some(5_000)), 13);
    assert_eq!(bits(Coding::Gzip, Some(u64::MAX)), GZIP_WINDOW_BITS);
    assert_eq!(bits(Coding::Br, None), BR_WINDOW_BITS);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn pieces_and_flushes_of_any_size_come_out_as_they_went_in(
        pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..3_000), any::<bool>()), 0..12),
        len in prop::option::of(0..40_000_u64),
    ) {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding, len).unwrap();
            let (mut packed, mut body) = (Vec::new(), Vec::new());
            for (piece, is_flushed) in &pieces {
                body.extend_from_slice(piece);
                encoder.push(piece, &mut packed).unwrap();
                if *is_flushed {
                    encoder.flush(&mut packed).unwrap();
                    prop_assert!(unpack_so_far(coding, &packed) == body);
                }
            }
            encoder.finish(&mut packed).unwrap();
            prop_assert!(unpack(coding, &packed) == body);
        }
    }
}
