//! `shfl`, `vote`, `redux`, `match`, `elect`.

use oxmla_simt::warp::{self, Reduce, Shuffle};

use crate::support::{collect, random};

fn values() -> Vec<u32> {
    let mut rng = random(1);
    (0..32).map(|_| rng.u32(..)).collect()
}

/// As the pseudocode of the ISA has it, for segments of `width` lanes.
fn shuffled(mode: Shuffle, lane: i32, b: i32, width: i32) -> (i32, bool) {
    let first = lane / width * width;
    let (source, inside) = match mode {
        Shuffle::Up => (lane - b, lane - b >= first),
        Shuffle::Down => (lane + b, lane + b < first + width),
        Shuffle::Butterfly => (lane ^ b, (lane ^ b) < first + width),
        Shuffle::Index => (first + b % width, true),
    };
    (if inside { source } else { lane }, inside)
}

#[test]
fn shuffles() {
    let values = values();
    for mode in [Shuffle::Up, Shuffle::Down, Shuffle::Butterfly, Shuffle::Index] {
        for width in [32, 16, 8, 2] {
            for b in [0, 1, 3, 7, 16, 31] {
                let segment = (32 - width) << 8;
                let c = segment | if mode == Shuffle::Up { 0 } else { 31 };
                let got = collect(32, |lane| {
                    let (value, inside) =
                        warp::shuffle(mode, values[lane as usize], b as u32, c as u32, warp::ALL);
                    [value, inside.into()]
                });
                for lane in 0..32 {
                    let (source, inside) = shuffled(mode, lane, b, width);
                    let expected = [values[source as usize], inside.into()];
                    assert_eq!(got[lane as usize], expected, "{mode:?} {width} {b} lane {lane}");
                }
            }
        }
    }
}

#[test]
fn wrappers_of_shuffles() {
    let got = collect(64, |thread| {
        [
            warp::broadcast(thread, 5),
            warp::up_or_zero(thread + 1, 2),
            warp::butterfly(thread as f32, 4) as u32,
        ]
    });
    for (thread, words) in got.into_iter().enumerate() {
        let (thread, lane) = (thread as u32, thread as u32 % 32);
        let up = if lane < 2 { 0 } else { thread - 1 };
        assert_eq!(words, [thread / 32 * 32 + 5, up, thread ^ 4]);
    }
}

#[test]
fn votes_and_elections() {
    let values = values();
    let got = collect(32, |lane| {
        let odd = values[lane as usize] % 2 == 1;
        [
            warp::ballot(odd),
            warp::any(odd).into(),
            warp::all(odd).into(),
            warp::all(true).into(),
            warp::any(false).into(),
            warp::elect().into(),
            warp::match_any(values[lane as usize] % 3),
        ]
    });
    let mask = |keep: &dyn Fn(u32) -> bool| {
        (0..32).filter(|&l| keep(values[l])).map(|l| 1 << l).sum::<u32>()
    };
    assert_eq!(got.iter().filter(|words| words[5] == 1).count(), 1);
    for (lane, words) in got.iter().enumerate() {
        let same = mask(&|value| value % 3 == values[lane] % 3);
        assert_eq!(words[..5], [mask(&|value| value % 2 == 1), 1, 0, 1, 0]);
        assert_eq!(words[6], same);
    }
}

#[test]
fn reductions() {
    let values = values();
    let fold = |f: fn(u32, u32) -> u32| values.iter().copied().reduce(f).expect("32 values");
    let signed = |f: fn(i32, i32) -> i32| {
        values.iter().map(|&v| v as i32).reduce(f).expect("32 values") as u32
    };
    let expected = [
        (Reduce::Add, fold(u32::wrapping_add)),
        (Reduce::MinUnsigned, fold(u32::min)),
        (Reduce::MaxUnsigned, fold(u32::max)),
        (Reduce::MinSigned, signed(i32::min)),
        (Reduce::MaxSigned, signed(i32::max)),
        (Reduce::And, fold(|a, b| a & b)),
        (Reduce::Or, fold(|a, b| a | b)),
        (Reduce::Xor, fold(|a, b| a ^ b)),
    ];
    for (operation, value) in expected {
        let got = collect(32, |lane| [warp::reduce(operation, values[lane as usize])]);
        assert!(got.iter().all(|words| words[0] == value), "{operation:?}");
    }
}

/// Two halves of a warp on their own ways.
#[test]
fn member_masks() {
    let got = collect(32, |lane| {
        let half = 0xffff << (lane / 16 * 16);
        let (mode, c) = (Shuffle::Index, 31);
        if lane < 16 {
            [warp::shuffle(mode, lane, 3, c, half).0]
        } else {
            warp::sync(half);
            [warp::shuffle(mode, lane, 20, c, half).0]
        }
    });
    for (lane, [value]) in got.into_iter().enumerate() {
        assert_eq!(value, if lane < 16 { 3 } else { 20 });
    }
}
