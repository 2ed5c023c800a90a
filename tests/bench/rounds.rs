//! Figures that are taken in turns, so that whatever else the machine does hits all of them alike.

/// Each figure is the median of so many.
pub const ROUNDS: usize = 5;

/// The median of each figure.
pub fn medians<const N: usize>(figures: [&dyn Fn() -> f64; N]) -> [f64; N] {
    let mut all = [const { Vec::new() }; N];
    for _ in 0..ROUNDS {
        for (taken, figure) in all.iter_mut().zip(&figures) {
            taken.push(figure());
        }
    }
    all.map(median)
}

/// The middle one of some figures.
pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
