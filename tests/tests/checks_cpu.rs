//! What one decode step cannot show, on the CPU backend.

use oxmla::Device;
use oxmla_tests::checks;
use oxmla_tests::session::Session;

fn session() -> anyhow::Result<Session> {
    Session::new(Device::cpu(), 100_000)
}

#[test]
fn every_check() -> anyhow::Result<()> {
    let mut session = session()?;
    for check in checks::EVERY_DEVICE {
        (check.run)(&mut session).map_err(|error| error.context(check.name))?;
    }
    Ok(())
}
