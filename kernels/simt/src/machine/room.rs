//! Room for the stacks of GPU threads.
//!
//! Each is two mappings of memory, itself and its guard page, and Linux gives a process 65,530 by default. Launches
//! on several CPU threads take turns where they would need more than that together.

use std::sync::{Condvar, Mutex, PoisonError};

/// Stacks that a process may have: what is left of the mappings serves everything else.
const MOST: usize = 28_000;

static FREE: Mutex<usize> = Mutex::new(MOST);
static FREED: Condvar = Condvar::new();

/// Room that is taken until this is dropped.
pub struct Room(usize);

/// Waits until there is room for `stacks` stacks; for more than there may be, until there are no others.
pub fn take(stacks: usize) -> Room {
    let taken = stacks.min(MOST);
    let free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut free =
        FREED.wait_while(free, |free| *free < taken).unwrap_or_else(PoisonError::into_inner);
    *free -= taken;
    Room(taken)
}

impl Drop for Room {
    fn drop(&mut self) {
        *FREE.lock().unwrap_or_else(PoisonError::into_inner) += self.0;
        FREED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn launches_take_turns_where_there_is_not_room_for_all() {
        let (together, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let _room = take(MOST / 2);
                    most.fetch_max(together.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    together.fetch_sub(1, Ordering::SeqCst);
                });
            }
            scope.spawn(|| drop(take(2 * MOST)));
        });
        assert!(most.into_inner() <= 2);
    }
}
