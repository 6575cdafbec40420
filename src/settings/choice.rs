//! Settings that take one of a few names: an enum whose names are declared once, for serde,
//! messages and `--help`.

/// The names of a choice, and what each means. A name that ends in `:N` stands for all that have a
/// number there, from 0, as in `cuda:1`.
#[derive(Debug, Clone, Copy)]
pub struct Choices {
    /// The names as a pipeline file writes them.
    pub names: &'static [&'static str],
    abouts: &'static [&'static str],
}

impl Choices {
    /// Makes choices from the names and documentation of all variants.
    pub const fn new(names: &'static [&'static str], abouts: &'static [&'static str]) -> Self {
        Choices { names, abouts }
    }

    /// Returns whether a text is one of the names.
    pub fn have(self, text: &str) -> bool {
        let digits = |number: &str| match number.as_bytes() {
            b"0" => true,
            [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        self.names.iter().any(|name| match name.strip_suffix(NUMBER) {
            Some(before) => text.strip_prefix(before).and_then(|rest| rest.strip_prefix(':')).is_some_and(digits),
            None => *name == text,
        })
    }

    /// Returns the names without a number.
    pub fn plain(self) -> Vec<&'static str> {
        self.names.iter().copied().filter(|name| !name.ends_with(NUMBER)).collect()
    }

    /// Returns what stands before the colon in the names with a number.
    pub fn numbered(self) -> Vec<&'static str> {
        self.names.iter().filter_map(|name| name.strip_suffix(NUMBER)).collect()
    }

    /// Returns each name with its meaning, in Markdown.
    pub fn explained(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.names.iter().copied().zip(self.abouts.iter().map(|about| about.trim()))
    }
}

/// What stands for the number in a name.
const NUMBER: &str = ":N";

/// Declares an enum of unit variants with the names that a pipeline file writes.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $variant_doc:literal])+ $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[doc = $variant_doc])+ #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// The names as a pipeline file writes them, in the order of the variants.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// One of the names, each with what it means.
            pub const WANT: $crate::settings::Want = $crate::settings::Want::Choice(
                $crate::settings::Choices::new(Self::NAMES, &[$(concat!($($variant_doc),+)),+]),
            );

            /// Every variant.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// Returns the name as a pipeline file writes it.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pub(crate) use choice;
