//! Accumulators of a warpgroup while its multiplies are in flight.
//!
//! The first `wgmma` on an accumulator takes the values out of the registers and leaves poison; a wait that
//! names the accumulator after its multiplies have completed puts the results back. Whatever the kernel does
//! to the registers in between shows.

use super::clock::ThreadId;
use super::{Thread, WARP, Words, poison};
use crate::report::{Fault, Kind};

/// A fault of one thread of a warpgroup.
pub struct LaneFault {
    pub lane: usize,
    pub fault: Fault,
}

pub type LaneOutcome<T> = Result<T, LaneFault>;

impl LaneFault {
    /// The fault of that thread of the warpgroup that begins with `first`.
    pub fn at(self, first: ThreadId) -> Fault {
        self.fault.of([first + self.lane])
    }
}

/// An accumulator: the registers of 128 threads.
pub struct Tile {
    id: u32,
    n: usize,
    /// `[64][n]`.
    pub values: Vec<f32>,
    /// Where each thread keeps its registers.
    addresses: Vec<u64>,
    /// Multiplies not yet executed.
    pub pending: u32,
    /// All multiplies were complete before the latest wait, which did not have to name the accumulator.
    settled: bool,
}

/// The accumulators that the machine holds for a warpgroup.
#[derive(Default)]
pub struct Tiles {
    tiles: Vec<Tile>,
    last_id: u32,
}

/// The accumulator registers of a thread that is suspended inside the instruction that named them.
fn registers<'a>(address: u64, count: usize) -> &'a mut [f32] {
    // SAFETY: the thread lent them to the instruction by `&mut`, and does not run before it is over; the
    // reference does not outlive the handling of one thread's part.
    unsafe { std::slice::from_raw_parts_mut(address as *mut f32, count) }
}

/// Row and column of accumulator `i` of a thread.
fn place(thread: usize, i: usize) -> (usize, usize) {
    let (warp, lane) = (thread / WARP, thread % WARP);
    (16 * warp + lane / 4 + 8 * (i / 2 % 2), 8 * (i / 4) + 2 * (lane % 4) + i % 2)
}

/// Accumulator `which` of those that a wait names: address and count.
fn named(words: &Words, which: usize) -> (u64, usize) {
    // SAFETY: the list is in the frame of the thread's wait, which is not over.
    let list =
        unsafe { std::slice::from_raw_parts(words[0] as *const (u64, usize), words[1] as usize) };
    list[which]
}

impl Tiles {
    /// The tile with that id.
    pub fn get(&mut self, id: u32) -> &mut Tile {
        let place = self.tiles.iter().position(|tile| tile.id == id);
        &mut self.tiles[place.expect("tiles live while multiplies refer to them")]
    }

    /// The tile of the accumulators that a `wgmma` of `n` columns names (word 0 of each thread); a new one if
    /// the machine does not hold them yet.
    pub fn claim(&mut self, n: u32, fenced: bool, words: &[Words]) -> LaneOutcome<u32> {
        let n = n as usize;
        if let Some(place) = self.find(words[0][0], n / 2) {
            let tile = &mut self.tiles[place];
            match tile.untouched(words.iter().map(|w| w[0])) {
                Ok(()) => {
                    tile.addresses = words.iter().map(|w| w[0]).collect();
                    tile.settled = false;
                    return Ok(tile.id);
                }
                Err(fault) if tile.pending > 0 => return Err(fault),
                // All its multiplies are done, and the kernel has put something else there.
                Err(_) => drop(self.tiles.swap_remove(place)),
            }
        }
        if !fenced {
            let detail = "wgmma on registers that may have been touched since the last commit or wait, \
                          without wgmma.fence";
            return Err(LaneFault { lane: 0, fault: Fault::new(Kind::RegisterFence, detail) });
        }
        self.take_in(n, words)
    }

    fn take_in(&mut self, n: usize, words: &[Words]) -> LaneOutcome<u32> {
        self.last_id = self.last_id % (poison::IDS - 1) + 1;
        let id = self.last_id;
        let mut values = vec![0.0; 64 * n];
        let addresses: Vec<u64> = words.iter().map(|w| w[0]).collect();
        for (lane, &address) in addresses.iter().enumerate() {
            for (i, register) in registers(address, n / 2).iter_mut().enumerate() {
                poison::check(register.to_bits(), "wgmma")
                    .map_err(|fault| LaneFault { lane, fault })?;
                let (row, column) = place(lane, i);
                values[row * n + column] = *register;
                *register = f32::from_bits(poison::word(id));
            }
        }
        self.tiles.push(Tile { id, n, values, addresses, pending: 0, settled: false });
        Ok(id)
    }

    /// The tile that the first thread keeps at `address`, or whose registers have been moved there.
    fn find(&self, address: u64, count: usize) -> Option<usize> {
        let at_home = |tile: &Tile| tile.addresses[0] == address && tile.n / 2 == count;
        self.tiles.iter().position(at_home).or_else(|| {
            let id = poison::tile(registers(address, count)[0].to_bits())?;
            self.tiles.iter().position(|tile| tile.id == id && tile.n / 2 == count)
        })
    }

    /// A wait begins: tiles that are complete already need no further check.
    pub fn settle(&mut self) {
        for tile in &mut self.tiles {
            tile.settled = tile.pending == 0;
        }
    }

    /// Checks the registers of the tiles that this wait has completed, named by it or not: of those that the
    /// `threads` keep on their stacks, for elsewhere the memory may be gone.
    pub fn check_completed(&self, threads: &[Thread]) -> LaneOutcome<()> {
        let on_stacks = |tile: &Tile| {
            let mut homes = threads.iter().zip(&tile.addresses);
            homes.all(|(thread, address)| thread.stack.contains(address))
        };
        let completed = |tile: &&Tile| tile.pending == 0 && !tile.settled && on_stacks(tile);
        let mut completed = self.tiles.iter().filter(completed);
        completed.try_for_each(|tile| tile.untouched(tile.addresses.iter().copied()))
    }

    /// Writes the accumulators that the wait names back to their registers.
    pub fn hand_back(&mut self, words: &[Words]) -> LaneOutcome<()> {
        for which in 0..words[0][1] as usize {
            let (address, count) = named(&words[0], which);
            let Some(found) = self.find(address, count) else { continue };
            let tile = &self.tiles[found];
            if tile.pending > 0 {
                let detail = format!(
                    "the wait names an accumulator of which {} multiplies stay in flight",
                    tile.pending
                );
                return Err(LaneFault { lane: 0, fault: Fault::new(Kind::WaitTooShort, detail) });
            }
            let untouched = tile.untouched(words.iter().map(|w| named(w, which).0));
            let tile = self.tiles.swap_remove(found);
            match untouched {
                Ok(()) => tile.write_back(words, which),
                // The kernel has put something else there since an earlier wait.
                Err(_) if tile.settled => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }
}

impl Tile {
    fn write_back(&self, words: &[Words], which: usize) {
        for (thread, words) in words.iter().enumerate() {
            let (address, count) = named(words, which);
            for (i, register) in registers(address, count).iter_mut().enumerate() {
                let (row, column) = place(thread, i);
                *register = self.values[row * self.n + column];
            }
        }
    }

    /// Checks that the registers still hold what stands for the tile.
    fn untouched(&self, addresses: impl Iterator<Item = u64>) -> LaneOutcome<()> {
        let expected = poison::word(self.id);
        for (lane, address) in addresses.enumerate() {
            let intact = |&i: &usize| {
                // SAFETY: lent by `&mut` to the instruction that is executed, or on the stack of a coroutine
                // of this cluster, which is mapped for as long as the cluster lives. Volatile: the kernel may
                // have ended the registers' life, which is to be found out.
                let word = unsafe { (address as *const u32).add(i).read_volatile() };
                word == expected
            };
            if let Some(i) = (0..self.n / 2).find(|i| !intact(i)) {
                let detail = format!(
                    "accumulator {i} of {} was changed while its multiply was in flight",
                    self.n / 2
                );
                let fault = Fault::new(Kind::AccumulatorWritten, detail);
                return Err(LaneFault { lane, fault });
            }
        }
        Ok(())
    }
}
