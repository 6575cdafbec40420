//! Words of others on one line of ours.

/// Returns a text on one line with single spaces, without characters that steer a terminal.
pub(crate) fn on_one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}
