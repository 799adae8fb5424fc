//! Memory that there is not.

use anyhow::{Result, ensure};
use oxmla::Error;

use crate::session::Session;

/// More than any machine has: a petabyte.
const TOO_MUCH: usize = 1 << 50;

/// Asking for too much is an error that says how much, and the device goes on working.
pub fn exhausted(session: &mut Session) -> Result<()> {
    let device = session.device();
    let refused = device.alloc(TOO_MUCH);
    ensure!(
        matches!(&refused, Err(Error::OutOfMemory { bytes: TOO_MUCH, device }) if !device.is_empty()),
        "a petabyte was answered with {refused:?}"
    );
    let bytes = [7u8; 4096];
    let mut buffer = device.alloc(bytes.len())?;
    buffer.write(0, &bytes)?;
    let mut back = [0; 4096];
    buffer.read(0, &mut back)?;
    ensure!(back == bytes, "memory after the refusal does not keep what is written");
    Ok(())
}
