//! The report at the end of a deadlock: who waits for what.

use std::collections::BTreeMap;

use super::clock::ThreadId;
use super::{Gang, State, Wait};
use crate::report::{Fault, Kind, ranges};

impl Gang {
    /// Nobody can run and nothing is under way.
    pub fn report_deadlock(&mut self) {
        let mut groups: BTreeMap<(usize, String), Vec<ThreadId>> = BTreeMap::new();
        for (thread, state) in self.threads.iter().enumerate() {
            if let State::Blocked(wait) = &state.state {
                let place = state.line.map_or_else(String::new, |line| {
                    format!(" at {}:{}", line.file(), line.line())
                });
                let cta = self.cta_of(thread);
                let text = self.describe(thread, wait) + &place;
                groups.entry((cta, text)).or_default().push(thread);
            }
        }
        let lines: Vec<String> = groups
            .iter()
            .map(|((cta, text), threads)| {
                let indices: Vec<u32> =
                    threads.iter().map(|&t| self.index_in_cta(t) as u32).collect();
                let cta = match (self.launch.cooperative, self.ctas.len()) {
                    (true, _) => format!("block {:?}, ", self.ctas[*cta].block),
                    (false, 1) => String::new(),
                    (false, _) => format!("CTA {cta} of the cluster, "),
                };
                format!("{cta}threads {} wait for {text}", ranges(&indices))
            })
            .collect();
        let Some(threads) = groups.into_values().next() else { return };
        let first = threads[0];
        let line = self.threads[first].line;
        let fault = Fault::new(Kind::Deadlock, lines.join("; ")).of(threads);
        self.record(fault, first, line);
    }

    fn describe(&self, thread: ThreadId, wait: &Wait) -> String {
        let cta = self.cta_of(thread);
        match wait {
            Wait::Collective(op) => format!("the rest of their group in {op:?}"),
            Wait::Barrier(id) => {
                let barrier = &self.ctas[cta].barriers[*id as usize];
                let expected = match barrier.expected() {
                    0 => self.ctas[cta].alive as u32,
                    count => count,
                };
                format!("named barrier {id}, {} of {expected} threads there", barrier.arrived())
            }
            Wait::Mbarrier { cta, address, parity } => {
                let lacks = self.ctas[*cta].shared.mbarriers.get(address);
                let lacks = lacks.map_or_else(|| "invalidated".to_owned(), |b| b.lacks());
                format!("parity {parity} of mbarrier {address:#x}, whose {lacks}")
            }
            Wait::Cluster => "the cluster barrier".to_owned(),
            Wait::Global { address, value } => {
                let word = self.word(thread, *address);
                let word = word.map_or_else(String::new, |word| format!(", which is {word}"));
                format!("at least {value} in global memory at {address:#x}{word}")
            }
            Wait::Registers(count) => {
                let free = self.ctas[cta].registers.free();
                format!("{count} registers per thread, {free} are free")
            }
            Wait::Poll => "what they poll".to_owned(),
        }
    }
}
