//! Order statistics of repeated measurements.

/// Median and spread of a series, in the unit of its values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Half of the values are below it.
    pub median: f64,
    /// A tenth of the values are below it.
    pub p10: f64,
    /// A tenth of the values are above it.
    pub p90: f64,
}

impl Summary {
    /// Summarises `values`; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |fraction| quantile(&sorted, fraction);
        Some(Self { median: at(0.5)?, p10: at(0.1)?, p90: at(0.9)? })
    }
}

/// The value below which `fraction` of `sorted` lies, linear between neighbours.
fn quantile(sorted: &[f64], fraction: f64) -> Option<f64> {
    let position = fraction * sorted.len().checked_sub(1)? as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (position - position.floor()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_no_summary() {
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn one_value_is_all_of_them() {
        assert_eq!(Summary::of(&[7.0]), Some(Summary { median: 7.0, p10: 7.0, p90: 7.0 }));
    }

    #[test]
    fn order_does_not_matter() {
        let summary = Summary::of(&[9.0, 1.0, 5.0, 3.0, 7.0, 11.0, 2.0, 8.0, 4.0, 6.0, 10.0]);
        assert_eq!(summary, Some(Summary { median: 6.0, p10: 2.0, p90: 10.0 }));
    }

    #[test]
    fn between_two_values_it_is_linear() {
        let summary = Summary::of(&[10.0, 20.0]).unwrap();
        assert_eq!(summary.median, 15.0);
        assert!((summary.p10 - 11.0).abs() < 1e-9 && (summary.p90 - 19.0).abs() < 1e-9);
    }
}
