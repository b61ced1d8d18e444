//! What objects cost in slabs, and as a file each: made, read, and found again after a start.
//!
//! `cargo run -p mangrove-store --release --example slabs_or_files -- FOLDER [OBJECTS [BYTES]]`

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a measurement, made by hand"
)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use mangrove_store::{
    Generation, Head, KeyHash, NewObject, Refused, Settings, Site, Store, Variant,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let objects: u64 = arguments.next().map_or(Ok(100_000), |told| told.parse())?;
    let bytes: usize = arguments.next().map_or(Ok(4_096), |told| told.parse())?;
    println!("{objects} objects of {bytes} bytes and a head of 300");
    slabs(&folder.join("slabs"), objects, bytes)?;
    files(&folder.join("files"), objects, bytes)?;
    Ok(())
}

fn told(what: &str, objects: u64, since: Instant) {
    let took = since.elapsed();
    println!(
        "{what:28} {:8.2} s  {:7.2} µs each",
        took.as_secs_f64(),
        took.as_secs_f64() * 1e6 / objects as f64
    );
}

fn key(number: u64) -> KeyHash {
    KeyHash(
        number
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(23)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9),
    )
}

fn slabs(folder: &Path, objects: u64, bytes: usize) -> Result<(), Box<dyn std::error::Error>> {
    let _ = std::fs::remove_dir_all(folder);
    let settings = Settings {
        keep_free: 0,
        bytes: 40 << 30,
        scan_rate: u64::MAX / 2,
        ..Settings::default()
    };
    let store = Store::open(folder, settings.clone())?.store;
    let content = Bytes::from(vec![7; bytes]);
    let since = Instant::now();
    for number in 0..objects {
        let total = Some(bytes as u64);
        let new = NewObject {
            key: key(number),
            variant: Variant(0),
            site: Site(0),
            born: Generation(1),
            total,
        };
        let head = Head::new(&number.to_le_bytes(), b"", &[9; 292]).ok_or("a head")?;
        let mut writing = store.begin(new)?;
        // The writer's queue is what a visitor would not wait for; this loop does.
        while writing.try_head(Generation(1), total, &head) == Err(Refused::Behind) {
            std::thread::yield_now();
        }
        while writing.try_chunk(0, content.clone()) == Err(Refused::Behind) {
            std::thread::yield_now();
        }
    }
    store.flush()?;
    told("slabs: made and durable", objects, since);
    let since = Instant::now();
    for number in 0..objects {
        let handle = store
            .lookup(key(number * 7_919 % objects))
            .into_iter()
            .next()
            .ok_or("not found")?;
        assert_eq!(handle.read_head()?.key().len(), 8);
        assert_eq!(handle.read_chunk(0)?.len(), bytes);
    }
    told("slabs: read, head and chunk", objects, since);
    let statistics = store.statistics();
    println!(
        "slabs: {} files, index of {} bytes an object",
        statistics.slabs,
        statistics.index_bytes / statistics.objects
    );
    store.close();
    drop(store);
    let since = Instant::now();
    let store = Store::open(folder, settings)?.store;
    told("slabs: in use after", 1, since);
    while !store.progress().is_over {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    told("slabs: all found again", objects, since);
    println!("slabs: {:?}", store.progress());
    assert_eq!(store.statistics().complete as u64, objects);
    store.close();
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

fn path(folder: &Path, number: u64) -> PathBuf {
    let hash = key(number).0;
    folder
        .join(format!("{:02x}", hash >> 56))
        .join(format!("{hash:016x}"))
}

fn files(folder: &Path, objects: u64, bytes: usize) -> Result<(), Box<dyn std::error::Error>> {
    let _ = std::fs::remove_dir_all(folder);
    for part in 0..256 {
        std::fs::create_dir_all(folder.join(format!("{part:02x}")))?;
    }
    let content = vec![7; 96 * 2 + 300 + bytes];
    let since = Instant::now();
    for number in 0..objects {
        File::create_new(path(folder, number))?.write_all(&content)?;
    }
    // One sync for all: a file each would need one each, or lose what it promised.
    rustix::fs::syncfs(File::open(folder)?)?;
    told("files: made and durable", objects, since);
    let since = Instant::now();
    let mut read = vec![0; content.len()];
    for number in 0..objects {
        File::open(path(folder, number * 7_919 % objects))?.read_exact(&mut read)?;
    }
    told("files: read", objects, since);
    let since = Instant::now();
    let mut header = [0; 96];
    let mut found = 0;
    for part in std::fs::read_dir(folder)? {
        for entry in std::fs::read_dir(part?.path())? {
            File::open(entry?.path())?.read_exact_at(&mut header, 0)?;
            found += 1;
        }
    }
    assert_eq!(found, objects);
    told("files: all found again", objects, since);
    let since = Instant::now();
    std::fs::remove_dir_all(folder)?;
    told("files: removed", objects, since);
    Ok(())
}
