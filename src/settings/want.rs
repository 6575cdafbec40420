//! What the value of a key must be.

use super::Choices;

/// What a value must be. Types alone cannot say `in [0, 1]` or `a file that exists`.
#[derive(Debug, Clone, Copy)]
pub enum Want {
    /// Lower-case letters, digits and hyphens.
    Name,
    /// Any text that is not empty.
    Text,
    /// The address of a server, without a secret in it: settings are kept with every run.
    Address,
    /// A path; relative ones start at the pipeline file's folder.
    Path(Must),
    /// A whole number, both ends included.
    Whole(u64, u64),
    /// A finite number.
    Number(Bounds),
    /// A number in `[0, 1]`, or `"auto"`.
    ShareOrAuto,
    /// `true` or `false`.
    Flag,
    /// One of these names.
    Choice(Choices),
    /// One of some names, or another with a number behind a colon: `top:32`.
    NameOrCount(NameOrCount),
    /// A list of sentences, each with `{}` for the class name.
    Templates,
    /// `[least, greatest]`, both in `(0, 1]`.
    Span,
}

/// Names of which one goes with a number.
#[derive(Debug, Clone, Copy)]
pub struct NameOrCount {
    /// The names that stand alone.
    pub names: &'static [&'static str],
    /// The name that a colon and a whole number follow.
    pub counted: &'static str,
    /// The least number.
    pub least: u64,
    /// The greatest number.
    pub most: u64,
}

impl NameOrCount {
    /// Returns whether a text is one of the names, or the other with a number within its bounds.
    pub fn holds(self, text: &str) -> bool {
        let number = text.strip_prefix(self.counted).and_then(|rest| rest.strip_prefix(':'));
        // A number has one spelling.
        let number = number.and_then(|number| number.parse::<u64>().ok().filter(|n| n.to_string() == number));
        self.names.contains(&text) || number.is_some_and(|number| (self.least..=self.most).contains(&number))
    }
}

/// What must be at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Must {
    /// A folder, or nothing yet.
    MayBeNew,
    /// A file or a folder.
    Exist,
    /// A file.
    BeFile,
    /// A folder.
    BeFolder,
    /// A file or a folder, or the name of a model on the hub.
    BeModel,
    /// A folder, or the name of a model on the hub.
    BeModelFolder,
    /// A file or a folder; if the path is a pattern of several, the folder before its first `{`,
    /// `*`, `?` or `[`; or the name of a data set on the hub.
    BeDataset,
}

/// The interval of a number.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The lower end.
    pub least: f64,
    /// Whether `least` itself is allowed.
    pub closed: bool,
    /// The upper end, which is allowed.
    pub greatest: f64,
}

/// A non-negative whole number, up to TOML's largest.
pub const ANY_WHOLE: Want = Want::Whole(0, i64::MAX as u64);

/// A number in `[0, 1]`.
pub const SHARE: Want = from(0.0, 1.0);

/// `true` or `false`.
pub const FLAG: Want = Want::Flag;

/// `[least, greatest]`, both in `(0, 1]`.
pub const SPAN: Want = Want::Span;

/// Asks for a whole number, both ends included.
pub const fn whole(least: u64, greatest: u64) -> Want {
    Want::Whole(least, greatest)
}

/// Asks for a number, both ends included.
pub const fn from(least: f64, greatest: f64) -> Want {
    Want::Number(Bounds { least, closed: true, greatest })
}

/// Asks for a number above `least` and at most `greatest`.
pub const fn above(least: f64, greatest: f64) -> Want {
    Want::Number(Bounds { least, closed: false, greatest })
}

impl Bounds {
    /// Returns whether a number lies in the interval.
    pub fn hold(self, number: f64) -> bool {
        // A comparison with NaN is false.
        let over = if self.closed { number >= self.least } else { number > self.least };
        over && number <= self.greatest
    }
}

impl Want {
    /// Returns the end of a sentence that begins with "... must be".
    pub fn describe(self) -> String {
        match self {
            Want::Name => "a name of lower-case letters, digits and hyphens".into(),
            Want::Text => "a text that is not empty".into(),
            Want::Address => "an address of http or https, without a key in it".into(),
            Want::Path(Must::MayBeNew | Must::Exist) => "a path".into(),
            Want::Path(Must::BeFile) => "the path of a file".into(),
            Want::Path(Must::BeFolder) => "the path of a folder".into(),
            Want::Path(Must::BeModel) => "a path, or a name on the hub: ORG/NAME".into(),
            Want::Path(Must::BeModelFolder) => "the path of a folder, or a name on the hub: ORG/NAME".into(),
            Want::Path(Must::BeDataset) => "a path, or a name on the hub: hf://datasets/ORG/NAME".into(),
            Want::Whole(least, greatest) if greatest == i64::MAX as u64 => {
                format!("a whole number of at least {least}")
            }
            Want::Whole(least, greatest) => format!("a whole number from {least} to {greatest}"),
            Want::Number(Bounds { least, closed, greatest }) => {
                format!("a number in {}{least}, {greatest}]", if closed { '[' } else { '(' })
            }
            Want::ShareOrAuto => "a number in [0, 1], or \"auto\"".into(),
            Want::Flag => "true or false".into(),
            Want::Choice(choices) => format!("one of {}", choices.names.join(", ")),
            Want::NameOrCount(NameOrCount { names, counted, least, most }) => {
                format!("{} or {counted}:K, with a whole number K from {least} to {most}", names.join(", "))
            }
            Want::Templates => "a list of sentences, each with {} where the class name goes".into(),
            Want::Span => "[least, greatest] with 0 < least <= greatest <= 1".into(),
        }
    }
}
