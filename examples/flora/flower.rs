//! The attributes of a flower: everything that tells one species from another, and nothing about
//! how it is seen.

/// A colour with a name that a caption can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hue {
    White,
    Cream,
    Yellow,
    Orange,
    Red,
    Pink,
    Purple,
    Blue,
    Green,
    Brown,
    Black,
}

impl Hue {
    /// The colours a petal may have.
    pub const PETALS: [Self; 7] =
        [Self::White, Self::Yellow, Self::Orange, Self::Red, Self::Pink, Self::Purple, Self::Blue];
    /// The colours an eye, a mark or an anther may have.
    pub const DETAILS: [Self; 11] = [
        Self::White,
        Self::Cream,
        Self::Yellow,
        Self::Orange,
        Self::Red,
        Self::Pink,
        Self::Purple,
        Self::Blue,
        Self::Green,
        Self::Brown,
        Self::Black,
    ];

    /// Red, green, blue in [0, 1].
    pub const fn rgb(self) -> [f32; 3] {
        match self {
            Self::White => [0.95, 0.95, 0.95],
            Self::Cream => [0.96, 0.90, 0.70],
            Self::Yellow => [0.97, 0.83, 0.12],
            Self::Orange => [0.95, 0.50, 0.10],
            Self::Red => [0.80, 0.10, 0.12],
            Self::Pink => [0.94, 0.52, 0.70],
            Self::Purple => [0.52, 0.24, 0.68],
            Self::Blue => [0.28, 0.40, 0.88],
            Self::Green => [0.48, 0.70, 0.22],
            Self::Brown => [0.42, 0.24, 0.10],
            Self::Black => [0.10, 0.07, 0.09],
        }
    }
}

/// The outer end of a petal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tip {
    Pointed,
    Rounded,
    Notched,
    Fringed,
}

impl Tip {
    pub const ALL: [Self; 4] = [Self::Pointed, Self::Rounded, Self::Notched, Self::Fringed];
}

/// The middle of the flower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eye {
    Small(Hue),
    Large(Hue),
    Ring(Hue),
    Star(Hue),
}

/// What is on the petals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    Plain,
    Spotted(Hue),
    Veined(Hue),
    Striped(Hue),
    Tipped(Hue),
}

/// The threads with anthers around the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamens {
    Hidden,
    Long(Hue),
    Tuft(Hue),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    Narrow,
    Round,
    Toothed,
    Lobed,
}

impl Leaf {
    pub const ALL: [Self; 4] = [Self::Narrow, Self::Round, Self::Toothed, Self::Lobed];
}

/// One kind of flower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flower {
    pub petals: u32,
    pub tip: Tip,
    /// Half a petal's width as a fraction of its length.
    pub width: f32,
    pub colour: Hue,
    pub eye: Eye,
    pub marks: Marks,
    pub stamens: Stamens,
    pub leaf: Leaf,
}
