//! How a setting is declared: once, with its unit, default, range and reason.
//!
//! The `settings!` macro turns one declaration into the field of the settled form, its default, its row in the
//! reference pages, its parser and its range check. There is no second list to keep in step.

/// What a setting's number means. The magnitude that `minimum` and `maximum` bound is given for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A duration; bounded in milliseconds. Written `"10s"`, `"500ms"`, `"2m"`, `"1h"`.
    Time,
    /// A size in bytes. Written as an integer or `"32KiB"`, `"1MiB"`, `"10GiB"`.
    Bytes,
    /// Bytes per second. Written like a size.
    Rate,
    /// A plain number of things.
    Count,
    /// A percentage.
    Percent,
    /// A text; bounded in bytes.
    Text,
    /// An IP address with a port. From 0 if it may be off.
    Address,
    /// A list; bounded in entries.
    List,
    /// `true` or `false`.
    Flag,
    /// One word out of a few.
    Choice,
    /// A table of further settings, declared on its own.
    Table,
}

/// One row of the table of settings.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key as written in the file, such as `request_head`.
    pub key: &'static str,
    /// What its magnitude counts.
    pub unit: Unit,
    /// The smallest magnitude accepted.
    pub minimum: u64,
    /// The largest magnitude accepted.
    pub maximum: u64,
    /// What it does and why it has this default, in a sentence or two.
    pub why: &'static str,
}

/// Declares a table of settings. See the module documentation.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $name:ident {
            $( $field:ident $(as $key:literal)? : $type:ty = $default:expr, $unit:ident $minimum:literal ..= $maximum:literal, $why:literal; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $( #[doc = $why] #[serde(with = "crate::wire")] pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        $crate::wire::plain!($name);

        impl $name {
            /// The rows of the table of settings that this type is made of, in the order of its fields.
            pub const SETTINGS: &'static [$crate::setting::Setting] = &[
                $( $crate::setting::Setting {
                    key: $crate::setting::key_of!($field $($key)?),
                    unit: $crate::setting::Unit::$unit,
                    minimum: $minimum,
                    maximum: $maximum,
                    why: $why,
                }, )*
            ];
        }

        impl $crate::value::Section for $name {
            const SETTINGS: &'static [$crate::setting::Setting] = $name::SETTINGS;

            fn read_fields(&mut self, table: &toml::de::DeTable<'_>, faults: &mut $crate::fault::Faults) {
                let mut settings = Self::SETTINGS.iter();
                $( if let Some(setting) = settings.next() {
                    $crate::value::read_field(&mut self.$field, setting, table, faults);
                } )*
            }

            fn check_fields(&self, faults: &mut $crate::fault::Faults) {
                let mut settings = Self::SETTINGS.iter();
                $( if let Some(setting) = settings.next() {
                    faults.within($crate::fault::Step::Key(setting.key), |faults| {
                        $crate::value::Value::check(&self.$field, setting, faults);
                    });
                } )*
            }

            fn show_fields(&self, prefix: &str, rows: &mut $crate::value::Rows) {
                let mut settings = Self::SETTINGS.iter();
                $( if let Some(setting) = settings.next() {
                    let key = format!("{prefix}{}", setting.key);
                    $crate::value::Value::show(&self.$field, setting, &key, rows);
                } )*
            }
        }

        impl $crate::value::Value for $name {
            fn read(
                written: &toml::de::DeValue<'_>,
                setting: &$crate::setting::Setting,
                base: Option<&Self>,
                faults: &mut $crate::fault::Faults,
            ) -> Option<Self> {
                $crate::value::read_section(written, setting, base, faults)
            }

            fn check(&self, _: &$crate::setting::Setting, faults: &mut $crate::fault::Faults) {
                $crate::value::Section::check_fields(self, faults);
            }

            fn show(&self, _: &$crate::setting::Setting, key: &str, rows: &mut $crate::value::Rows) {
                $crate::value::Section::show_fields(self, &format!("{key}."), rows);
            }
        }
    };
}
pub(crate) use settings;

macro_rules! key_of {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}
pub(crate) use key_of;

/// Declares a setting's words: an enum whose values are spelled the same in the file, in JSON and in messages.
macro_rules! words {
    (
        $(#[$meta:meta])*
        $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $word:literal, )* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $( $(#[$variant_meta])* #[serde(rename = $word)] $variant, )*
        }

        impl $name {
            /// Every word, in the order of the reference page.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word as written in a file.
            pub fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }

            /// The value a word stands for.
            pub fn of_word(word: &str) -> Option<Self> {
                match word { $( $word => Some(Self::$variant), )* _ => None }
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.word().to_owned()
            }
        }

        $crate::wire::plain!($name);

        impl $crate::value::Value for $name {
            fn read(
                written: &toml::de::DeValue<'_>,
                setting: &$crate::setting::Setting,
                _: Option<&Self>,
                faults: &mut $crate::fault::Faults,
            ) -> Option<Self> {
                $crate::value::read_word(written, setting, Self::WORDS, Self::of_word, faults)
            }

            fn check(&self, _: &$crate::setting::Setting, _: &mut $crate::fault::Faults) {}

            fn show(&self, _: &$crate::setting::Setting, key: &str, rows: &mut $crate::value::Rows) {
                rows.push((key.to_owned(), format!("\"{}\"", self.word())));
            }
        }
    };
}
pub(crate) use words;
