//! FP8 caches: indices that make no sense, which the host refuses before the other tests' kernels see them.

use oxmla_kernels::cache::fp8::Fp8Format;
use oxmla_kernels::simulate::{AppendRows, CacheFormat, ElementType, GatherRows};

use crate::problem::{Aligned, random_bits};

const FORMATS: [Fp8Format; 3] = [Fp8Format::Token656, Fp8Format::Paged584, Fp8Format::Planar644];
const BLOCKS: usize = 3;
const ROWS: u32 = 5;

/// A cache of NaN to which five rows go, at positions 62 to 66 of a request with these blocks.
fn appended(format: Fp8Format, table: &[i32], length: i32) -> Vec<u8> {
    let latent = Aligned::new(&random_bits(ROWS as usize * 512, 1));
    let rope = Aligned::new(&random_bits(ROWS as usize * 64, 2));
    let bytes = BLOCKS * format.bytes_per_block(64) as usize;
    let mut cache = Aligned::new(&vec![0xffff; bytes / 2]);
    let append = AppendRows {
        element: ElementType::Bf16,
        format: CacheFormat::Fp8(format),
        block_size: 64,
        rows: ROWS,
        latent: latent.as_slice(),
        latent_stride: 512,
        rope: rope.as_slice(),
        rope_stride: 64,
        weight: None,
        eps: 0.0,
        rotations: None,
        lengths: &[length],
        offsets: None,
        block_table: table,
        power_of_two_scales: false,
        kv_cache: cache.as_mut_bytes(),
    };
    append.run(|launch| launch.seed(1)).unwrap_or_else(|report| panic!("{report}"));
    cache.as_bytes().to_vec()
}

/// Bytes of each block that are not as they were.
fn written(cache: &[u8]) -> Vec<usize> {
    let block = cache.len() / BLOCKS;
    cache.chunks(block).map(|block| block.iter().filter(|&&byte| byte != 0xff).count()).collect()
}

#[test]
fn rows_have_their_bytes_and_no_others() {
    for format in FORMATS {
        let cache = appended(format, &[2, 0], 67);
        let [two, three] = [2, 3].map(|rows| rows * format.bytes_per_token() as usize);
        let found = written(&cache);
        // A random byte may be 0xff as well.
        let near = |found: usize, expected: usize| (expected - 40..=expected).contains(&found);
        assert!(near(found[2], two) && near(found[0], three) && found[1] == 0, "{found:?}");
    }
}

#[test]
fn ids_of_no_block_and_lengths_beyond_the_table() {
    for format in FORMATS {
        let good = written(&appended(format, &[2, 0], 67));
        for id in [-1, i32::MIN, i32::MAX, BLOCKS as i32] {
            assert_eq!(written(&appended(format, &[2, id], 67)), [0, 0, good[2]], "{id}");
        }
        for length in [0, -1, i32::MIN, i32::MAX, 2 * 64 + 5] {
            assert_eq!(written(&appended(format, &[2, 0], length)), [0; BLOCKS], "{length}");
        }
    }
}

#[test]
fn rows_gathered_from_nowhere() {
    for format in FORMATS {
        let cache = Aligned::new(&vec![0; BLOCKS * format.bytes_per_block(64) as usize / 2]);
        for (table, offsets) in [
            ([-1, 3], [0, 100]),
            ([i32::MAX, i32::MIN], [0, 100]),
            ([0, 1], [i32::MAX, i32::MAX]),
            ([0, 1], [-3, -1]),
        ] {
            let mut out = Aligned::new(&[0xabcd; 100 * 576]);
            let gather = GatherRows {
                element: ElementType::F16,
                format: CacheFormat::Fp8(format),
                block_size: 64,
                rows: 100,
                kv_cache: cache.as_bytes(),
                block_table: &table,
                offsets: &offsets,
                out: out.as_mut_slice(),
            };
            gather.run(|launch| launch.seed(1)).unwrap_or_else(|report| panic!("{report}"));
            assert!(out.as_slice().iter().all(|&bits| bits == 0xabcd), "{table:?}, {offsets:?}");
        }
    }
}
