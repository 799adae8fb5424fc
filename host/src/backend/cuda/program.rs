//! Kernels that a program brings along, launched as those of this crate are: the micro-benchmarks of the command
//! line.

use std::mem::ManuallyDrop;

use bytemuck::Pod;
use cust::module::Module;
use oxmla_kernels::launch::Kernel;

use super::device::CudaDevice;
use super::driver::Handle;
use super::launch::Launch;
use super::module::{self, Function};
use super::tensor_map::Layout;
use crate::error::Result;
use crate::stream::StreamRef;
use crate::tensor::TensorRef;

/// A PTX module, loaded, and unloaded on drop: its kernels have run by then.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    module: ManuallyDrop<Module>,
    device: CudaDevice,
}

impl Program {
    /// Compiles and loads `ptx`; errors call it `name`.
    ///
    /// # Errors
    /// [`Error::ModuleLoad`](crate::Error::ModuleLoad) with the log of the driver's compiler, or
    /// [`Error::Driver`](crate::Error::Driver).
    pub fn load(device: &CudaDevice, name: &'static str, ptx: &str) -> Result<Self> {
        let module = ManuallyDrop::new(module::load(&device.make_current()?, name, ptx)?);
        Ok(Self { name, module, device: device.clone() })
    }

    /// The entry point that `geometry` describes.
    ///
    /// # Errors
    /// [`Error::ModuleLoad`](crate::Error::ModuleLoad) if the module has none of that name, or
    /// [`Error::Driver`](crate::Error::Driver).
    pub fn kernel(&self, geometry: &Kernel) -> Result<ProgramKernel<'_>> {
        let _current = self.device.make_current()?;
        let function = Function::find(self.device.driver(), &self.module, self.name, geometry)?;
        let launch = Launch { function, grid: [1; 3], programmatic: false, cooperative: false };
        Ok(ProgramKernel { program: self, launch })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _current = self.device.make_current();
        // SAFETY: nobody uses it after this. cust unloads it from the context that is current.
        unsafe { ManuallyDrop::drop(&mut self.module) };
    }
}

/// An entry point, and how to start it.
#[derive(Clone, Copy, Debug)]
pub struct ProgramKernel<'a> {
    program: &'a Program,
    launch: Launch,
}

impl ProgramKernel<'_> {
    /// CTAs of the grid, along x; a multiple of the cluster. 1 unless said otherwise.
    #[must_use]
    pub const fn ctas(mut self, ctas: u32) -> Self {
        self.launch.grid[0] = ctas;
        self
    }

    /// Threads of a CTA, no more than the geometry has.
    #[must_use]
    pub const fn threads(mut self, threads: u32) -> Self {
        self.launch.function.geometry.threads = threads;
        self
    }

    /// Dynamic shared memory of a CTA, no more than the geometry has, in bytes.
    #[must_use]
    pub const fn shared_bytes(mut self, bytes: u32) -> Self {
        self.launch.function.geometry.shared_bytes = bytes;
        self
    }

    /// Starts while the kernel in front of it in the stream still runs; it waits for that one by itself.
    #[must_use]
    pub const fn programmatic(mut self) -> Self {
        self.launch.programmatic = true;
        self
    }

    /// All CTAs run at the same time.
    #[must_use]
    pub const fn cooperative(mut self) -> Self {
        self.launch.cooperative = true;
        self
    }

    /// Gives the kernel to `stream`, with one parameter, or none if that has no size. Allocates nothing and waits
    /// for nothing.
    ///
    /// # Errors
    /// [`Error::LocationMismatch`](crate::Error::LocationMismatch) if the stream is of another device, or
    /// [`Error::Driver`](crate::Error::Driver).
    ///
    /// # Safety
    /// `parameter` is what the kernel declares; every address in it is valid until the kernel has run.
    pub unsafe fn launch<P: Pod>(&self, stream: StreamRef<'_>, parameter: &P) -> Result<()> {
        let device = &self.program.device;
        device.check_stream(stream)?;
        // SAFETY: the caller's promise.
        unsafe { self.launch.start(&device.make_current()?, stream.raw(), [pointer(parameter)]) }
    }

    /// [`launch`](Self::launch) with the tensor map of a cache `[blocks, 64, h_k, 576]` in front of the parameter.
    ///
    /// # Errors
    /// As for [`launch`](Self::launch); also if there is no map of the tensor.
    ///
    /// # Safety
    /// As for [`launch`](Self::launch); the cache stays until the kernel has run.
    pub unsafe fn launch_over<P: Pod>(
        &self,
        stream: StreamRef<'_>,
        kv_cache: &TensorRef<'_>,
        parameter: &P,
    ) -> Result<()> {
        let device = &self.program.device;
        device.check_stream(stream)?;
        let mut map = Layout::of_cache(kv_cache)?.encode(device.driver(), kv_cache)?;
        let parameters = [map.parameter(), pointer(parameter)];
        // SAFETY: the caller's promise.
        unsafe { self.launch.start(&device.make_current()?, stream.raw(), parameters) }
    }
}

/// What a launch takes for a parameter. It only reads through the pointer.
fn pointer<P: Pod>(parameter: &P) -> Handle {
    (&raw const *parameter).cast_mut().cast()
}
