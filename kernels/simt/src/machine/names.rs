//! What reports call threads.

use super::Gang;
use super::clock::ThreadId;

/// How reports call the threads of CTAs that run together.
#[derive(Clone, Copy)]
pub struct Names {
    ctas: usize,
    per_cta: usize,
    /// What the CTAs make up.
    whole: &'static str,
}

impl Names {
    /// Threads in all, whose slots come before those of the engines.
    pub fn threads(self) -> usize {
        self.ctas * self.per_cta
    }

    /// A thread, by its CTA and its index there.
    pub fn thread(self, thread: ThreadId) -> String {
        let (cta, index) = (thread / self.per_cta, thread % self.per_cta);
        match self.ctas {
            1 => format!("thread {index}"),
            _ => format!("thread {index} of CTA {cta} of the {}", self.whole),
        }
    }
}

impl Gang {
    pub fn names(&self) -> Names {
        let whole = if self.launch.cooperative { "grid" } else { "cluster" };
        Names { ctas: self.ctas.len(), per_cta: self.threads_per_cta(), whole }
    }
}
