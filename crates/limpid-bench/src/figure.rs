//! Figures and how they are printed.

use serde_json::json;

/// Something measured.
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    target: Option<Target>,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, target: None }
    }

    /// The most that it may be, if there is such a target.
    pub(crate) fn at_most(self, target: impl Into<Option<f64>>) -> Self {
        Self { target: target.into().map(Target::AtMost), ..self }
    }

    /// The least that it may be.
    pub(crate) fn at_least(self, target: f64) -> Self {
        Self { target: Some(Target::AtLeast(target)), ..self }
    }
}

/// Prints figures, as a table or as one JSON object a line.
pub(crate) fn print(figures: &[Figure], as_json: bool) {
    for Figure { name, value, unit, target } in figures {
        let (bound, met, words) = match *target {
            None => (None, None, ""),
            Some(Target::AtMost(bound)) => (Some(bound), Some(*value <= bound), "at most"),
            Some(Target::AtLeast(bound)) => (Some(bound), Some(*value >= bound), "at least"),
        };
        if as_json {
            let rounded = (value * 1000.0).round() / 1000.0;
            println!(
                "{}",
                json!({"figure": name, "value": rounded, "unit": unit, "target": bound, "met": met})
            );
            continue;
        }
        let target = match (bound, met) {
            (Some(bound), Some(true)) => format!("{words} {bound}: met"),
            (Some(bound), _) => format!("{words} {bound}: MISSED"),
            (None, _) => String::new(),
        };
        println!("{name:<60} {value:>12.3} {unit:<4} {target}");
    }
}

/// The middle of some values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
