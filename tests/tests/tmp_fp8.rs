use oxmla::Device;
use oxmla_tests::checks;
use oxmla_tests::session::Session;
#[test]
fn fp8() -> anyhow::Result<()> {
    for device in [Device::cpu(), Device::simulator()] {
        let mut session = Session::new(device, 100_000)?;
        for check in checks::EVERY_DEVICE.iter().filter(|c| c.name.starts_with("fp8")) {
            eprintln!("{} {}", session.device().name(), check.name);
            (check.run)(&mut session).map_err(|error| error.context(check.name))?;
        }
    }
    Ok(())
}
