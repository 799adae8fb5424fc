//! FP8 caches against files that `golden/make_fp8.py` made after the description of the formats: quantised to the same
//! bytes, dequantised to the same rows.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytemuck::Pod;
use half::{bf16, f16};
use oxmla::cache::{AppendRows, Fp8Format, GatherRows, Scales, append, gather};
use oxmla::{BLOCK_SIZE, CacheLayout, Device, Element, TensorMut, TensorRef};
use safetensors::SafeTensors;

struct Golden {
    layout: CacheLayout,
    scales: Scales,
    tokens: usize,
    latent: Vec<u16>,
    rope: Vec<u16>,
    cache: Vec<u8>,
    rows_bf16: Vec<u16>,
    rows_f16: Vec<u16>,
}

fn read<T: Pod>(file: &SafeTensors<'_>, name: &str) -> Result<Vec<T>> {
    let data = file.tensor(name)?.data();
    Ok(data.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect())
}

impl Golden {
    fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)?;
        let file = SafeTensors::deserialize(&bytes)?;
        let (_, header) = SafeTensors::read_metadata(&bytes)?;
        let metadata = header.metadata().as_ref().context("no metadata")?;
        let format = match metadata["format"].as_str() {
            "656" => Fp8Format::Token656,
            "644" => Fp8Format::Planar644,
            "584" => Fp8Format::Paged584,
            other => anyhow::bail!("format {other}"),
        };
        let power_of_two = metadata["power_of_two_scales"] == "true";
        Ok(Self {
            layout: CacheLayout::fp8(format, BLOCK_SIZE)?,
            scales: if power_of_two { Scales::PowerOfTwo } else { Scales::Exact },
            tokens: file.tensor("rope")?.shape()[0],
            latent: read(&file, "latent")?,
            rope: read(&file, "rope")?,
            cache: read(&file, "cache")?,
            rows_bf16: read(&file, "rows_bf16")?,
            rows_f16: read(&file, "rows_f16")?,
        })
    }

    /// The block that the tokens make, 0xff elsewhere.
    fn quantise(&self, device: &Device) -> oxmla::Result<Vec<u8>> {
        let mut block = vec![0xff; self.layout.bytes_per_block()];
        let (latent, rope) =
            [&self.latent, &self.rope].map(|bits| bytemuck::cast_slice::<u16, bf16>(bits)).into();
        let lengths = [self.tokens as i32];
        let args = AppendRows {
            latent: TensorRef::from_slice(latent, &[self.tokens, self.layout.format().latent()])?,
            rope: TensorRef::from_slice(rope, &[self.tokens, 64])?,
            norm: None,
            rotations: None,
            lengths: TensorRef::from_slice(&lengths, &[1])?,
            block_table: TensorRef::from_slice(&[0], &[1, 1])?,
            offsets: None,
            scales: self.scales,
            kv_cache: TensorMut::from_slice(&mut block, &self.layout.shape(1))?,
        };
        append(device, device.stream()?.as_ref(), args)?;
        Ok(block)
    }

    /// The rows of the file's block, by their bits.
    fn dequantise<T: Element>(&self, device: &Device) -> oxmla::Result<Vec<u16>> {
        let width = self.layout.format().d_qk();
        let mut rows = vec![T::zeroed(); self.tokens * width];
        let offsets = [0, self.tokens as i32];
        let args = GatherRows {
            kv_cache: TensorRef::from_slice(&self.cache, &self.layout.shape(1))?,
            block_table: TensorRef::from_slice(&[0], &[1, 1])?,
            offsets: TensorRef::from_slice(&offsets, &[2])?,
            out: TensorMut::from_slice(&mut rows, &[self.tokens, width])?,
        };
        gather(device, device.stream()?.as_ref(), args)?;
        Ok(bytemuck::cast_slice(&rows).to_vec())
    }

    fn check(&self, device: &Device) -> Result<()> {
        let block = self.quantise(device)?;
        if let Some(byte) = (0..block.len()).find(|&byte| block[byte] != self.cache[byte]) {
            let [found, expected] = [&block, &self.cache].map(|bytes| bytes[byte]);
            anyhow::bail!("byte {byte} is {found:#x}, not {expected:#x}");
        }
        same(&self.dequantise::<bf16>(device)?, &self.rows_bf16, |bits| {
            bf16::from_bits(bits).is_nan()
        })?;
        same(&self.dequantise::<f16>(device)?, &self.rows_f16, |bits| f16::from_bits(bits).is_nan())
    }
}

/// Bit by bit, but for which NaN it is.
fn same(found: &[u16], expected: &[u16], is_nan: impl Fn(u16) -> bool) -> Result<()> {
    ensure!(found.len() == expected.len(), "{} elements, not {}", found.len(), expected.len());
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let both = is_nan(found) && is_nan(expected);
        ensure!(found == expected || both, "element {index} is {found:#x}, not {expected:#x}");
    }
    Ok(())
}

fn devices() -> Vec<Device> {
    let devices = [Device::cpu(), Device::oracle()].into_iter();
    #[cfg(feature = "sim")]
    let devices = devices.chain([Device::simulator()]);
    devices.collect()
}

#[test]
fn the_backends_agree_with_torch() -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/fp8");
    let mut files = 0;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let golden = Golden::read(&path)?;
        for device in devices() {
            let context = || format!("{}, {}", path.display(), device.name());
            golden.check(&device).with_context(context)?;
        }
        files += 1;
    }
    ensure!(files == 4, "{files} golden files instead of 4");
    Ok(())
}
