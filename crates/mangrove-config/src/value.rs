//! What can be the value of a setting: how it is read from a file, judged against its range, and shown.

use std::fmt::Display;

use toml::de::{DeTable, DeValue};

use crate::fault::{Faults, Step};
use crate::reference;
use crate::setting::{Setting, Unit};
use crate::units;

/// Settings by full key, with their values as written in a file.
pub(crate) type Rows = Vec<(String, String)>;

/// A value some setting can have.
pub(crate) trait Value: Sized {
    /// Reads what was written. What is wrong goes to `faults`, and then there is no value. A table of settings starts
    /// from `base`, or from its defaults.
    fn read(
        written: &DeValue<'_>,
        setting: &Setting,
        base: Option<&Self>,
        faults: &mut Faults,
    ) -> Option<Self>;

    /// Judges the value against the setting's range.
    fn check(&self, setting: &Setting, faults: &mut Faults);

    /// Adds the value to `rows` under `key`; nothing if it is unset.
    fn show(&self, setting: &Setting, key: &str, rows: &mut Rows);
}

/// A table of settings, as `settings!` declares it.
pub(crate) trait Section: Default + Clone {
    const SETTINGS: &'static [Setting];
    fn read_fields(&mut self, table: &DeTable<'_>, faults: &mut Faults);
    fn check_fields(&self, faults: &mut Faults);
    fn show_fields(&self, prefix: &str, rows: &mut Rows);
}

/// Reads one field of a table if it is there.
pub(crate) fn read_field<T: Value>(
    field: &mut T,
    setting: &Setting,
    table: &DeTable<'_>,
    faults: &mut Faults,
) {
    if let Some(written) = table.get(setting.key) {
        let step = Step::Key(setting.key);
        if let Some(value) = faults.within(step, |faults| {
            T::read(written.get_ref(), setting, Some(&*field), faults)
        }) {
            *field = value;
        }
    }
}

/// Reports keys of `table` that no setting has.
pub(crate) fn refuse_strangers(
    table: &DeTable<'_>,
    settings: &[Setting],
    allowed: &[&str],
    faults: &mut Faults,
) {
    for key in table.keys() {
        let name: &str = key.get_ref();
        if settings.iter().any(|setting| setting.key == name) || allowed.contains(&name) {
            continue;
        }
        let keys = || settings.iter().map(|setting| setting.key);
        let meant = nearest(name, keys());
        let help = match (meant, reference::home_of(name)) {
            (Some(meant), None) => format!("did you mean `{meant}`?"),
            (Some(meant), Some(home)) => {
                format!("did you mean `{meant}`? (`{name}` belongs in {home})")
            }
            (None, Some(home)) => format!("`{name}` belongs in {home}"),
            (None, None) => format!("the keys here are {}", one_of(keys())),
        };
        // What follows from its absence is then not reported too.
        let absent = meant.filter(|meant| table.get(*meant).is_none());
        faults.refuse_stranger(
            key.span(),
            format!("there is no setting `{}`", name.escape_debug()),
            help,
            absent,
        );
    }
}

/// The one of `known` that `name` was probably meant to be.
pub(crate) fn nearest(
    name: &str,
    known: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    /// Nobody mistypes something this long; comparing it would only cost time.
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let lower = name.to_ascii_lowercase().replace('-', "_");
    known
        .map(|known| {
            (
                strsim::damerau_levenshtein(&lower, &known.replace('-', "_")),
                known,
            )
        })
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3).min(3))
        .min()
        .map(|(_, known)| known)
}

fn one_of(words: impl Iterator<Item = &'static str>) -> String {
    words
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Reports a value of the wrong kind.
pub(crate) fn wrong_kind(
    written: &DeValue<'_>,
    setting: &Setting,
    wanted: &str,
    faults: &mut Faults,
) {
    let is = match written {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    faults.refuse(
        format!("`{}` cannot be {is}", setting.key),
        Some(wanted.to_owned()),
    );
}

/// Reports a magnitude outside the setting's range.
pub(crate) fn check_range(magnitude: u64, setting: &Setting, faults: &mut Faults) {
    if magnitude < setting.minimum || magnitude > setting.maximum {
        out_of_range(&units::show(setting.unit, magnitude), setting, faults);
    }
}

pub(crate) fn out_of_range(is: &str, setting: &Setting, faults: &mut Faults) {
    let show = |magnitude| units::show(setting.unit, magnitude);
    let (minimum, maximum) = (show(setting.minimum), show(setting.maximum));
    let key = setting.key;
    let what = match setting.unit {
        Unit::Text if setting.minimum == setting.maximum => {
            format!("`{key}` has {minimum} bytes; here it has {is}")
        }
        Unit::Text => format!("`{key}` has from {minimum} to {maximum} bytes; here it has {is}"),
        Unit::List => format!("`{key}` has at most {maximum} entries; here it has {is}"),
        _ => format!("`{key}` is from {minimum} to {maximum}; here it is {is}"),
    };
    faults.refuse(what, None);
}

/// A text from outside in a message: quoted, escaped, and short.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
    }
}

/// How none is written where there may be none.
const OFF: &str = "\"off\"";

/// Whether the setting may be `"off"`: its range begins at nothing. A duration may be nothing as well, and says so: `"0s"`.
fn may_be_off(setting: &Setting) -> bool {
    setting.minimum == 0 && !matches!(setting.unit, Unit::Table | Unit::Time)
}

/// Whether `"off"` was written where that stands for none.
fn is_off(written: &DeValue<'_>, setting: &Setting) -> bool {
    may_be_off(setting) && written.as_str() == Some("off")
}

impl<T: Value> Value for Option<T> {
    fn read(
        written: &DeValue<'_>,
        setting: &Setting,
        base: Option<&Self>,
        faults: &mut Faults,
    ) -> Option<Self> {
        if is_off(written, setting) {
            return Some(None);
        }
        T::read(written, setting, base.and_then(Option::as_ref), faults).map(Some)
    }

    fn check(&self, setting: &Setting, faults: &mut Faults) {
        if let Some(value) = self {
            value.check(setting, faults);
        }
    }

    fn show(&self, setting: &Setting, key: &str, rows: &mut Rows) {
        match self {
            Some(value) => value.show(setting, key, rows),
            None if may_be_off(setting) => rows.push((key.to_owned(), OFF.to_owned())),
            None => {}
        }
    }
}

/// Ranges of a list bound its length; its texts have this one.
fn entry_of(setting: &Setting) -> Setting {
    Setting {
        unit: Unit::Text,
        minimum: 1,
        maximum: 4_096,
        ..*setting
    }
}

impl<T: Value> Value for Vec<T> {
    fn read(
        written: &DeValue<'_>,
        setting: &Setting,
        _: Option<&Self>,
        faults: &mut Faults,
    ) -> Option<Self> {
        if is_off(written, setting) {
            return Some(Self::new());
        }
        let off = if setting.minimum == 0 {
            "; for none, write \"off\""
        } else {
            ""
        };
        let DeValue::Array(entries) = written else {
            wrong_kind(
                written,
                setting,
                &format!("write a list: [ … ]{off}"),
                faults,
            );
            return None;
        };
        if entries.is_empty() {
            let help = match setting.key {
                _ if may_be_off(setting) => "for none, write \"off\"",
                "hosts" => "list at least one; \"*\" is any host",
                _ => "list at least one, or leave the key out",
            };
            let what = format!(
                "`{}` is an empty list, which is read neither as all nor as none",
                setting.key
            );
            faults.refuse(what, Some(help.to_owned()));
            return None;
        }
        let entry = entry_of(setting);
        let mut values = Self::with_capacity(entries.len());
        for (position, written) in entries.iter().enumerate() {
            let step = Step::Entry(position);
            values.extend(faults.within(step, |faults| {
                T::read(written.get_ref(), &entry, None, faults)
            }));
        }
        // With one left out, the others would be judged under wrong positions.
        (values.len() == entries.len()).then_some(values)
    }

    fn check(&self, setting: &Setting, faults: &mut Faults) {
        let length = u64::try_from(self.len()).unwrap_or(u64::MAX);
        if length > setting.maximum {
            out_of_range(&length.to_string(), setting, faults);
            return;
        }
        let entry = entry_of(setting);
        for (position, value) in self.iter().enumerate() {
            faults.within(Step::Entry(position), |faults| value.check(&entry, faults));
        }
    }

    fn show(&self, setting: &Setting, key: &str, rows: &mut Rows) {
        let entry = entry_of(setting);
        let mut texts = Vec::new();
        for (position, value) in self.iter().enumerate() {
            let mut entries = Rows::new();
            value.show(&entry, "", &mut entries);
            for (below, value) in entries {
                // A list of tables has a row for each setting in them; a list of texts is one row.
                if below.is_empty() {
                    texts.push(value)
                } else {
                    rows.push((format!("{key}[{position}]{below}"), value))
                }
            }
        }
        if !texts.is_empty() {
            rows.push((key.to_owned(), format!("[{}]", texts.join(", "))));
        } else if self.is_empty() && may_be_off(setting) {
            rows.push((key.to_owned(), OFF.to_owned()));
        }
    }
}

/// Reads a table of settings over `base`.
pub(crate) fn read_section<T: Section>(
    written: &DeValue<'_>,
    setting: &Setting,
    base: Option<&T>,
    faults: &mut Faults,
) -> Option<T> {
    let DeValue::Table(table) = written else {
        wrong_kind(written, setting, "it is a table of settings", faults);
        return None;
    };
    let mut section = base.cloned().unwrap_or_default();
    refuse_strangers(table, T::SETTINGS, &[], faults);
    section.read_fields(table, faults);
    Some(section)
}

/// Reads a choice of words.
pub(crate) fn read_word<T>(
    written: &DeValue<'_>,
    setting: &Setting,
    words: &'static [&'static str],
    of_word: impl Fn(&str) -> Option<T>,
    faults: &mut Faults,
) -> Option<T> {
    let DeValue::String(text) = written else {
        let wanted = match written {
            DeValue::Float(number) if words.contains(&number.as_str()) => {
                format!("write it in quotes: \"{}\"", number.as_str())
            }
            _ => format!("write one of {}", quoted_words(words)),
        };
        wrong_kind(written, setting, &wanted, faults);
        return None;
    };
    let value = of_word(text);
    if value.is_none() {
        let help = match nearest(text, words.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("write one of {}", quoted_words(words)),
        };
        faults.refuse(
            format!("`{}` cannot be {}", setting.key, quoted(text)),
            Some(help),
        );
    }
    value
}

fn quoted_words(words: &[impl Display]) -> String {
    words
        .iter()
        .map(|word| format!("\"{word}\""))
        .collect::<Vec<_>>()
        .join(", ")
}
