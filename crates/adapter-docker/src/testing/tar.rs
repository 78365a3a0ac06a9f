//! A tar archive (POSIX.1-1988, "ustar") with a busybox in it, which an engine takes as an image.

use std::{fs, io, path::Path, process::Command};

const BLOCK: usize = 512;
const FILE: u8 = b'0';
const LINK: u8 = b'2';
const FOLDER: u8 = b'5';

/// An image of one static busybox, a link for each of its applets, and the folders that programs expect.
pub(super) fn busybox(path: &Path) -> io::Result<Vec<u8>> {
    let mut tar = Vec::new();
    for (name, mode) in
        [("bin/", 0o755), ("etc/", 0o755), ("tmp/", 0o1777), ("srv/", 0o755), ("root/", 0o700)]
    {
        entry(&mut tar, name, mode, FOLDER, "", &[]);
    }
    entry(
        &mut tar,
        "etc/passwd",
        0o644,
        FILE,
        "",
        b"root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n",
    );
    entry(&mut tar, "etc/group", 0o644, FILE, "", b"root:x:0:\nuser:x:1000:\n");
    entry(&mut tar, "bin/busybox", 0o755, FILE, "", &fs::read(path)?);
    let applets = Command::new(path).arg("--list").output()?.stdout;
    for applet in String::from_utf8_lossy(&applets).lines().filter(|name| *name != "busybox") {
        entry(&mut tar, &format!("bin/{applet}"), 0o777, LINK, "busybox", &[]);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    Ok(tar)
}

fn entry(tar: &mut Vec<u8>, name: &str, mode: u32, kind: u8, target: &str, content: &[u8]) {
    let mut head = [0; BLOCK];
    put(&mut head, 0, name.as_bytes());
    put(&mut head, 100, format!("{mode:07o}").as_bytes());
    put(&mut head, 108, b"0000000");
    put(&mut head, 116, b"0000000");
    put(&mut head, 124, format!("{:011o}", content.len()).as_bytes());
    put(&mut head, 136, b"00000000000");
    put(&mut head, 148, b"        ");
    put(&mut head, 156, &[kind]);
    put(&mut head, 157, target.as_bytes());
    put(&mut head, 257, b"ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut head, 148, format!("{sum:06o}\0").as_bytes());
    tar.extend_from_slice(&head);
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
}

fn put(head: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    head[at..at + bytes.len()].copy_from_slice(bytes);
}
