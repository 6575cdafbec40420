//! Settings that take one of a few names: an enum whose names stand in one place, for serde, messages and `--help`.

/// Declares an enum of unit variants with the names that a pipeline file writes.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// The names as a pipeline file writes them, in the order of the variants.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// Every variant.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The name as a pipeline file writes it.
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
