//! A kernel that waits for what never comes blocks the call that waits for it, and nothing can be said any
//! more about the case. So a thread looks on.

use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What runs, and since when.
type Current = Arc<Mutex<Option<(String, Instant)>>>;

/// Ends the process if something takes too long, and says what.
#[derive(Debug)]
pub struct Watchdog {
    current: Current,
}

impl Watchdog {
    /// Gives everything `limit` from now on.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        let current = Current::default();
        let watched = Arc::clone(&current);
        thread::spawn(move || watch(&watched, limit));
        Self { current }
    }

    /// Something begins.
    pub fn begin(&self, what: &str) {
        self.set(Some((what.into(), Instant::now())));
    }

    /// It is done.
    pub fn end(&self) {
        self.set(None);
    }

    fn set(&self, current: Option<(String, Instant)>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = current;
    }
}

fn watch(current: &Current, limit: Duration) {
    loop {
        thread::sleep(Duration::from_millis(500));
        let current = current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((what, since)) = &*current
            && since.elapsed() > limit
        {
            eprintln!("HANGS for {} s, given up: {what}", limit.as_secs());
            process::exit(1);
        }
    }
}
