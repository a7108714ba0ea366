//! Figures and how they are printed.

use serde_json::json;

/// Something measured.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// The most it may be, if there is a target.
    pub(crate) target_max: Option<f64>,
}

/// Prints figures, as a table or as one JSON object a line.
pub(crate) fn print(figures: &[Figure], as_json: bool) {
    for Figure { name, value, unit, target_max } in figures {
        let met = target_max.map(|target| *value <= target);
        if as_json {
            let rounded = (value * 1000.0).round() / 1000.0;
            println!(
                "{}",
                json!({"figure": name, "value": rounded, "unit": unit, "target": target_max, "met": met})
            );
            continue;
        }
        let target = match (target_max, met) {
            (Some(target), Some(true)) => format!("at most {target}: met"),
            (Some(target), _) => format!("at most {target}: MISSED"),
            (None, _) => String::new(),
        };
        println!("{name:<44} {value:>10.3} {unit:<4} {target}");
    }
}

/// The middle of some values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
