//! The smoke run: a target on its corpus, on generated inputs and on mutations of both.

use crate::{Dice, Target, mutate};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a run goes on, and where its randomness starts.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The seed of everything random.
    pub seed: u64,
    /// After this time no further input is tried.
    pub time: Duration,
    /// After this many inputs no further one is tried.
    pub inputs_max: u64,
}

/// A broken invariant.
#[derive(Debug)]
pub struct Failure {
    /// What the target said.
    pub message: String,
    /// Where the input was written.
    pub input: PathBuf,
}

/// This package's folder, as it was when it was compiled.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The checked-in inputs of a target, in the order of their names.
///
/// # Panics
/// If the folder can't be read: a run without its corpus would prove little.
pub fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = root().join("corpus").join(target.name);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    let read = |path: &PathBuf| {
        std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    paths.iter().map(read).collect()
}

/// Runs `target` as planned; how many inputs it took.
///
/// # Errors
/// The first input that breaks an invariant.
pub fn run(target: &Target, plan: &Plan) -> Result<u64, Failure> {
    let started = Instant::now();
    let mut seeds = corpus(target);
    let mut count = 0;
    for seed in &seeds {
        attempt(target, seed)?;
        count += 1;
    }
    let mut dice = Dice::new(plan.seed ^ hash(target.name.as_bytes()));
    while count < plan.inputs_max && started.elapsed() < plan.time {
        let fresh = (target.generate)(&mut dice);
        attempt(target, &fresh)?;
        let base = seeds.get(dice.below(seeds.len() * 2)).unwrap_or(&fresh);
        let mutated = mutate::mutate(&mut dice, base, &fresh);
        attempt(target, &mutated)?;
        count += 2;
        // Changes pile up on some inputs, within bounds.
        if dice.one_in(16) && mutated.len() < 4096 {
            if seeds.len() < 256 {
                seeds.push(mutated);
            } else {
                let at = dice.below(seeds.len());
                seeds[at] = mutated;
            }
        }
    }
    Ok(count)
}

fn attempt(target: &Target, input: &[u8]) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Failure {
            message: text.unwrap_or("a panic without words").to_owned(),
            input: keep(target, input),
        }
    })
}

/// Writes a failing input to `artifacts/`, named by its content.
fn keep(target: &Target, input: &[u8]) -> PathBuf {
    let folder = root().join("artifacts").join(target.name);
    let path = folder.join(format!("{:016x}", hash(input)));
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, input));
    if let Err(error) = written {
        eprintln!(
            "{}: {error}; the input was {}",
            path.display(),
            input.escape_ascii()
        );
    }
    path
}

/// FNV-1a: stable names, nothing more.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
