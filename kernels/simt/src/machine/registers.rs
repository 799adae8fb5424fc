//! The register file: `setmaxnreg` moves registers between warpgroups.

use super::collective::Then;
use super::{Gang, State, WARPGROUP, Wait};
use crate::launch::Launch;
use crate::report::{Fault, Kind, Outcome};

/// The registers of a CTA, counted per thread of a warpgroup.
pub struct RegisterFile {
    /// What the launch brought and no warpgroup holds.
    free: u32,
    /// What each warpgroup holds.
    held: Vec<u32>,
    /// Warpgroups, by index in the CTA, that wait to hold more.
    waiting: Vec<(usize, u32)>,
}

impl RegisterFile {
    pub fn new(launch: &Launch) -> Self {
        let groups = launch.threads() as usize / WARPGROUP;
        Self { free: 0, held: vec![launch.registers; groups], waiting: Vec::new() }
    }

    pub fn free(&self) -> u32 {
        self.free
    }

    /// Raises a warpgroup to `count` if there is enough.
    fn raise(&mut self, group: usize, count: u32) -> bool {
        let more = count - self.held[group];
        let enough = more <= self.free;
        if enough {
            self.free -= more;
            self.held[group] = count;
        }
        enough
    }
}

impl Gang {
    /// `setmaxnreg`.
    pub fn set_registers(&mut self, index: usize, count: u32, increase: bool) -> Outcome<Then> {
        let first = self.warpgroups[index].group.first;
        let cta = self.cta_of(first);
        let group = self.index_in_cta(first) / WARPGROUP;
        let threads = first..first + WARPGROUP;
        let file = &mut self.ctas[cta].registers;
        let held = file.held[group];
        let wrong_way = if increase { count < held } else { count > held };
        if !(24..=256).contains(&count) || !count.is_multiple_of(8) || wrong_way {
            let word = if increase { "inc" } else { "dec" };
            let detail = format!("setmaxnreg.{word} {count} in a warpgroup that has {held}");
            return Err(Fault::new(Kind::Registers, detail).of(threads));
        }
        if increase {
            if file.raise(group, count) {
                return Ok(Then::Resume);
            }
            file.waiting.push((group, count));
            for thread in threads {
                self.threads[thread].state = State::Blocked(Wait::Registers(count));
            }
            return Ok(Then::Decided);
        }
        file.free += held - count;
        file.held[group] = count;
        let waiting = std::mem::take(&mut file.waiting);
        for (group, count) in waiting {
            let file = &mut self.ctas[cta].registers;
            if !file.raise(group, count) {
                file.waiting.push((group, count));
                continue;
            }
            let first = cta * self.threads_per_cta() + group * WARPGROUP;
            for thread in first..first + WARPGROUP {
                self.wake(thread, [0; 8]);
            }
        }
        Ok(Then::Resume)
    }
}
