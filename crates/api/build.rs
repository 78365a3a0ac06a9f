//! Embeds the dashboard, when `npm run build` in `web/` has made it. Cargo alone never builds it: who works on Rust needs no
//! Node, and the page at `/` then says how to get the dashboard.

use std::{
    collections::hash_map::DefaultHasher,
    env,
    error::Error,
    fmt::Write,
    fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let web = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../web/dist");
    println!("cargo::rerun-if-changed=build.rs");
    // A folder that is not there would count as changed at every build.
    if web.is_dir() {
        println!("cargo::rerun-if-changed={}", web.display());
    }
    let site = web.join("site");
    let mut files = Vec::new();
    // Without its first page it was not built to the end.
    if site.join("index.html").is_file() {
        collect(&site, &mut files)?;
        files.sort();
    }
    let mut table = String::from("static FILES: &[File] = &[\n");
    for path in &files {
        write_row(&mut table, &site, path)?;
    }
    table.push_str("];\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("dashboard.rs"), table)?;
    Ok(())
}

/// The files below `folder`, without the compressed twins that stand beside them.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_none_or(|end| end != "gz") {
            files.push(path);
        }
    }
    Ok(())
}

fn write_row(table: &mut String, site: &Path, path: &Path) -> Outcome<()> {
    let name = path.strip_prefix(site)?.to_str().ok_or("a file name is not UTF-8")?;
    let plain = path.canonicalize()?;
    let packed = PathBuf::from(format!("{}.gz", plain.display()));
    let packed = if packed.is_file() {
        format!("Some(include_bytes!({packed:?}))")
    } else {
        "None".to_owned()
    };
    let tag = tag(&fs::read(&plain)?);
    writeln!(
        table,
        "    File {{ path: \"/{}\", tag: \"{tag}\", plain: include_bytes!({plain:?}), packed: {packed} }},",
        name.escape_default()
    )?;
    Ok(())
}

/// Tells contents apart. 128 bits of a hash without a key: nobody attacks the files of their own build.
fn tag(bytes: &[u8]) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        bytes.hash(&mut hasher);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(0), half(1))
}
