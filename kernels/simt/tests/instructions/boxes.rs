//! Boxes of tensors.

use oxmla_simt::{Swizzle, TensorMap};

/// Tensors of ranks 1 to 5 with their box.
pub fn maps(address: u64) -> Vec<TensorMap> {
    let dimensions =
        [vec![40], vec![40, 9], vec![40, 9, 3], vec![40, 9, 3, 2], vec![40, 5, 3, 2, 2]];
    let strides =
        [vec![], vec![96], vec![96, 1024], vec![96, 1024, 4096], vec![96, 512, 2048, 8192]];
    let tiles = [vec![16], vec![16, 4], vec![16, 4, 2], vec![16, 4, 2, 2], vec![16, 2, 2, 2, 2]];
    let mut maps = Vec::new();
    for ((dimensions, strides), tile) in dimensions.into_iter().zip(strides).zip(tiles) {
        for swizzle in [Swizzle::None, Swizzle::B32, Swizzle::B64, Swizzle::B128] {
            let element_strides = vec![1; tile.len()];
            maps.push(TensorMap {
                address,
                element_bytes: 2,
                dimensions: dimensions.clone(),
                strides: strides.clone(),
                tile: tile.clone(),
                element_strides,
                swizzle,
            });
        }
    }
    let wide = |element_bytes, tile, dimensions: u64| TensorMap {
        element_bytes,
        tile: vec![tile, 8],
        dimensions: vec![dimensions, 9],
        ..maps[7].clone()
    };
    let others = [wide(1, 96, 90), wide(4, 16, 24), wide(8, 16, 12), wide(2, 64, 40)];
    let strided = TensorMap {
        tile: vec![32, 6],
        element_strides: vec![1, 3],
        swizzle: Swizzle::None,
        ..maps[4].clone()
    };
    maps.extend(others);
    // Boxes of more than 1,024 bytes, in which every swizzle goes through all its phases.
    for (swizzle, inner) in [(Swizzle::B32, 16), (Swizzle::B64, 32), (Swizzle::B128, 64)] {
        let (dimensions, tile) = (vec![40, 40], vec![inner, 40]);
        maps.push(TensorMap { dimensions, tile, swizzle, ..maps[4].clone() });
    }
    maps.push(strided);
    maps
}

/// Corners of boxes of `map`: inside, across every border, and outside. Along the innermost dimension in steps
/// of 16 bytes, for the TMA unit takes no other: an H100 calls them illegal instructions.
pub fn corners(map: &TensorMap) -> Vec<Vec<i32>> {
    let rank = map.tile.len();
    let step = 16 / map.element_bytes as i32;
    let mut rng = fastrand::Rng::with_seed(rank as u64);
    let mut corners =
        vec![vec![0; rank], vec![-3; rank], vec![1; rank], vec![100; rank], vec![-100; rank]];
    corners.extend((0..4).map(|_| (0..rank).map(|_| rng.i32(-8..40)).collect()));
    for corner in &mut corners {
        corner[0] = corner[0].signum() * (corner[0].abs() + step - 1) / step * step;
    }
    corners
}
