//! Multiplies of a warpgroup: issued, grouped, and executed when they are waited for.

use std::collections::VecDeque;

use super::accumulators::{LaneFault, LaneOutcome, Tiles};
use super::clock::{Slot, ThreadId};
use super::collective::{Group, Then};
use super::descriptor::{Chunk, Descriptor, Major, Operand};
use super::shadow::Access;
use super::shared::{Direction, Visit};
use super::tensor_core::{Matrix, Type, multiply};
use super::{Gang, Line, WARP, WARPGROUP, Words};
use crate::report::{Fault, Kind, Outcome};
use crate::trace::{Event, cost};

/// A `wgmma.mma_async` but for its registers and addresses: `D[64 × n] (+)= ±A · ±B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mma {
    /// Columns of B and D: a multiple of 8 in 8–256.
    pub n: u32,
    /// Elements of A.
    pub a: Type,
    /// Elements of B.
    pub b: Type,
    /// A comes from registers, not from shared memory.
    pub fragment: bool,
    /// D is added to; otherwise overwritten.
    pub accumulate: bool,
    /// The product is subtracted.
    pub negate: bool,
    /// A is M-major.
    pub transpose_a: bool,
    /// B is N-major.
    pub transpose_b: bool,
}

/// Where A comes from.
enum OperandA {
    Shared(Operand),
    /// The values, and where to compare them at the wait.
    Fragments {
        addresses: Vec<u64>,
        values: Vec<[u32; 4]>,
    },
}

/// A multiply in flight.
struct Multiply {
    mma: Mma,
    tile: u32,
    a: OperandA,
    b: Operand,
    epoch: u32,
    /// Cycle at which the tensor cores are done with it.
    end: u64,
}

/// A warpgroup and its tensor cores.
pub struct Warpgroup {
    pub group: Group,
    /// Slots of the tensor cores of its four warps.
    engine: Slot,
    issued: u32,
    /// `wgmma.fence` has been executed since the last commit or wait.
    fenced: bool,
    tiles: Tiles,
    open: Vec<Multiply>,
    committed: VecDeque<Vec<Multiply>>,
}

impl Warpgroup {
    pub fn new(first: ThreadId, engine: Slot) -> Self {
        Self {
            group: Group::new(first, WARPGROUP),
            engine,
            issued: 0,
            fenced: false,
            tiles: Tiles::default(),
            open: Vec::new(),
            committed: VecDeque::new(),
        }
    }

    /// A thread has ended.
    pub fn exit(&mut self, thread: ThreadId) -> Outcome<()> {
        self.group.exit(thread)?;
        let (open, committed) = (self.open.len(), self.committed.len());
        if open + committed == 0 {
            return Ok(());
        }
        let detail = format!(
            "the thread ends with {committed} groups of wgmma in flight and {open} multiplies uncommitted"
        );
        Err(Fault::new(Kind::NeverWaited, detail))
    }
}

impl Gang {
    /// `wgmma.fence`.
    pub fn wgmma_fence(&mut self, index: usize) -> Then {
        self.warpgroups[index].fenced = true;
        Then::Resume
    }

    /// `wgmma.commit_group`.
    pub fn wgmma_commit(&mut self, index: usize) -> Then {
        let group = &mut self.warpgroups[index];
        group.fenced = false;
        let open = std::mem::take(&mut group.open);
        group.committed.push_back(open);
        Then::Resume
    }

    /// `wgmma.mma_async`. Words: address and count of the accumulators, A, B.
    pub fn wgmma_issue(
        &mut self,
        index: usize,
        mma: Mma,
        words: &[Words],
        line: Line,
    ) -> Outcome<Then> {
        check_form(&mma, words)?;
        let first = self.warpgroups[index].group.first;
        let group = &mut self.warpgroups[index];
        let tile =
            group.tiles.claim(mma.n, group.fenced, words).map_err(|fault| fault.at(first))?;
        group.issued += 1;
        let epoch = group.issued;
        let a = self.operand_a(index, &mma, words, epoch, line)?;
        let b = self.operand(index, mma.b, mma.n, words[0][3], mma.transpose_b)?;
        self.read_operand(index, &b.chunks, 0xf, epoch, line)?;

        let issue = self.clocks.time(first);
        let cta = self.cta_of(first);
        let cycles = cost::multiply(mma.n);
        let (begin, end) = self.recorder.occupy_tensor_core(cta, issue, cycles);
        let thread = self.index_in_cta(first);
        self.recorder.span(Event::Multiply, cta, thread, begin, end, mma.n);
        let group = &mut self.warpgroups[index];
        group.tiles.get(tile).pending += 1;
        group.open.push(Multiply { mma, tile, a, b, epoch, end });
        Ok(Then::Resume)
    }

    fn operand_a(
        &mut self,
        index: usize,
        mma: &Mma,
        words: &[Words],
        epoch: u32,
        line: Line,
    ) -> Outcome<OperandA> {
        if mma.fragment {
            let first = self.warpgroups[index].group.first;
            let mut addresses: Vec<u64> = words.iter().map(|w| w[2]).collect();
            let values = addresses.iter().map(|&address| fragment(address)).collect();
            // Elsewhere than on the stack, the memory may be gone by the time of the wait.
            let mut homes = self.threads[first..].iter().zip(&addresses);
            if !homes.all(|(thread, address)| thread.stack.contains(address)) {
                addresses.clear();
            }
            return Ok(OperandA::Fragments { addresses, values });
        }
        let operand = self.operand(index, mma.a, 64, words[0][2], mma.transpose_a)?;
        for warp in 0..4 {
            let of_warp = |chunk: &&Chunk| chunk.mn / 16 == warp;
            let mine: Vec<Chunk> = operand.chunks.iter().filter(of_warp).copied().collect();
            self.read_operand(index, &mine, 1 << warp, epoch, line)?;
        }
        Ok(OperandA::Shared(operand))
    }

    fn operand(
        &self,
        index: usize,
        ty: Type,
        rows: u32,
        bits: u64,
        transpose: bool,
    ) -> Outcome<Operand> {
        let cta = self.cta_of(self.warpgroups[index].group.first);
        let major = if transpose { Major::Mn } else { Major::K };
        let shared = &self.ctas[cta].shared;
        let buffers = &self.launch.shared_buffers;
        Descriptor::decode(bits)?.chunks(major, rows, ty.bytes(), shared, buffers)
    }

    /// Notes that the tensor cores of `warps` read `chunks`.
    fn read_operand(
        &mut self,
        index: usize,
        chunks: &[Chunk],
        warps: u32,
        epoch: u32,
        line: Line,
    ) -> Outcome<()> {
        let group = &self.warpgroups[index];
        let issuers: Vec<ThreadId> = (0..4)
            .filter(|warp| warps >> warp & 1 != 0)
            .map(|warp| group.group.first + warp * WARP)
            .collect();
        let access = Access::tensor_cores(group.engine, warps, epoch);
        let cta = self.cta_of(group.group.first);
        let visit = Visit { access, issuers: &issuers, what: "wgmma", line };
        for chunk in chunks {
            self.visit(&visit, cta, Direction::Read, chunk.offset, 16)?;
        }
        Ok(())
    }

    /// `wgmma.wait_group`. Words: address and length of a list of accumulators, each address and count.
    pub fn wgmma_wait(&mut self, index: usize, pending: u32, words: &[Words]) -> Outcome<Then> {
        self.warpgroups[index].fenced = false;
        let first = self.warpgroups[index].group.first;
        let mut end = 0;
        let mut epoch = 0;
        self.warpgroups[index].tiles.settle();
        while self.warpgroups[index].committed.len() > pending as usize {
            let group = self.warpgroups[index].committed.pop_front().unwrap_or_default();
            for multiply in group {
                end = multiply.end;
                epoch = multiply.epoch;
                self.run(index, &multiply)?;
            }
        }
        let tiles = &self.warpgroups[index].tiles;
        let threads = &self.threads[first..first + WARPGROUP];
        tiles.check_completed(threads).map_err(|fault| fault.at(first))?;
        let engine = self.warpgroups[index].engine;
        let cta = self.cta_of(first);
        let start = self.clocks.time(first);
        for lane in 0..WARPGROUP {
            self.clocks.learn(first + lane, engine + (lane / WARP) as u32, epoch);
            self.clocks.delay_until(first + lane, end);
        }
        let thread = self.index_in_cta(first);
        self.recorder.span(Event::WgmmaWait, cta, thread, start, self.clocks.time(first), pending);
        let tiles = &mut self.warpgroups[index].tiles;
        tiles.hand_back(words).map_err(|fault| fault.at(first))?;
        Ok(Then::Resume)
    }

    fn run(&mut self, index: usize, work: &Multiply) -> Outcome<()> {
        let first = self.warpgroups[index].group.first;
        let cta = self.cta_of(first);
        let mma = &work.mma;
        let shared = &self.ctas[cta].shared;
        let a = match &work.a {
            OperandA::Shared(operand) => Matrix::rows_from(mma.a, operand, shared, 64),
            OperandA::Fragments { addresses, values } => {
                check_fragments(addresses, values).map_err(|fault| fault.at(first))?;
                Matrix::from_fragments(mma.a, values)
            }
        };
        let b = Matrix::columns_from(mma.b, &work.b, shared, mma.n as usize);
        let tile = self.warpgroups[index].tiles.get(work.tile);
        if !mma.accumulate {
            tile.values.fill(0.0);
        }
        multiply(&mut tile.values, &a, &b, mma.negate);
        tile.pending -= 1;
        Ok(())
    }
}

/// The A registers at an address, as they are now.
fn fragment(address: u64) -> [u32; 4] {
    // SAFETY: lent by `&` to the instruction that is executed, or on the stack of a coroutine of this gang,
    // which is mapped for as long as the gang lives.
    // Volatile: the thread may have ended the registers' life, which is what the comparison is to find out.
    unsafe { (address as *const [u32; 4]).read_volatile() }
}

fn check_fragments(addresses: &[u64], values: &[[u32; 4]]) -> LaneOutcome<()> {
    match addresses.iter().zip(values).position(|(&address, value)| fragment(address) != *value) {
        None => Ok(()),
        Some(thread) => {
            let detail =
                "an A register was changed, or its life ended, while its multiply was in flight";
            Err(LaneFault { lane: thread, fault: Fault::new(Kind::FragmentWritten, detail) })
        }
    }
}

fn check_form(mma: &Mma, words: &[Words]) -> Outcome<()> {
    let refuse = |detail: String| Err(Fault::new(Kind::Operand, detail));
    if !mma.n.is_multiple_of(8) || !(8..=256).contains(&mma.n) {
        return refuse(format!("wgmma with n = {}", mma.n));
    }
    if words.iter().any(|w| w[1] != u64::from(mma.n / 2)) {
        return refuse(format!("wgmma with n = {} and {} accumulators", mma.n, words[0][1]));
    }
    let sixteen_bits = mma.a.bytes() == 2;
    if mma.a.bytes() != mma.b.bytes() || sixteen_bits && mma.a != mma.b {
        return refuse(format!("wgmma of {:?} and {:?}", mma.a, mma.b));
    }
    if !sixteen_bits && (mma.transpose_a || mma.transpose_b) || mma.fragment && mma.transpose_a {
        return refuse("wgmma transposes only 16-bit operands in shared memory".to_owned());
    }
    let same = |word: usize| words.iter().all(|w| w[word] == words[0][word]);
    if !same(3) || !mma.fragment && !same(2) {
        return Err(Fault::new(
            Kind::Divergence,
            "the threads of wgmma give different descriptors",
        ));
    }
    Ok(())
}
