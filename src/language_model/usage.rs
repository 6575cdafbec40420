//! What questions cost: tokens, and money.

use std::ops::AddAssign;

/// Tokens that a model read and wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of questions.
    pub read: u64,
    /// Tokens of answers.
    pub written: u64,
    /// Whether some of them are estimated, since the server does not count them.
    pub estimated: bool,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, more: Usage) {
        self.read = self.read.saturating_add(more.read);
        self.written = self.written.saturating_add(more.written);
        self.estimated = self.estimated || more.estimated;
    }
}

/// Prices in US dollars per million tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Prices {
    /// Of tokens that are read.
    pub read: Option<f64>,
    /// Of tokens that are written.
    pub written: Option<f64>,
}

impl Prices {
    /// Returns what tokens cost, in US dollars; `None` if no price is known.
    pub fn of(self, usage: Usage) -> Option<f64> {
        if self.read.is_none() && self.written.is_none() {
            return None;
        }
        let cost = |tokens: u64, price: Option<f64>| tokens as f64 * price.unwrap_or(0.0) / 1e6;
        Some(cost(usage.read, self.read) + cost(usage.written, self.written))
    }
}

/// Returns about how many tokens a text has: one for four characters, as in English.
pub fn tokens_about(text: &str) -> u64 {
    (text.chars().count() as u64).div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_cost_what_a_million_costs() {
        let usage = Usage { read: 2_000_000, written: 500_000, estimated: false };
        assert_eq!(Prices { read: Some(0.5), written: Some(2.0) }.of(usage), Some(2.0));
        assert_eq!(Prices { read: None, written: Some(2.0) }.of(usage), Some(1.0));
        assert_eq!(Prices::default().of(usage), None);
        assert_eq!(tokens_about("eight ch"), 2);
    }
}
