//! The management library of NVIDIA's driver, where there is one. Without it, its figures are missing from
//! the report, and nothing else is.

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::Clock;

use super::timing::Load;

/// Sensors of one GPU.
pub struct Sensor {
    nvml: Nvml,
    pci_address: String,
}

impl Sensor {
    /// Sensors of the GPU at an address of the PCI bus.
    pub fn open(pci_address: &str) -> Option<Self> {
        Some(Self { nvml: Nvml::init().ok()?, pci_address: pci_address.to_owned() })
    }

    /// Version of the driver, such as `580.159.03`.
    pub fn driver_version(&self) -> Option<String> {
        self.nvml.sys_driver_version().ok()
    }

    /// What the GPU is doing now.
    pub fn load(&self) -> Load {
        let Ok(device) = self.nvml.device_by_pci_bus_id(self.pci_address.as_str()) else {
            return Load::default();
        };
        Load {
            sm_clock_mhz: device.clock_info(Clock::SM).ok(),
            power_w: device.power_usage().ok().map(|milliwatts| f64::from(milliwatts) * 1e-3),
        }
    }
}
