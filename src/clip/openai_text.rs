//! OpenAI's cleaning of a text before tokenization: mend it (the parts of ftfy that plain sentences
//! need), unescape HTML twice, and collapse white space.

/// Returns the cleaned text.
pub fn clean(text: &str) -> String {
    let once = html_escape::decode_html_entities(text);
    let twice = html_escape::decode_html_entities(once.as_ref());
    let mended: String = twice.chars().flat_map(|c| mend(c).chars().chain(keep(c))).collect();
    mended.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the letters that a ligature or a typographic quote stands for.
fn mend(c: char) -> &'static str {
    match c {
        '\u{FB00}' => "ff",
        '\u{FB01}' => "fi",
        '\u{FB02}' => "fl",
        '\u{FB03}' => "ffi",
        '\u{FB04}' => "ffl",
        '\u{FB05}' => "\u{17F}t",
        '\u{FB06}' => "st",
        '\u{2018}' | '\u{2019}' => "'",
        '\u{201C}' | '\u{201D}' => "\"",
        _ => "",
    }
}

/// Returns the character itself, unless it was mended or is an invisible control character.
fn keep(c: char) -> Option<char> {
    let dropped = !mend(c).is_empty() || c == '\u{FEFF}' || (c.is_control() && !c.is_whitespace());
    (!dropped).then_some(c)
}

/// Returns the stretches of plain text, each with the mark that follows it.
pub fn split_marks<'t>(text: &'t str, start: &'t str, end: &'t str) -> Vec<(&'t str, Option<&'t str>)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        let next = [start, end].into_iter().filter_map(|mark| rest.find(mark).map(|at| (at, mark))).min();
        let Some((at, mark)) = next else {
            pieces.push((rest, None));
            return pieces;
        };
        pieces.push((&rest[..at], Some(mark)));
        rest = &rest[at + mark.len()..];
    }
}
