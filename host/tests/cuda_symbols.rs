//! cust's generic functions are compiled here, not in cust: that this file links shows that the crate defines
//! their symbols too. No thread here has a context, so every call fails, with or without a driver.

#![cfg(feature = "cuda")]

use cust::context::CurrentContext;
use cust::event::{Event, EventFlags};
use cust::memory::{DeviceBuffer, LockedBuffer, UnifiedBuffer};
use cust::module::Module;
use cust::stream::{Stream, StreamFlags};

/// The crate whose symbols these are.
use oxmla as _;

#[test]
fn calls_without_a_context_are_refused() {
    assert!(Module::from_ptx("", &[]).is_err());
    assert!(Stream::new(StreamFlags::NON_BLOCKING, None).is_err());
    assert!(Event::new(EventFlags::DEFAULT).is_err());
    assert!(DeviceBuffer::<u8>::zeroed(64).is_err());
    assert!(DeviceBuffer::from_slice(&[1u16; 64]).is_err());
    assert!(UnifiedBuffer::new(&0u32, 64).is_err());
    assert!(LockedBuffer::new(&0u32, 64).is_err());
    assert!(CurrentContext::synchronize().is_err());
}
