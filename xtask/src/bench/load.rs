//! The load generators wrk and h2load: how they are called, and what they say.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    client::ANSWER_MAX,
    server::{Folder, Server},
};
use crate::process;

/// Connections, as in all published comparisons of proxies on small machines: enough to keep two
/// cores busy, few enough that queues do not hide what a request costs.
pub(crate) const CONNECTIONS: usize = 64;

/// HTTP/2 connections and concurrent streams on each: as many requests at a time as with HTTP/1.1.
pub(crate) const H2_CONNECTIONS: usize = 16;
pub(crate) const H2_STREAMS: usize = 4;

/// Connections that are opened at once to measure handshakes: few enough for any limit of descriptors.
const HANDSHAKES: &str = "200";

/// What a load generator saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Requests without an answer, or with another one than 2xx.
    pub(crate) failed: f64,
    /// What the load generator says about those.
    pub(crate) words: String,
}

/// What wrk sends; see its [`Wrk::run`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wrk {
    /// A new connection for each request.
    pub(crate) closes: bool,
    /// 1 KB of body.
    pub(crate) posts: bool,
}

impl Wrk {
    pub(crate) fn run(self, url: &str, seconds: u32, folder: &Path) -> Result<Load> {
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", "--latency"]);
        wrk.arg(format!("-c{CONNECTIONS}")).arg(format!("-d{seconds}s"));
        if self.closes {
            wrk.args(["-H", "Connection: close"]);
        }
        if self.posts {
            let script = folder.join("post.lua");
            fs::write(&script, "wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", 1024)\n")?;
            wrk.arg("-s").arg(script);
        }
        parse_wrk(&process::capture(wrk.arg(url))?)
    }

    /// GET on kept connections for a long time, beside other things; see [`parse_wrk`] for its end.
    pub(crate) fn background(url: &str, time: Duration) -> Result<Server> {
        let wrk = process::which("wrk").context("wrk is not installed")?.display().to_string();
        let command = [
            wrk,
            "-t1".to_owned(),
            "--latency".to_owned(),
            format!("-c{CONNECTIONS}"),
            format!("-d{}s", time.as_secs()),
            format!("--timeout={}s", ANSWER_MAX.as_secs()),
            url.to_owned(),
        ];
        Server::start("wrk", Folder::new()?, &command, &[])
    }
}

/// Reads what wrk printed.
pub(crate) fn parse_wrk(text: &str) -> Result<Load> {
    let mut load = Load::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["50%", time] => load.p50_ms = milliseconds(time)?,
            ["99%", time] => load.p99_ms = milliseconds(time)?,
            [requests, "requests", "in", ..] => load.requests = requests.parse()?,
            ["Requests/sec:", rate] => load.per_second = rate.parse()?,
            ["Non-2xx", "or", "3xx", "responses:", count] => {
                load.failed += count.parse::<f64>()?;
                load.words += line;
            }
            ["Socket", "errors:", rest @ ..] => {
                let counts = rest.iter().map(|word| word.trim_end_matches(','));
                load.failed += counts.filter_map(|word| word.parse::<f64>().ok()).sum::<f64>();
                load.words += line;
            }
            _ => {}
        }
    }
    if load.requests == 0.0 {
        bail!("wrk got no answer:\n{text}");
    }
    Ok(load)
}

fn milliseconds(text: &str) -> Result<f64> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let number: f64 = digits.parse().with_context(|| format!("`{text}` is no time"))?;
    match text.trim_start_matches(digits) {
        "us" => Ok(number / 1000.0),
        "ms" => Ok(number),
        "s" => Ok(number * 1000.0),
        "m" => Ok(number * 60_000.0),
        _ => bail!("`{text}` is no time"),
    }
}

/// GET over HTTP/2, without an upgrade before.
pub(crate) fn h2load(url: &str, seconds: u32, folder: &Path) -> Result<Load> {
    let log = folder.join("h2load.log");
    let mut h2load = Command::new("h2load");
    h2load.args(["-t1", "-D", &seconds.to_string()]);
    h2load.arg(format!("-c{H2_CONNECTIONS}")).arg(format!("-m{H2_STREAMS}"));
    h2load.arg("--log-file").arg(&log).arg(url);
    // It appends.
    drop(fs::remove_file(&log));
    let text = process::capture(&mut h2load)?;
    let log = fs::read_to_string(&log).context("h2load wrote no log")?;
    parse_h2load(&text, &log)
}

/// GET over https, each on a connection of its own with a whole TLS handshake. wrk cannot do that: it resumes its
/// sessions where a server lets it.
pub(crate) fn handshakes(url: &str, seconds: u32, folder: &Path) -> Result<Load> {
    let time = Duration::from_secs(seconds.into());
    let start = Instant::now();
    let mut sum = Load { p50_ms: f64::NAN, p99_ms: f64::NAN, ..Load::default() };
    while start.elapsed() < time {
        let mut h2load = Command::new("h2load");
        h2load.args(["-t1", "--h1", "-n", HANDSHAKES, "-c", HANDSHAKES]).arg(url);
        let text = process::capture(h2load.current_dir(folder))?;
        let load = parse_h2load(&text, "")?;
        sum.requests += load.requests;
        sum.failed += load.failed;
        sum.words += &load.words;
    }
    sum.per_second = sum.requests / start.elapsed().as_secs_f64();
    Ok(sum)
}

fn parse_h2load(text: &str, log: &str) -> Result<Load> {
    let mut load = Load::default();
    for line in text.lines() {
        let words: Vec<&str> =
            line.split_whitespace().map(|word| word.trim_end_matches(',')).collect();
        match words.as_slice() {
            ["finished", "in", _, rate, "req/s", ..] => load.per_second = rate.parse()?,
            ["status", "codes:", good, "2xx", third, "3xx", fourth, "4xx", fifth, "5xx"] => {
                load.requests = good.parse()?;
                for bad in [third, fourth, fifth] {
                    load.failed += bad.parse::<f64>()?;
                }
                if load.failed > 0.0 {
                    load.words += line;
                }
            }
            _ => {}
        }
    }
    if load.requests == 0.0 {
        bail!("h2load got no answer:\n{text}");
    }
    // Start, status, microseconds.
    let mut times: Vec<f64> = log
        .lines()
        .filter_map(|line| line.split('\t').nth(2)?.parse::<f64>().ok())
        .map(|us| us / 1000.0)
        .collect();
    load.p50_ms = super::stats::quantile(&mut times, 0.50);
    load.p99_ms = super::stats::quantile(&mut times, 0.99);
    Ok(load)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_understood() {
        let text = "Running 3s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n  \
            Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     2.00ms  1ms  9ms 70%\n  \
            Latency Distribution\n     50%  950.00us\n     75%    1.60ms\n     90%    2.30ms\n     \
            99%    1.05s\n  90000 requests in 3.01s, 100MB read\n  \
            Socket errors: connect 0, read 2, write 0, timeout 1\n  \
            Non-2xx or 3xx responses: 4\nRequests/sec:  29900.33\nTransfer/sec: 33MB\n";
        let expected = Load {
            requests: 90_000.0,
            per_second: 29_900.33,
            p50_ms: 0.95,
            p99_ms: 1_050.0,
            failed: 7.0,
            words: "  Socket errors: connect 0, read 2, write 0, timeout 1  Non-2xx or 3xx responses: 4".to_owned(),
        };
        assert_eq!(parse_wrk(text).unwrap(), expected);
        assert!(parse_wrk("unable to connect").is_err());
        assert!(milliseconds("5 parsecs").is_err());
    }

    #[test]
    fn what_h2load_says_is_understood() {
        let text = "finished in 3.00s, 25000.00 req/s, 26MB/s\n\
            requests: 75003 total, 75067 started, 75003 done, 75000 succeeded, 3 failed, 0 errored, 0 timeout\n\
            status codes: 75000 2xx, 0 3xx, 1 4xx, 2 5xx\n";
        let log = "17\t200\t1000\n18\t200\t3000\n19\t200\t2000\n";
        let expected = Load {
            requests: 75_000.0,
            per_second: 25_000.0,
            p50_ms: 2.0,
            p99_ms: 3.0,
            failed: 3.0,
            words: "status codes: 75000 2xx, 0 3xx, 1 4xx, 2 5xx".to_owned(),
        };
        assert_eq!(parse_h2load(text, log).unwrap(), expected);
        assert!(parse_h2load("", "").is_err());
    }
}
