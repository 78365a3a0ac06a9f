//! Texts as values: cores, ports, addresses, networks, shares.

use super::Form;
use std::net::IpAddr;

/// Reads `2`, `0.5`, `500m`; at most 4096 cores, at least one thousandth.
pub(crate) fn cores(text: &str) -> Option<f64> {
    let (number, scale) = text.strip_suffix('m').map_or((text, 1.0), |number| (number, 0.001));
    let digits = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let cores = number.parse::<f64>().ok().filter(|_| digits)? * scale;
    (0.001..=4096.0).contains(&cores).then_some(cores)
}

/// Reads `8080:80` (host, container) or `8080` (both).
pub(crate) fn publish(text: &str) -> Option<(u16, u16)> {
    let (host, inside) = text.split_once(':').unwrap_or((text, text));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    Some((port(host)?, port(inside)?))
}

/// Reads a listen address. A bare port means loopback: nothing is opened to the world by leaving something out.
pub(crate) fn address(text: &str) -> Result<std::net::SocketAddr, String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port),
        None => ("127.0.0.1", text),
    };
    let Ok(port) = port.parse::<u16>() else {
        return Err("must be an address such as 127.0.0.1:8080".to_owned());
    };
    let ip = match host.trim_start_matches('[').trim_end_matches(']') {
        "" => {
            return Err(format!(
                "write 127.0.0.1:{port} for this machine only, or 0.0.0.0:{port} for everybody"
            ));
        }
        "localhost" => "127.0.0.1",
        "*" => "0.0.0.0",
        host => host,
    };
    match ip.parse::<IpAddr>() {
        Ok(ip) => Ok((ip, port).into()),
        Err(_) => Err(format!(
            "`{ip}` is not an IP address of this machine; names are not looked up here"
        )),
    }
}

/// Reads `10.0.0.0/8`, `fd00::/8`, or one address.
pub(crate) fn network(text: &str) -> Result<(IpAddr, u8), String> {
    let bad = || format!("must be {}", Form::Network.expected());
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok().ok_or_else(bad)?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => whole,
        Some(bits) => bits.parse().ok().filter(|bits| *bits <= whole).ok_or_else(bad)?,
    };
    let first = first_address(address, bits);
    if first == address {
        Ok((address, bits))
    } else {
        Err(format!("the network that this address is in is {first}/{bits}"))
    }
}

/// The first address of the network that `address` is in.
fn first_address(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

/// Reads `10%`, and `0.5%` where fractions are allowed.
pub(crate) fn percent(text: &str, fraction: bool) -> Result<f64, String> {
    let Some(number) = text.strip_suffix('%') else {
        return Err(format!("must be {}", Form::Percent { fraction }.expected()));
    };
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || (fraction && byte == b'.'));
    let share = number.parse::<f64>().ok().filter(|share| is_number && *share <= 100.0);
    share.ok_or_else(|| {
        let whole = if fraction { "" } else { "whole " };
        format!("must be a {whole}number from 0% to 100%")
    })
}
