//! A pool, the memory that its blocks stand for, and what its sequences should find there.

use oxmla::{Admission, Append, BlockCopy, BlockPool, BlockTable, Error, Result, Sequence};

use crate::action::Action;
use crate::reference::Reference;

/// More requests are not taken in, so that one action does not take long.
const MAX_REQUESTS: usize = 12;

struct Request {
    sequence: Sequence,
    tokens: Vec<u32>,
}

pub struct Model {
    pool: BlockPool,
    reference: Reference,
    /// Token in each slot of the cache.
    memory: Vec<u32>,
    requests: Vec<Request>,
}

impl Model {
    pub fn new(blocks: usize, block_size: usize, has_index: bool) -> Result<Self> {
        let pool = BlockPool::with_block_size(blocks, block_size)?;
        Ok(Self {
            pool: if has_index { pool.indexing_prefixes() } else { pool },
            reference: Reference::new(blocks, block_size, has_index),
            memory: vec![u32::MAX; blocks * block_size],
            requests: Vec::new(),
        })
    }

    /// Lets it happen; false if nothing can, because there is no request or no place for another one.
    pub fn apply(&mut self, action: Action) -> Result<bool> {
        let requests = self.requests.len();
        let (some, full) = (requests > 0, requests == MAX_REQUESTS);
        match action {
            Action::Admit { text, tokens, watermark } if !full => {
                self.admit(words(text, 0, tokens), watermark)?;
            }
            Action::CachedPrefix { text, tokens } if !full => {
                self.cached_prefix(&words(text, 0, tokens))?;
            }
            Action::Fork { request } if some && !full => self.fork(request % requests)?,
            Action::Append { request, text, tokens } if some => {
                self.append(request % requests, text, tokens)?;
            }
            Action::AppendAll { every, text, tokens } if some => {
                self.append_all(every, text, tokens)?;
            }
            Action::Truncate { request, kept } if some => {
                let index = request % requests;
                self.truncate(index, self.requests[index].tokens.len() * kept / 256)?;
            }
            Action::Publish { request, known } if some => {
                let index = request % requests;
                self.publish(index, self.requests[index].tokens.len() * known / 256)?;
            }
            Action::Free { request } if some => {
                let index = request % requests;
                self.truncate(index, 0)?;
                self.pool.free(self.requests.swap_remove(index).sequence)?;
            }
            Action::ForgetPrefixes => {
                self.pool.forget_prefixes();
                self.reference.forget_prefixes();
            }
            _ => return Ok(false),
        }
        assert_eq!(self.pool.available(), self.reference.available());
        assert_eq!(self.pool.cached(), self.reference.cached());
        Ok(true)
    }

    /// What all present requests need for these steps stays theirs, whoever is admitted and whatever is
    /// published meanwhile; if it is there to begin with.
    pub fn keep_promise(&mut self, steps: usize, meanwhile: &[Action]) -> Result<()> {
        let running = self.requests.len();
        let batch = |model: &Self, tokens| -> Result<usize> {
            let sequences = model.requests[..running].iter().map(|request| &request.sequence);
            let batch: Vec<_> = sequences.map(|sequence| (sequence, tokens)).collect();
            let blocks = model.pool.blocks_to_append(&batch)?;
            assert_eq!(model.pool.can_append(&batch)?, blocks <= model.pool.available());
            Ok(blocks)
        };
        let watermark = batch(self, steps)?;
        if watermark > self.pool.available() {
            return Ok(());
        }
        for &action in meanwhile {
            match action {
                Action::Admit { text, tokens, .. } => {
                    self.apply(Action::Admit { text, tokens, watermark })?;
                }
                Action::Publish { .. } => {
                    self.apply(action)?;
                }
                _ => {}
            }
        }
        for _ in 0..steps {
            assert!(batch(self, 1)? <= self.pool.available(), "a running request starves");
            (0..running).try_for_each(|index| self.append(index, 7, 1))?;
        }
        Ok(())
    }

    /// Every request finds its tokens, nobody holds more than the requests do, and the table says the same.
    pub fn check(&self) -> Result<()> {
        let mut held = vec![0; self.pool.capacity()];
        for request in &self.requests {
            self.check_request(request)?;
            for &block in request.sequence.blocks() {
                held[block as usize] += 1;
            }
        }
        assert!((0..).zip(&held).all(|(block, &held)| self.reference.held(block) == held));
        let unheld = held.iter().filter(|&&held| held == 0).count();
        assert_eq!(self.pool.available(), unheld, "blocks have leaked");

        let sequences: Vec<_> = self.requests.iter().map(|request| &request.sequence).collect();
        let table = BlockTable::from_sequences(&sequences)?;
        for (index, sequence) in sequences.iter().enumerate() {
            assert_eq!(table.lengths()[index] as usize, sequence.len());
            let row = &table.ids()[index * table.max_blocks()..][..table.max_blocks()];
            assert!(row.starts_with(sequence.blocks()));
        }
        Ok(())
    }

    /// Ends all requests; every block is then available again.
    pub fn finish(mut self) -> Result<()> {
        for request in self.requests.drain(..) {
            self.pool.free(request.sequence)?;
        }
        assert_eq!(self.pool.available(), self.pool.capacity(), "blocks have leaked");
        self.pool.forget_prefixes();
        assert_eq!((self.pool.available(), self.pool.cached()), (self.pool.capacity(), 0));
        Ok(())
    }

    fn admit(&mut self, prompt: Vec<u32>, watermark: usize) -> Result<()> {
        let cached = self.reference.find(&prompt[..prompt.len().saturating_sub(1)]);
        let unheld = cached.iter().filter(|&&block| self.reference.held(block) == 0).count();
        let blocks = prompt.len().div_ceil(self.pool.block_size()) - cached.len() + unheld;
        let admission = self.pool.admit(&prompt, watermark);
        if self.refused(&admission, blocks + watermark) {
            return Ok(());
        }
        let Admission { sequence, positions } = admission?;
        assert_eq!(positions, cached.len() * self.pool.block_size()..prompt.len());
        let (shared, taken) = sequence.blocks().split_at(cached.len());
        assert_eq!(shared, cached);
        shared.iter().for_each(|&block| self.reference.hold(block));
        taken.iter().for_each(|&block| self.reference.take(block));
        self.requests.push(Request { sequence, tokens: prompt });
        self.write(self.requests.len() - 1, positions.start)
    }

    fn cached_prefix(&mut self, prompt: &[u32]) -> Result<()> {
        let cached = self.reference.find(prompt);
        assert_eq!(self.pool.cached_tokens(prompt), cached.len() * self.pool.block_size());
        let sequence = self.pool.cached_prefix(prompt);
        assert_eq!(sequence.blocks(), cached);
        cached.iter().for_each(|&block| self.reference.hold(block));
        let tokens = prompt[..cached.len() * self.pool.block_size()].to_vec();
        self.take_in(Request { sequence, tokens })
    }

    fn append(&mut self, index: usize, text: u32, tokens: usize) -> Result<()> {
        let needed = self.needed([index], tokens);
        let request = &mut self.requests[index];
        let before = request.sequence.blocks().to_vec();
        assert_eq!(
            self.pool.can_append(&[(&request.sequence, tokens)])?,
            needed <= self.pool.available()
        );
        let append = self.pool.append(&mut request.sequence, tokens);
        if self.refused(&append, needed) {
            assert_eq!(self.requests[index].sequence.blocks(), before);
            return Ok(());
        }
        self.appended(index, &before, &append?);
        self.go_on(index, text, tokens)
    }

    fn append_all(&mut self, every: usize, text: u32, tokens: usize) -> Result<()> {
        let members: Vec<_> = (0..self.requests.len()).step_by(every).collect();
        let needed = self.needed(members.iter().copied(), tokens);
        let before: Vec<_> =
            members.iter().map(|&index| self.requests[index].sequence.blocks().to_vec()).collect();
        let members_of = self.requests.iter_mut().step_by(every);
        let mut batch: Vec<_> = members_of.map(|request| (&mut request.sequence, tokens)).collect();
        let appends = self.pool.append_all(&mut batch);
        if self.refused(&appends, needed) {
            for (&index, before) in members.iter().zip(&before) {
                assert_eq!(self.requests[index].sequence.blocks(), before);
            }
            return Ok(());
        }
        for ((&index, before), append) in members.iter().zip(&before).zip(&appends?) {
            self.appended(index, before, append);
        }
        members.into_iter().try_for_each(|index| self.go_on(index, text, tokens))
    }

    fn fork(&mut self, index: usize) -> Result<()> {
        let Request { sequence, tokens } = &self.requests[index];
        let fork = Request { sequence: self.pool.fork(sequence)?, tokens: tokens.clone() };
        assert_eq!(fork.sequence.blocks(), sequence.blocks());
        sequence.blocks().iter().for_each(|&block| self.reference.hold(block));
        self.take_in(fork)
    }

    fn truncate(&mut self, index: usize, len: usize) -> Result<()> {
        let Request { sequence, tokens } = &mut self.requests[index];
        let gone = &sequence.blocks()[len.div_ceil(self.pool.block_size())..];
        gone.iter().rev().for_each(|&block| self.reference.release(block));
        self.pool.truncate(sequence, len)?;
        tokens.truncate(len);
        self.check_request(&self.requests[index])
    }

    fn publish(&mut self, index: usize, known: usize) -> Result<()> {
        let Request { sequence, tokens } = &self.requests[index];
        self.pool.publish(sequence, &tokens[..known])?;
        self.reference.publish(sequence.blocks(), &tokens[..known]);
        assert_eq!(
            self.pool.cached_tokens(tokens),
            self.reference.find(tokens).len() * self.pool.block_size()
        );
        Ok(())
    }

    /// Whether the pool has refused, which it may only for want of blocks.
    fn refused<T>(&self, result: &Result<T>, requested: usize) -> bool {
        let available = self.reference.available();
        let refused = requested > available;
        let error = refused.then_some(Error::OutOfBlocks { requested, available });
        assert_eq!(result.as_ref().err(), error.as_ref());
        assert!(!refused || self.pool.available() == available, "a refused call takes no block");
        refused
    }

    /// Blocks that these requests need for so many new tokens each, one after the other.
    fn needed(&self, members: impl IntoIterator<Item = usize>, tokens: usize) -> usize {
        let (mut needed, mut left) = (0, Vec::new());
        for index in members {
            let sequence = &self.requests[index].sequence;
            let len = sequence.len() + tokens;
            needed += len.div_ceil(self.pool.block_size()) - sequence.blocks().len();
            if let Some(block) = unfilled(sequence).filter(|_| tokens > 0) {
                let others = left.iter().filter(|&&gone| gone == block).count();
                if self.reference.is_kept(block, self.reference.held(block) - others) {
                    needed += 1;
                    left.push(block);
                }
            }
        }
        needed
    }

    /// Follows what the pool says that it did for a request, except for the new tokens.
    fn appended(&mut self, index: usize, before: &[i32], append: &Append) {
        let Request { sequence, tokens } = &self.requests[index];
        assert_eq!(append.positions, tokens.len()..sequence.len());
        let (old, new) = sequence.blocks().split_at(before.len());
        let copied = before.last().copied().filter(|&block| {
            let is_kept = self.reference.is_kept(block, self.reference.held(block));
            is_kept
                && !tokens.len().is_multiple_of(self.pool.block_size())
                && !append.positions.is_empty()
        });
        let copy = copied.zip(old.last().copied()).map(|(from, to)| BlockCopy { from, to });
        assert_eq!(append.copy, copy);
        let kept = before.len() - usize::from(copy.is_some());
        assert_eq!(old[..kept], before[..kept]);
        if let Some(BlockCopy { from, to }) = copy {
            self.reference.take(to);
            self.reference.release(from);
            let from = from as usize * self.pool.block_size();
            self.memory.copy_within(
                from..from + self.pool.block_size(),
                to as usize * self.pool.block_size(),
            );
        }
        new.iter().for_each(|&block| self.reference.take(block));
    }

    /// The text goes on in a request that has room for it.
    fn go_on(&mut self, index: usize, text: u32, tokens: usize) -> Result<()> {
        let request = &mut self.requests[index];
        let len = request.tokens.len();
        request.tokens.extend(words(text, len, tokens));
        self.write(index, len)
    }

    /// Writes the rows of the tokens from `position` on.
    fn write(&mut self, index: usize, position: usize) -> Result<()> {
        let Request { sequence, tokens } = &self.requests[index];
        for (slot, &token) in sequence.slots(position..tokens.len())?.zip(&tokens[position..]) {
            let held = self.reference.held(slot.block);
            assert!(!self.reference.is_kept(slot.block, held), "{slot:?} is read by others");
            self.memory[slot.block as usize * self.pool.block_size() + slot.offset] = token;
        }
        self.check_request(&self.requests[index])
    }

    fn take_in(&mut self, request: Request) -> Result<()> {
        self.check_request(&request)?;
        self.requests.push(request);
        Ok(())
    }

    fn check_request(&self, Request { sequence, tokens }: &Request) -> Result<()> {
        assert_eq!(sequence.len(), tokens.len());
        assert_eq!(sequence.blocks().len(), tokens.len().div_ceil(self.pool.block_size()));
        for (slot, &token) in sequence.slots(0..tokens.len())?.zip(tokens) {
            assert_eq!(
                self.memory[slot.block as usize * self.pool.block_size() + slot.offset],
                token
            );
        }
        Ok(())
    }
}

/// Tokens of a text from a position on: no two texts have one in common, nor does one have any twice.
fn words(text: u32, position: usize, tokens: usize) -> Vec<u32> {
    (position..position + tokens).map(|position| text << 24 | position as u32).collect()
}

/// The block that the next token goes to, if there is one already.
fn unfilled(sequence: &Sequence) -> Option<i32> {
    sequence
        .blocks()
        .last()
        .copied()
        .filter(|_| !sequence.len().is_multiple_of(sequence.block_size()))
}
