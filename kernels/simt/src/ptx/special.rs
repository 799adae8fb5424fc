//! Special registers.

use crate::machine::context::current;

fn position(of: impl Fn(&crate::Launch) -> [u32; 3]) -> [u32; 3] {
    let context = current();
    let gang = context.gang.borrow();
    let [x, y, _] = of(&gang.launch);
    let index = gang.index_in_cta(context.thread) as u32;
    [index % x, index / x % y, index / x / y]
}

/// `%tid.x`, `%tid.y`, `%tid.z`.
#[must_use]
pub fn thread() -> [u32; 3] {
    position(|launch| launch.block)
}

/// `%tid.x`.
#[must_use]
pub fn thread_index() -> u32 {
    thread()[0]
}

/// `%ctaid.x`, `%ctaid.y`, `%ctaid.z`.
#[must_use]
pub fn cta() -> [u32; 3] {
    let context = current();
    let gang = context.gang.borrow();
    gang.ctas[gang.cta_of(context.thread)].block
}

/// `%ctaid.x`.
#[must_use]
pub fn cta_x() -> u32 {
    cta()[0]
}

/// `%ctaid.y`.
#[must_use]
pub fn cta_y() -> u32 {
    cta()[1]
}

/// `%ctaid.z`.
#[must_use]
pub fn cta_z() -> u32 {
    cta()[2]
}

/// `%nctaid.x`, `%nctaid.y`, `%nctaid.z`.
#[must_use]
pub fn grid() -> [u32; 3] {
    current().gang.borrow().launch.grid
}

/// `%nctaid.x`.
#[must_use]
pub fn grid_x() -> u32 {
    grid()[0]
}

/// `%clock`: cycles of the cost model, modulo 2³².
#[must_use]
pub fn clock() -> u32 {
    let context = current();
    context.gang.borrow().clocks.time(context.thread) as u32
}

/// `%laneid`.
#[must_use]
pub fn lane() -> u32 {
    let context = current();
    (context.gang.borrow().index_in_cta(context.thread) % 32) as u32
}

/// Index of the warp in its CTA.
#[must_use]
pub fn warp() -> u32 {
    let context = current();
    (context.gang.borrow().index_in_cta(context.thread) / 32) as u32
}
