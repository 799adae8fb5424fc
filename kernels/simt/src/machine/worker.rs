//! CPU threads that take one gang of CTAs after the other.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use corosensei::stack::DefaultStack;

use super::scheduler::Runner;
use super::{Gang, room};
use crate::launch::Launch;
use crate::memory::Global;
use crate::report::{Kind, Report};
use crate::trace::Trace;

/// Progress of a launch.
struct Progress {
    next: AtomicU64,
    /// The first gang that has reported something: later ones need not go on.
    failed: AtomicU64,
    number: u32,
    results: Mutex<BTreeMap<u64, Result<Trace, Box<Report>>>>,
}

/// Runs all gangs. The result does not depend on how many CPU threads there are: of several reports, that
/// of the first gang counts.
pub fn run(
    launch: Arc<Launch>,
    memory: &Arc<Global>,
    kernel: &(dyn Fn() + Sync),
) -> Result<Trace, Box<Report>> {
    let progress = Progress {
        next: AtomicU64::new(0),
        failed: AtomicU64::new(u64::MAX),
        number: memory.begin_launch(),
        results: Mutex::new(BTreeMap::new()),
    };
    let workers = (launch.workers as u64).min(launch.gangs());
    std::thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(|| work(&launch, memory, kernel, &progress));
        }
        work(&launch, memory, kernel, &progress);
    });
    let results = progress.results.into_inner().unwrap_or_else(|e| e.into_inner());
    let mut trace = Trace::default();
    for result in results.into_values() {
        trace.append(result?);
    }
    Ok(trace)
}

fn work(
    launch: &Arc<Launch>,
    memory: &Arc<Global>,
    kernel: &(dyn Fn() + Sync),
    progress: &Progress,
) {
    let _room = room::take(launch.threads_together());
    let mut stacks: Vec<DefaultStack> = Vec::new();
    loop {
        let index = progress.next.fetch_add(1, Ordering::Relaxed);
        if index >= launch.gangs() || index > progress.failed.load(Ordering::Relaxed) {
            return;
        }
        let gang = RefCell::new(Gang::new(launch.clone(), memory.clone(), progress.number, index));
        match Runner::new(&gang, kernel, &mut stacks) {
            Ok(mut runner) => {
                runner.run(|| progress.failed.load(Ordering::Relaxed) < index);
                runner.finish(&mut stacks);
            }
            Err(error) => {
                let fault = crate::report::Fault::new(
                    Kind::LaunchLimit,
                    format!("stacks of {} bytes for the GPU threads: {error}", launch.stack_bytes),
                );
                gang.borrow_mut().record(fault, 0, None);
            }
        }
        let gang = gang.into_inner();
        let result = match gang.report {
            Some(report) => {
                progress.failed.fetch_min(index, Ordering::Relaxed);
                Err(Box::new(report))
            }
            None => Ok(gang.recorder.finish(&gang.ctas, gang.saboteur.found)),
        };
        let mut results = progress.results.lock().unwrap_or_else(|e| e.into_inner());
        results.insert(index, result);
    }
}
