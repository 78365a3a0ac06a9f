//! What each setting of each encoder costs: speed, size and memory, on bodies like those of web services.
//!
//! `cargo run --release -p policy --example compress`. The settings of the data plane were chosen from this
//! table (`compress::Settings`); run it again when a library changes. Figures depend on the machine, so
//! compare the lines of one run only. Speed is by processor time where the system tells it, so that
//! others on the machine do not count; memory is that of a process of its own for each line, because an
//! allocator gives little back.

#![expect(clippy::print_stdout, reason = "its purpose")]

use logic::balance::Random;
use policy::compress::{Coding, Encoder, Failed, Settings};
use std::{fmt::Write, hint::black_box, time::Instant};

/// As much as the data plane reads at a time.
const PIECE: usize = 16 * 1024;

/// How long each line is measured.
const MEASURE_S: f64 = 0.4;

/// Encoders that are held at a time to see their memory.
const HELD: usize = 100;

fn main() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [name, level, window_bits] = words.as_slice() {
        return hold(name, level, window_bits);
    }
    let bodies = [
        ("json 2 KiB", cut(json(), 2 * 1024)),
        ("json 64 KiB", cut(json(), 64 * 1024)),
        ("html 64 KiB", cut(html(), 64 * 1024)),
        ("json 1 MiB", json()),
    ];
    println!(
        "{:<5} {:>5} {:>6}  {:>12}  {:>9} {:>6} {:>7}",
        "", "level", "window", "", "MB/s", "ratio", "KiB"
    );
    for (coding, settings) in settings() {
        let kib = memory(coding, settings).map_or_else(|| "-".to_owned(), |kib| kib.to_string());
        for (name, body) in &bodies {
            let (speed, ratio) = measure(coding, settings, body)?;
            let (level, window) = (settings.level, settings.window_bits);
            println!(
                "{:<5} {level:>5} {window:>6}  {name:>12}  {speed:>9.1} {ratio:>6.2} {kib:>7}",
                coding.name()
            );
        }
    }
    println!("\nthe data plane's, which know the length:");
    for coding in Coding::ALL {
        for (name, body) in &bodies {
            let len = u64::try_from(body.len()).ok();
            let settings = Settings::default_for(coding, len);
            let (speed, ratio) = measure(coding, settings, body)?;
            println!(
                "{:<5} {name:>12}  {speed:>9.1} MB/s {ratio:>6.2}  {settings:?}",
                coding.name()
            );
        }
    }
    Ok(())
}

fn settings() -> impl Iterator<Item = (Coding, Settings)> {
    let of = |coding, levels: &'static [u8], windows: &'static [u8]| {
        levels.iter().flat_map(move |level| {
            windows.iter().map(move |bits| (coding, Settings { level: *level, window_bits: *bits }))
        })
    };
    of(Coding::Gzip, &[1, 2, 3, 6], &[14, 15])
        .chain(of(Coding::Br, &[0, 1, 2, 3, 4, 5], &[17]))
        .chain(of(Coding::Zstd, &[1, 2, 3], &[16, 17]))
}

fn pack(coding: Coding, settings: Settings, body: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
    let mut encoder = Encoder::with(coding, settings, None)?;
    for piece in body.chunks(PIECE) {
        encoder.push(piece, out)?;
    }
    encoder.finish(out)
}

/// Megabytes of input in a second, and how many times smaller the output is.
fn measure(coding: Coding, settings: Settings, body: &[u8]) -> Result<(f64, f64), Failed> {
    let mut out = Vec::new();
    pack(coding, settings, body, &mut out)?;
    let ratio = number(body.len()) / number(out.len());
    let (start, start_s, mut passes) = (Instant::now(), processor_s(), 0);
    while start.elapsed().as_secs_f64() < MEASURE_S {
        out.clear();
        pack(coding, settings, black_box(body), &mut out)?;
        passes += 1;
    }
    let wall_s = start.elapsed().as_secs_f64();
    let used_s = processor_s().zip(start_s).map_or(wall_s, |(end_s, start_s)| end_s - start_s);
    Ok((number(body.len() * passes) / used_s / 1e6, ratio))
}

/// KiB that one encoder holds after 512 KiB of JSON; `None` where the system does not tell.
fn memory(coding: Coding, settings: Settings) -> Option<usize> {
    let me = std::env::current_exe().ok()?;
    let words =
        [coding.name().to_owned(), settings.level.to_string(), settings.window_bits.to_string()];
    let output = std::process::Command::new(me).args(words).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Prints what [`memory`] asks for.
fn hold(name: &str, level: &str, window_bits: &str) -> Result<(), Failed> {
    let coding = Coding::ALL.into_iter().find(|coding| coding.name() == name);
    let numbers = level.parse().ok().zip(window_bits.parse().ok());
    let Some((coding, (level, window_bits))) = coding.zip(numbers) else { return Ok(()) };
    let body = cut(json(), 512 * 1024);
    let before = resident_kib();
    let mut held = Vec::new();
    for _ in 0..HELD {
        let mut encoder = Encoder::with(coding, Settings { level, window_bits }, None)?;
        let mut out = Vec::new();
        for piece in body.chunks(PIECE) {
            out.clear();
            encoder.push(piece, &mut out)?;
        }
        held.push(encoder);
    }
    if let Some((before, after)) = before.zip(resident_kib()) {
        println!("{}", after.saturating_sub(before) / held.len());
    }
    Ok(())
}

/// Seconds of processor time that this thread has used.
fn processor_s() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let used_ns: f64 = text.split(' ').next()?.parse().ok()?;
    Some(used_ns / 1e9)
}

/// Where the system tells it.
fn resident_kib() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn number(count: usize) -> f64 {
    count as f64
}

fn cut(mut text: Vec<u8>, len: usize) -> Vec<u8> {
    text.truncate(len);
    text
}

const WORDS: [&str; 16] = [
    "garden", "silver", "window", "market", "orange", "signal", "yellow", "travel", "winter",
    "copper", "bridge", "forest", "island", "planet", "rocket", "velvet",
];

/// A mebibyte of orders, as an API lists them.
fn json() -> Vec<u8> {
    let (mut random, mut text) = (Random::new(1), String::from("{\"orders\":["));
    while text.len() < 1 << 20 {
        let _ = write!(
            text,
            "{{\"id\":\"{:016x}\",\"customer\":{{\"id\":{},\"name\":\"{} {}\",\"email\":\"{}{}@mail.example\"}},\
             \"total\":{}.{:02},\"currency\":\"EUR\",\"created_at\":\"2026-0{}-1{}T1{}:2{}:0{}Z\",\
             \"status\":\"{}\",\"note\":null,\"lines\":[{{\"sku\":\"{}-{:04}\",\"quantity\":{},\"gift\":false}}]}},",
            random.draw(),
            random.below(100_000),
            WORDS[random.below(16)],
            WORDS[random.below(16)],
            WORDS[random.below(16)],
            random.below(1_000),
            random.below(500),
            random.below(100),
            random.below(9) + 1,
            random.below(10),
            random.below(10),
            random.below(10),
            random.below(10),
            ["paid", "shipped", "open"][random.below(3)],
            WORDS[random.below(16)],
            random.below(10_000),
            random.below(9) + 1,
        );
    }
    text.into_bytes()
}

/// A page of products, as a template makes it.
fn html() -> Vec<u8> {
    let (mut random, mut text) = (Random::new(2), String::new());
    text.push_str(
        "<!doctype html><html lang=\"en\"><head><title>Shop</title></head><body>\n<ul>\n",
    );
    while text.len() < 1 << 17 {
        let words: Vec<&str> = (0..12).map(|_| WORDS[random.below(16)]).collect();
        let _ = writeln!(
            text,
            "  <li class=\"product product--card\" data-id=\"{}\">\n    <a href=\"/products/{}-{}\"><img \
             src=\"/img/{:08x}.webp\" alt=\"{}\" width=\"320\" height=\"240\" loading=\"lazy\"></a>\n    \
             <h2>{} {}</h2>\n    <p class=\"product__text\">{}.</p>\n    <span \
             class=\"price\">&euro; {}.{:02}</span>\n  </li>",
            random.below(100_000),
            words[0],
            words[1],
            random.draw() >> 32,
            words[2],
            words[0],
            words[1],
            words.join(" "),
            random.below(500),
            random.below(100),
        );
    }
    text.into_bytes()
}
