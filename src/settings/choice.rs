//! Settings that take one of a few names: an enum whose names are declared once, for serde,
//! messages and `--help`.

/// The names of a choice, and what each means.
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

    /// Returns each name with its meaning, in Markdown.
    pub fn explained(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.names.iter().copied().zip(self.abouts.iter().map(|about| about.trim()))
    }
}

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
