//! Positions in rings of places in shared memory.

/// Position in a ring of `LENGTH`, and the parity of its current use. Every role goes over the same blocks in the
/// same order and so keeps its own.
#[derive(Clone, Copy)]
pub struct Ring<const LENGTH: u32> {
    /// The current place.
    pub index: u32,
    /// Parity of the phase in which it is filled.
    pub parity: u32,
}

impl<const LENGTH: u32> Ring<LENGTH> {
    /// Before the first use.
    #[inline(always)]
    pub const fn new() -> Self {
        Self { index: 0, parity: 0 }
    }

    /// Goes on to the next place.
    #[inline(always)]
    pub fn advance(&mut self) {
        self.index += 1;
        if self.index == LENGTH {
            self.index = 0;
            self.parity ^= 1;
        }
    }

    /// Address of this place's barrier in the array at `barriers`.
    #[inline(always)]
    pub fn barrier(&self, shared: u32, barriers: u32) -> u32 {
        shared + barriers + 8 * self.index
    }
}
