use super::*;
use proptest::prelude::*;

/// Decodes `input`, cut at `cuts`: the data, what is left over, and the trailers.
fn decode(input: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, usize, Vec<u8>), Bad> {
    let (mut chunks, mut data, mut pending) = (Chunks::default(), Vec::new(), Vec::new());
    let mut start = 0;
    for end in cuts.iter().copied().chain([input.len()]) {
        let end = end.clamp(start, input.len());
        pending.extend_from_slice(&input[start..end]);
        start = end;
        let found = chunks.decode(&mut pending)?;
        let trailers = found.trailers.clone().map(|at| pending[at].to_vec()).unwrap_or_default();
        data.extend_from_slice(&pending[found.data.clone()]);
        pending.drain(..found.used);
        if found.is_end {
            return Ok((data, pending.len() + input.len() - end, trailers));
        }
    }
    Err(Bad::request("not complete"))
}

#[test]
fn data_and_trailers_come_out_and_what_follows_stays() {
    let body = b"3;n;m=1\r\nabc\r\nA;x=\"y \\\"z\"\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nGET";
    let (data, left, trailers) = decode(body, &[]).unwrap();
    assert_eq!((data.as_slice(), left), (&b"abc0123456789"[..], 3));
    let mut fields = Fields::default();
    super::trailers(&trailers, &mut fields).unwrap();
    assert_eq!(fields.named("x-sum").collect::<Vec<_>>(), [b"1"]);
}

#[test]
fn broken_coding_is_refused() {
    for bad in [
        "0x2\r\nab\r\n0\r\n\r\n",
        "+2\r\nab\r\n0\r\n\r\n",
        "-1\r\nab\r\n0\r\n\r\n",
        " 2\r\nab\r\n0\r\n\r\n",
        "2 \r\nab\r\n0\r\n\r\n",
        "\r\nab\r\n0\r\n\r\n",
        ";x\r\nab\r\n0\r\n\r\n",
        "2\nab\r\n0\r\n\r\n",
        "2\r\nab\n0\r\n\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "2\r\nab0\r\n\r\n",
        "2;\r\nab\r\n0\r\n\r\n",
        "2;;a\r\nab\r\n0\r\n\r\n",
        "2;a=\r\nab\r\n0\r\n\r\n",
        "2;a=\"\r\n\"\r\nab\r\n0\r\n\r\n",
        "2; a\r\nab\r\n0\r\n\r\n",
        "2;\0\r\nab\r\n0\r\n\r\n",
        "2;a\nb\r\nab\r\n0\r\n\r\n",
        "10000000000000002\r\nab\r\n0\r\n\r\n",
        "2\r\nab\r\n0\n\r\n",
        "2\r\nab\r\n0\r\n\n",
        "2\r\nab\r\n0\r\nA: b\n\r\n",
    ] {
        let refused = decode(bad.as_bytes(), &[]);
        assert!(refused.is_err_and(|bad| bad.why != "not complete"), "{bad:?}");
    }
}

#[test]
fn extensions_and_trailers_are_bounded() {
    let long = format!("1;a={}\r\n", "x".repeat(EXTENSIONS_SIZE_MAX as usize + 1));
    assert!(Chunks::default().decode(&mut long.into_bytes()).is_err());
    let endless = format!("0\r\nA: {}", "x".repeat(TRAILERS_SIZE_MAX));
    let refused = Chunks::default().decode(&mut endless.into_bytes());
    assert_eq!(refused.unwrap_err().status, 431);
}

#[test]
fn trailers_that_frame_or_route_are_left_out() {
    let section = b"Content-Length: 3\r\nX-A: 1\r\nhost: b\r\nX-Forwarded-For: c\r\n\r\n";
    let mut fields = Fields::default();
    trailers(section, &mut fields).unwrap();
    let names: Vec<&[u8]> = fields.iter().map(|(_, name, _)| name).collect();
    assert_eq!(names, [b"X-A"]);
    assert!(trailers(b"A : b\r\n\r\n", &mut fields).is_err());
    assert!(trailers(b"A: b\r\n c\r\n\r\n", &mut fields).is_err());
}

proptest! {
    #[test]
    fn how_the_bytes_are_split_does_not_matter(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
        cuts in prop::collection::vec(0_usize..300, 0..8),
        noise in prop::collection::vec((0_usize..300, any::<u8>()), 0..2),
    ) {
        let mut body = Vec::new();
        for chunk in &chunks {
            body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\nA: b\r\n\r\nrest");
        let is_whole = noise.is_empty();
        for (at, byte) in noise {
            let length = body.len();
            body[at % length] = byte;
        }
        let mut cuts = cuts;
        cuts.sort_unstable();
        let at_once = decode(&body, &[]);
        let in_parts = decode(&body, &cuts);
        prop_assert_eq!(at_once.is_ok(), in_parts.is_ok());
        if let (Ok(at_once), Ok(in_parts)) = (&at_once, &in_parts) {
            prop_assert_eq!(at_once, in_parts);
        }
        if is_whole {
            let (data, left, _) = at_once.unwrap();
            prop_assert_eq!((data, left), (chunks.concat(), 4));
        }
    }
}
