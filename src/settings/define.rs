//! The macro that declares a table of settings.

/// Declares a table of the pipeline file as a struct. Each key is one line below its documentation:
///
/// ```text
/// name: type = default, what the value must be, what changes with it;
/// ```
///
/// A key without `= default` is required; a line `..` below the required keys makes a constructor
/// of them, `new`. Nested tables come last, `[name]: type;`, and are documented by their own types.
/// Additional traits to derive follow the struct's name: `Saliency: Copy { ... }`.
macro_rules! settings {
    // No key is required, so the table has a default.
    (
        $(#[doc = $about:literal])+ $name:ident $(: $($derive:ident),+)? {
            $($(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, $want:expr, $changes:ident;)*
            $([$inner:ident]: $table:ty;)*
        }
    ) => {
        $crate::settings::settings! { @type
            $(#[doc = $about])+ $name $(: $($derive),+)? {
                $($(#[doc = $doc])+ $field: $type = $default, $want, $changes;)*
                $([$inner]: $table;)*
            }
            fn omitted() -> Option<Self> { Some(Self::default()) }
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)* $($inner: <$table>::default(),)* }
            }
        }
    };
    // Required keys, then `..`, then keys with defaults: the table is made of the former.
    (
        $(#[doc = $about:literal])+ $name:ident $(: $($derive:ident),+)? {
            $($(#[doc = $told:literal])+ $needed:ident: $of:ty, $must_be:expr, $moves:ident;)+
            ..
            $($(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, $want:expr, $changes:ident;)*
            $([$inner:ident]: $table:ty;)*
        }
    ) => {
        $crate::settings::settings! { @type
            $(#[doc = $about])+ $name $(: $($derive),+)? {
                $($(#[doc = $told])+ $needed: $of, $must_be, $moves;)+
                $($(#[doc = $doc])+ $field: $type = $default, $want, $changes;)*
                $([$inner]: $table;)*
            }
        }

        impl $name {
            /// Makes the table of its required keys, with defaults for all else.
            pub fn new($($needed: $of),+) -> Self {
                $name { $($needed,)+ $($field: $default,)* $($inner: <$table>::default(),)* }
            }
        }
    };
    (
        $(#[doc = $about:literal])+ $name:ident $(: $($derive:ident),+)? {
            $($(#[doc = $doc:literal])+ $field:ident: $type:ty $(= $default:expr)?, $want:expr, $changes:ident;)*
            $([$inner:ident]: $table:ty;)*
        }
    ) => {
        $crate::settings::settings! { @type
            $(#[doc = $about])+ $name $(: $($derive),+)? {
                $($(#[doc = $doc])+ $field: $type $(= $default)?, $want, $changes;)*
                $([$inner]: $table;)*
            }
        }
    };
    (@type
        $(#[doc = $about:literal])+ $name:ident $(: $($derive:ident),+)? {
            $($(#[doc = $doc:literal])+ $field:ident: $type:ty $(= $default:expr)?, $want:expr, $changes:ident;)*
            $([$inner:ident]: $table:ty;)*
        }
        $($omitted:tt)*
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, serde::Serialize $($(, $derive)+)?)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $type,)*
            $(#[doc = concat!("The table `", stringify!($inner), "` in it.")] pub $inner: $table,)*
        }

        impl $crate::settings::Settings for $name {
            const TABLE: $crate::settings::Table = $crate::settings::Table {
                about: concat!($($about),+).trim_ascii(),
                keys: &[$($crate::settings::Key {
                    name: stringify!($field),
                    about: concat!($($doc),+).trim_ascii(),
                    want: $want,
                    changes: $crate::settings::Changes::$changes,
                    default: $crate::settings::settings!(@json $type $(= $default)?),
                },)*],
                tables: &[$((stringify!($inner), <$table as $crate::settings::Settings>::TABLE),)*],
            };

            $($omitted)*
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                /// The table as it was written.
                #[derive(serde::Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Written {
                    $($field: Option<$type>,)*
                    $($inner: Option<$table>,)*
                }
                let written = <Written as serde::Deserialize>::deserialize(deserializer)?;
                Ok($name {
                    $($field: match written.$field {
                        Some(value) => value,
                        None => $crate::settings::settings!(@otherwise $field $(= $default)?),
                    },)*
                    $($inner: written.$inner.or_else(<$table as $crate::settings::Settings>::omitted).ok_or_else(|| {
                        <D::Error as serde::de::Error>::missing_field(stringify!($inner))
                    })?,)*
                })
            }
        }
    };
    (@json $type:ty) => { None };
    (@json $type:ty = $default:expr) => { Some(|| $crate::settings::json::<$type>($default)) };
    (@otherwise $field:ident) => { return Err(<D::Error as serde::de::Error>::missing_field(stringify!($field))) };
    (@otherwise $field:ident = $default:expr) => { $default };
}

pub(crate) use settings;
