//! Windows and soft caps on the command line.

/// A limit, or none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit<T>(pub Option<T>);

/// `off`, or tokens of a window.
pub fn window(text: &str) -> Result<Limit<u32>, &'static str> {
    parse(text, |&tokens| tokens > 0).ok_or("it must be `off`, or 1 token or more")
}

/// `off`, or a soft cap.
pub fn softcap(text: &str) -> Result<Limit<f32>, &'static str> {
    parse(text, |&cap: &f32| cap.is_finite() && cap > 0.0)
        .ok_or("it must be `off`, or a finite number above 0")
}

fn parse<T: std::str::FromStr>(text: &str, holds: impl Fn(&T) -> bool) -> Option<Limit<T>> {
    if text == "off" {
        return Some(Limit(None));
    }
    let value = text.parse().ok().filter(holds)?;
    Some(Limit(Some(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_or_off() {
        assert_eq!(window("off"), Ok(Limit(None)));
        assert_eq!(window("512"), Ok(Limit(Some(512))));
        assert_eq!(softcap("off"), Ok(Limit(None)));
        assert_eq!(softcap("30.5"), Ok(Limit(Some(30.5))));
        for text in ["0", "-1", "x", ""] {
            assert!(window(text).is_err(), "{text}");
        }
        for text in ["0", "-1", "inf", "NaN", "x"] {
            assert!(softcap(text).is_err(), "{text}");
        }
    }
}
