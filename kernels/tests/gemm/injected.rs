//! The kernel with one instruction left out or changed, everywhere it can be: the machine has to report each, or the
//! result has to be wrong.

use std::collections::BTreeMap;

use oxmla_kernels::gemm::tiling::WIDTHS;
use oxmla_simt::{Change, Injection};

use crate::problem::Problem;

/// What the kernel can do without, per file: how many places, and why.
const REDUNDANT: [(Change, &str, usize); 0] = [];

#[test]
fn every_bug_is_found() {
    let [narrow, _, wide, pair, _] = WIDTHS;
    let problems = [
        // More blocks than stages, two tiles for one CTA, each with several output tiles.
        Problem::new([1, 200, 136, 328], wide, [1, 1], 1),
        // Shared inputs.
        Problem::new([1, 9, 72, 136], narrow, [2, 2], 2),
        // Two CTAs that load for each other.
        Problem::new([1, 70, 136, 328], pair, [1, 2], 3),
    ];
    let mut places: Vec<Injection> = Vec::new();
    let mut clean = Vec::new();
    for problem in &problems {
        let (y, trace) = problem.run(|launch| launch.survey(true)).expect("the kernel is right");
        clean.push(y);
        let new = |place: &Injection| !places.contains(place);
        let new: Vec<_> = trace.places.into_iter().filter(new).collect();
        places.extend(new);
    }
    let mut kinds = BTreeMap::new();
    let mut survivors: Vec<Injection> = Vec::new();
    for injection in places {
        *kinds.entry(injection.change).or_insert(0) += 1;
        let found = problems.iter().zip(&clean).any(|(problem, clean)| {
            (0..2).any(|seed| {
                let broken = problem.run(|launch| launch.seed(seed).inject(injection.clone()));
                broken.map_or(true, |(y, _)| y != *clean)
            })
        });
        if !found {
            survivors.push(injection);
        }
    }
    assert!(kinds.len() > 6, "the kernel has places for every kind of bug: {kinds:?}");
    for (change, file, places) in REDUNDANT {
        let here = |i: &Injection| i.change == change && i.place.file.ends_with(file);
        let count = survivors.iter().filter(|i| here(i)).count();
        assert_eq!(count, places, "{change:?} in {file}: {survivors:#?}");
        survivors.retain(|i| !here(i));
    }
    assert!(survivors.is_empty(), "bugs that nobody notices: {survivors:#?}");
}
