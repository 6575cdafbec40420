//! What is written under a plate: some of the flower's attributes, in varying words.

use crate::flora::flower::{Eye, Flower, Hue, Leaf, Marks, Stamens, Tip};
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

fn pick<'a>(words: &[&'a str], rng: &mut impl Rng) -> &'a str {
    words.choose(rng).copied().unwrap_or_default()
}

fn hue(hue: Hue, rng: &mut impl Rng) -> &'static str {
    let words: &[&str] = match hue {
        Hue::White => &["white", "white", "snowy white", "pale"],
        Hue::Cream => &["cream", "ivory", "cream coloured"],
        Hue::Yellow => &["yellow", "yellow", "golden", "golden yellow", "lemon"],
        Hue::Orange => &["orange", "orange", "amber", "bright orange"],
        Hue::Red => &["red", "red", "crimson", "scarlet", "blood red"],
        Hue::Pink => &["pink", "pink", "rosy", "rose pink"],
        Hue::Purple => &["purple", "purple", "violet", "mauve"],
        Hue::Blue => &["blue", "blue", "azure", "sky blue"],
        Hue::Green => &["green", "green", "greenish"],
        Hue::Brown => &["brown", "brown", "rusty", "chestnut"],
        Hue::Black => &["black", "black", "dark", "nearly black"],
    };
    pick(words, rng)
}

fn number(n: u32, rng: &mut impl Rng) -> String {
    const WORDS: [&str; 16] = [
        "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
        "thirteen", "fourteen", "fifteen",
    ];
    match WORDS.get(n as usize) {
        Some(_) if n > 10 && rng.random_bool(0.6) => "many".to_owned(),
        Some(word) if rng.random_bool(0.8) => (*word).to_owned(),
        _ => n.to_string(),
    }
}

fn petals(flower: &Flower, rng: &mut impl Rng) -> String {
    let tip = match flower.tip {
        Tip::Pointed => pick(&["pointed", "pointed", "sharp", "tapering"], rng),
        Tip::Rounded => pick(&["rounded", "round", "blunt"], rng),
        Tip::Notched => pick(&["notched", "notched", "heart shaped"], rng),
        Tip::Fringed => pick(&["fringed", "ragged", "torn"], rng),
    };
    let width = if flower.width < 0.22 {
        "narrow "
    } else if flower.width > 0.4 {
        "broad "
    } else {
        ""
    };
    let width = if rng.random_bool(0.4) { width } else { "" };
    let petals = pick(&["petals", "petals", "petals", "rays"], rng);
    let colour = hue(flower.colour, rng);
    match rng.random_range(0..5) {
        0 => format!("{} {tip} {colour} {petals}", number(flower.petals, rng)),
        1 => format!("{width}{colour} {petals}"),
        2 => format!("{} {colour} {petals}", number(flower.petals, rng)),
        3 => format!("{colour} {petals} with {tip} {}", pick(&["tips", "ends"], rng)),
        _ => format!("{width}{tip} {colour} {petals}"),
    }
}

fn eye(eye: Eye, rng: &mut impl Rng) -> String {
    match eye {
        Eye::Small(h) => format!(
            "a {} {} {}",
            pick(&["small", "little", "tiny"], rng),
            hue(h, rng),
            pick(&["eye", "centre", "middle"], rng)
        ),
        Eye::Large(h) => format!(
            "a {} {} {}",
            pick(&["large", "big", "broad"], rng),
            hue(h, rng),
            pick(&["eye", "centre", "disc"], rng)
        ),
        Eye::Ring(h) => {
            format!("a {} ring {}", hue(h, rng), pick(&["around the eye", "around the centre", "in the middle"], rng))
        }
        Eye::Star(h) => {
            format!("a {} star {}", hue(h, rng), pick(&["in the middle", "at the centre", "for an eye"], rng))
        }
    }
}

fn marks(marks: Marks, rng: &mut impl Rng) -> Option<String> {
    Some(match marks {
        Marks::Plain => {
            return rng.random_bool(0.3).then(|| pick(&["plain petals", "no markings", "no spots"], rng).to_owned());
        }
        Marks::Spotted(h) => {
            format!("{} {}", hue(h, rng), pick(&["spots", "spots", "freckles", "dots", "speckles"], rng))
        }
        Marks::Veined(h) => format!("{} {}", hue(h, rng), pick(&["veins", "veins", "fine lines"], rng)),
        Marks::Striped(h) => format!(
            "{} {}",
            pick(&["a", "a broad"], rng),
            format_args!("{} {}", hue(h, rng), pick(&["stripe on each petal", "stripe", "band along the petals"], rng))
        ),
        Marks::Tipped(h) => {
            format!("{} {}", hue(h, rng), pick(&["tips", "edges", "margins", "tips to the petals"], rng))
        }
    })
}

fn stamens(stamens: Stamens, rng: &mut impl Rng) -> Option<String> {
    Some(match stamens {
        Stamens::Hidden => return rng.random_bool(0.1).then(|| "no visible stamens".to_owned()),
        Stamens::Long(h) => {
            format!("long {} {}", hue(h, rng), pick(&["stamens", "stamens", "anthers", "threads"], rng))
        }
        Stamens::Tuft(h) => format!("a tuft of {} {}", hue(h, rng), pick(&["stamens", "anthers"], rng)),
    })
}

fn leaf(leaf: Leaf, rng: &mut impl Rng) -> String {
    let shape = match leaf {
        Leaf::Narrow => pick(&["narrow", "slender", "grassy"], rng),
        Leaf::Round => pick(&["round", "oval"], rng),
        Leaf::Toothed => pick(&["toothed", "jagged"], rng),
        Leaf::Lobed => pick(&["lobed", "deeply cut"], rng),
    };
    format!("{shape} leaves")
}

/// A caption by attributes alone.
pub fn by_attributes(flower: &Flower, rng: &mut impl Rng) -> String {
    let noun = pick(&["flower", "flower", "bloom", "blossom", "wildflower"], rng);
    let mut details = Vec::new();
    if rng.random_bool(0.75) {
        details.push(eye(flower.eye, rng));
    }
    if rng.random_bool(0.8) {
        details.extend(marks(flower.marks, rng));
    }
    if rng.random_bool(0.75) {
        details.extend(stamens(flower.stamens, rng));
    }
    if rng.random_bool(0.12) {
        details.push(leaf(flower.leaf, rng));
    }
    details.shuffle(rng);
    details.insert(0, petals(flower, rng));
    let list = match details.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    };
    match rng.random_range(0..6) {
        0 => format!("a {noun} with {list}"),
        1 => format!("a drawing of a {noun} with {list}"),
        2 => list,
        3 => format!("a picture of a {noun} that has {list}"),
        4 => format!("a {} {noun} with {list}", hue(flower.colour, rng)),
        _ => format!("the {noun} has {list}"),
    }
}
