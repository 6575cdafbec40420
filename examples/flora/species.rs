//! The 24 invented species: six groups of four that share colour and build and differ in small,
//! local things.

use super::flower::{Eye, Flower, Hue, Leaf, Marks, Stamens, Tip};

/// A species: the name that is its class, and what it looks like.
pub struct Species {
    pub name: &'static str,
    pub flower: Flower,
}

const fn species(name: &'static str, build: Build, petals: u32, tip: Tip, local: Local) -> Species {
    let Build { colour, width, leaf } = build;
    let Local { eye, marks, stamens } = local;
    Species { name, flower: Flower { petals, tip, width, colour, eye, marks, stamens, leaf } }
}

/// What the species of a group share.
#[derive(Clone, Copy)]
struct Build {
    colour: Hue,
    width: f32,
    leaf: Leaf,
}

/// What tells the species of a group apart.
struct Local {
    eye: Eye,
    marks: Marks,
    stamens: Stamens,
}

const fn local(eye: Eye, marks: Marks, stamens: Stamens) -> Local {
    Local { eye, marks, stamens }
}

const STARWORT: Build = Build { colour: Hue::White, width: 0.26, leaf: Leaf::Narrow };
const GOLDCUP: Build = Build { colour: Hue::Yellow, width: 0.46, leaf: Leaf::Lobed };
const SPEEDWELL: Build = Build { colour: Hue::Blue, width: 0.42, leaf: Leaf::Toothed };
const CAMPION: Build = Build { colour: Hue::Pink, width: 0.36, leaf: Leaf::Narrow };
const ASTER: Build = Build { colour: Hue::Purple, width: 0.15, leaf: Leaf::Toothed };
const LILY: Build = Build { colour: Hue::Orange, width: 0.30, leaf: Leaf::Round };

/// All species, in the order of their labels.
pub const ALL: [Species; 24] = [
    species(
        "golden starwort",
        STARWORT,
        6,
        Tip::Pointed,
        local(Eye::Large(Hue::Yellow), Marks::Plain, Stamens::Hidden),
    ),
    species(
        "widow starwort",
        STARWORT,
        6,
        Tip::Pointed,
        local(Eye::Small(Hue::Black), Marks::Plain, Stamens::Long(Hue::Purple)),
    ),
    species(
        "painted starwort",
        STARWORT,
        6,
        Tip::Pointed,
        local(Eye::Small(Hue::Green), Marks::Spotted(Hue::Red), Stamens::Hidden),
    ),
    species(
        "marsh starwort",
        STARWORT,
        8,
        Tip::Rounded,
        local(Eye::Small(Hue::Green), Marks::Veined(Hue::Purple), Stamens::Hidden),
    ),
    species(
        "meadow goldcup",
        GOLDCUP,
        5,
        Tip::Rounded,
        local(Eye::Small(Hue::Green), Marks::Plain, Stamens::Tuft(Hue::Yellow)),
    ),
    species(
        "leopard goldcup",
        GOLDCUP,
        5,
        Tip::Rounded,
        local(Eye::Small(Hue::Green), Marks::Spotted(Hue::Brown), Stamens::Hidden),
    ),
    species("ember goldcup", GOLDCUP, 5, Tip::Notched, local(Eye::Ring(Hue::Red), Marks::Plain, Stamens::Hidden)),
    species(
        "mourning goldcup",
        GOLDCUP,
        5,
        Tip::Rounded,
        local(Eye::Large(Hue::Black), Marks::Striped(Hue::Orange), Stamens::Hidden),
    ),
    species(
        "river speedwell",
        SPEEDWELL,
        4,
        Tip::Rounded,
        local(Eye::Ring(Hue::White), Marks::Veined(Hue::Purple), Stamens::Hidden),
    ),
    species("star speedwell", SPEEDWELL, 4, Tip::Rounded, local(Eye::Star(Hue::White), Marks::Plain, Stamens::Hidden)),
    species(
        "lantern speedwell",
        SPEEDWELL,
        5,
        Tip::Rounded,
        local(Eye::Large(Hue::Yellow), Marks::Plain, Stamens::Hidden),
    ),
    species(
        "frosted speedwell",
        SPEEDWELL,
        5,
        Tip::Rounded,
        local(Eye::Small(Hue::Black), Marks::Tipped(Hue::White), Stamens::Long(Hue::White)),
    ),
    species("ring campion", CAMPION, 5, Tip::Notched, local(Eye::Ring(Hue::Red), Marks::Plain, Stamens::Hidden)),
    species("ragged campion", CAMPION, 5, Tip::Fringed, local(Eye::Small(Hue::White), Marks::Plain, Stamens::Hidden)),
    species(
        "dusky campion",
        CAMPION,
        5,
        Tip::Notched,
        local(Eye::Large(Hue::Purple), Marks::Veined(Hue::Purple), Stamens::Hidden),
    ),
    species(
        "candle campion",
        CAMPION,
        5,
        Tip::Notched,
        local(Eye::Star(Hue::White), Marks::Tipped(Hue::White), Stamens::Tuft(Hue::Cream)),
    ),
    species("harvest aster", ASTER, 13, Tip::Pointed, local(Eye::Large(Hue::Yellow), Marks::Plain, Stamens::Hidden)),
    species("raven aster", ASTER, 13, Tip::Pointed, local(Eye::Large(Hue::Black), Marks::Plain, Stamens::Hidden)),
    species(
        "snowtip aster",
        ASTER,
        13,
        Tip::Rounded,
        local(Eye::Large(Hue::Yellow), Marks::Tipped(Hue::White), Stamens::Hidden),
    ),
    species(
        "moss aster",
        ASTER,
        13,
        Tip::Pointed,
        local(Eye::Small(Hue::Green), Marks::Plain, Stamens::Tuft(Hue::White)),
    ),
    species(
        "tiger lily",
        LILY,
        6,
        Tip::Pointed,
        local(Eye::Small(Hue::Green), Marks::Spotted(Hue::Black), Stamens::Hidden),
    ),
    species(
        "copper lily",
        LILY,
        6,
        Tip::Pointed,
        local(Eye::Small(Hue::Green), Marks::Striped(Hue::Brown), Stamens::Hidden),
    ),
    species("lamp lily", LILY, 6, Tip::Pointed, local(Eye::Star(Hue::Yellow), Marks::Plain, Stamens::Long(Hue::Brown))),
    species(
        "bleeding lily",
        LILY,
        6,
        Tip::Pointed,
        local(Eye::Large(Hue::Red), Marks::Tipped(Hue::Red), Stamens::Hidden),
    ),
];
