//! What a GPU says about itself.

use cust::CudaApiVersion;
use cust::device::{Device, DeviceAttribute};
use cust::error::CudaError;

use super::modules;
use crate::error::Error;

/// The CUDA version that PTX 8.3 came with.
const LEAST_CUDA: (u32, u32) = (12, 3);

/// What there is to know about a GPU, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CudaInfo {
    /// What the GPU calls itself.
    pub name: String,
    /// Newest CUDA version that the driver supports: major, minor.
    pub driver_version: (u32, u32),
    /// Compute capability: major, minor.
    pub compute_capability: (u32, u32),
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of device memory.
    pub memory_bytes: u64,
    /// Bytes of L2 cache.
    pub l2_bytes: u64,
    /// Highest clock of the multiprocessors, in MHz.
    pub clock_mhz: u32,
    /// Highest clock of the memory, in MHz; it transfers twice per cycle.
    pub memory_clock_mhz: u32,
    /// Width of the memory bus, in bits.
    pub memory_bus_bits: u32,
    /// Address on the PCI bus, `domain:bus:device.function`.
    pub pci_address: String,
    /// Version of the PTX language that the kernels are written in, such as `8.3`.
    pub ptx_version: &'static str,
}

impl CudaInfo {
    pub(super) fn read(device: Device) -> Result<Self, CudaError> {
        let number = |attribute| device.get_attribute(attribute).map(i32::unsigned_abs);
        let driver = CudaApiVersion::get()?;
        let (domain, bus, slot) = (
            number(DeviceAttribute::PciDomainId)?,
            number(DeviceAttribute::PciBusId)?,
            number(DeviceAttribute::PciDeviceId)?,
        );
        Ok(Self {
            name: device.name()?,
            driver_version: (driver.major().unsigned_abs(), driver.minor().unsigned_abs()),
            compute_capability: (
                number(DeviceAttribute::ComputeCapabilityMajor)?,
                number(DeviceAttribute::ComputeCapabilityMinor)?,
            ),
            multiprocessors: number(DeviceAttribute::MultiprocessorCount)?,
            memory_bytes: device.total_memory()? as u64,
            l2_bytes: u64::from(number(DeviceAttribute::L2CacheSize)?),
            clock_mhz: number(DeviceAttribute::ClockRate)? / 1000,
            memory_clock_mhz: number(DeviceAttribute::MemoryClockRate)? / 1000,
            memory_bus_bits: number(DeviceAttribute::GlobalMemoryBusWidth)?,
            pci_address: format!("{domain:08x}:{bus:02x}:{slot:02x}.0"),
            ptx_version: modules::ptx_version(),
        })
    }

    /// Refuses GPUs that the kernels were not compiled for: they are code for `sm_90a` alone, which no later GPU
    /// runs either. Refuses drivers that do not know the kernels' language.
    ///
    /// # Errors
    /// [`Error::UnsupportedDevice`], [`Error::OldDriver`].
    pub(super) fn check_supported(&self) -> Result<(), Error> {
        let (major, minor) = self.compute_capability;
        if (major, minor) != (9, 0) {
            return Err(Error::UnsupportedDevice { name: self.name.clone(), major, minor });
        }
        let (major, minor) = self.driver_version;
        if (major, minor) < LEAST_CUDA {
            return Err(Error::OldDriver { major, minor });
        }
        Ok(())
    }

    /// Bytes per second that the memory delivers at most: `2 · clock · bus width`.
    #[must_use]
    pub fn memory_bytes_per_second(&self) -> f64 {
        2.0 * f64::from(self.memory_clock_mhz) * 1e6 * f64::from(self.memory_bus_bits) / 8.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(name: &str, compute_capability: (u32, u32)) -> CudaInfo {
        CudaInfo {
            name: name.into(),
            driver_version: (13, 0),
            compute_capability,
            multiprocessors: 132,
            memory_bytes: 80 << 30,
            l2_bytes: 50 << 20,
            clock_mhz: 1980,
            memory_clock_mhz: 2619,
            memory_bus_bits: 5120,
            pci_address: "00000000:00:00.0".into(),
            ptx_version: "8.3",
        }
    }

    #[test]
    fn drivers_must_know_the_language() {
        assert_eq!(modules::ptx_version(), "8.3");
        for (driver_version, supported) in
            [((12, 3), true), ((13, 0), true), ((12, 2), false), ((11, 8), false)]
        {
            let info = CudaInfo { driver_version, ..gpu("NVIDIA H100", (9, 0)) };
            let (major, minor) = driver_version;
            let refused = Err(Error::OldDriver { major, minor });
            assert_eq!(info.check_supported(), if supported { Ok(()) } else { refused });
        }
    }

    #[test]
    fn only_hopper_is_supported() {
        assert_eq!(gpu("NVIDIA H100", (9, 0)).check_supported(), Ok(()));
        for (name, major, minor) in [("NVIDIA A100", 8, 0), ("NVIDIA L4", 8, 9), ("B200", 10, 0)] {
            let refused = gpu(name, (major, minor)).check_supported();
            assert_eq!(refused, Err(Error::UnsupportedDevice { name: name.into(), major, minor }));
        }
    }
}
