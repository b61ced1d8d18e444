//! Values that are one thing: a number, a duration, a text, an address, an origin.

use std::net::SocketAddr;
use std::time::Duration;

use toml::de::{DeInteger, DeValue};

use crate::Network;
use crate::fault::{Faults, Step};
use crate::pattern::{
    CookieName, CookiePattern, FieldName, FieldWord, LanguageTag, MediaTypes, ParameterPattern,
    Paths,
};
use crate::rate_limit::LimitKey;
use crate::reference;
use crate::setting::{Setting, Unit};
use crate::target::{HostPolicy, ORIGIN_WEIGHT, Origin, StatusRange};
use crate::units;
use crate::value::{
    Rows, Value, check_range, out_of_range, quoted, read_field, refuse_strangers, wrong_kind,
};

impl Value for Duration {
    fn read(
        written: &DeValue<'_>,
        setting: &Setting,
        _: Option<&Self>,
        faults: &mut Faults,
    ) -> Option<Self> {
        let time = written.as_str().and_then(units::parse_time);
        if time.is_none() {
            match written {
                DeValue::String(text) => {
                    faults.refuse(
                        format!("{text:?} is not a duration"),
                        Some(units::TIME_FORM.to_owned()),
                    );
                }
                DeValue::Integer(number) => faults.refuse(
                    format!("`{}` needs a unit", setting.key),
                    Some(format!("if you mean seconds, write \"{number}s\"")),
                ),
                _ => wrong_kind(written, setting, units::TIME_FORM, faults),
            }
        }
        time
    }

    fn check(&self, setting: &Setting, faults: &mut Faults) {
        check_range(
            u64::try_from(self.as_millis()).unwrap_or(u64::MAX),
            setting,
            faults,
        );
    }

    fn show(&self, setting: &Setting, key: &str, rows: &mut Rows) {
        let milliseconds = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        rows.push((key.to_owned(), units::written(setting.unit, milliseconds)));
    }
}

macro_rules! numbers {
    ($($type:ty),*) => { $(
        impl Value for $type {
            fn read(written: &DeValue<'_>, setting: &Setting, _: Option<&Self>, faults: &mut Faults) -> Option<Self> {
                let magnitude = read_number(written, setting, faults)?;
                let value = Self::try_from(magnitude).ok();
                if value.is_none() {
                    check_range(magnitude, setting, faults);
                }
                value
            }

            fn check(&self, setting: &Setting, faults: &mut Faults) {
                check_range(u64::from(*self), setting, faults);
            }

            fn show(&self, setting: &Setting, key: &str, rows: &mut Rows) {
                rows.push((key.to_owned(), units::written(setting.unit, u64::from(*self))));
            }
        }
    )* };
}
numbers!(u16, u32, u64);

fn read_number(written: &DeValue<'_>, setting: &Setting, faults: &mut Faults) -> Option<u64> {
    let sized = matches!(setting.unit, Unit::Bytes | Unit::Rate);
    match written {
        DeValue::Integer(integer) => {
            let number = number(integer);
            if number.is_none() {
                out_of_range(&integer.to_string(), setting, faults);
            }
            number
        }
        DeValue::String(text) if sized => {
            let size = units::parse_size(text.strip_suffix("/s").unwrap_or(text));
            if size.is_none() {
                faults.refuse(
                    format!("{text:?} is not a size"),
                    Some(units::SIZE_FORM.to_owned()),
                );
            }
            size
        }
        _ => {
            let wanted = if sized {
                units::SIZE_FORM
            } else {
                "write a whole number, without quotes"
            };
            wrong_kind(written, setting, wanted, faults);
            None
        }
    }
}

impl Value for bool {
    fn read(
        written: &DeValue<'_>,
        setting: &Setting,
        _: Option<&Self>,
        faults: &mut Faults,
    ) -> Option<Self> {
        let flag = written.as_bool();
        if flag.is_none() {
            wrong_kind(
                written,
                setting,
                "write true or false, without quotes",
                faults,
            );
        }
        flag
    }

    fn check(&self, _: &Setting, _: &mut Faults) {}

    fn show(&self, _: &Setting, key: &str, rows: &mut Rows) {
        rows.push((key.to_owned(), self.to_string()));
    }
}

fn read_text<'a>(
    written: &'a DeValue<'_>,
    setting: &Setting,
    faults: &mut Faults,
) -> Option<&'a str> {
    let text = written.as_str();
    if text.is_none() {
        wrong_kind(written, setting, "write a text, in quotes", faults);
    }
    text
}

impl Value for String {
    fn read(
        written: &DeValue<'_>,
        setting: &Setting,
        _: Option<&Self>,
        faults: &mut Faults,
    ) -> Option<Self> {
        read_text(written, setting, faults).map(str::to_owned)
    }

    fn check(&self, setting: &Setting, faults: &mut Faults) {
        if self.is_empty() && setting.minimum > 0 {
            faults.require(setting.key, None);
        } else {
            check_range(
                u64::try_from(self.len()).unwrap_or(u64::MAX),
                setting,
                faults,
            );
        }
    }

    fn show(&self, _: &Setting, key: &str, rows: &mut Rows) {
        rows.push((key.to_owned(), format!("{self:?}")));
    }
}

/// Reads a text that has a grammar of its own.
fn read_parsed<T>(
    written: &DeValue<'_>,
    setting: &Setting,
    faults: &mut Faults,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let text = read_text(written, setting, faults)?;
    match parse(text) {
        Ok(value) => Some(value),
        Err(why) => {
            faults.refuse(format!("{} cannot be used: {why}", quoted(text)), None);
            None
        }
    }
}

/// Values that are one text with a grammar of its own; a value that exists is right.
macro_rules! parsed {
    ($($type:ty => $parse:expr;)*) => { $(
        impl Value for $type {
            fn read(written: &DeValue<'_>, setting: &Setting, _: Option<&Self>, faults: &mut Faults) -> Option<Self> {
                read_parsed(written, setting, faults, $parse)
            }

            fn check(&self, _: &Setting, _: &mut Faults) {}

            fn show(&self, _: &Setting, key: &str, rows: &mut Rows) {
                rows.push((key.to_owned(), format!("{:?}", self.to_string())));
            }
        }
    )* };
}
parsed! {
    SocketAddr => |text| text.parse().map_err(|_| {
        "an address is written 127.0.0.1:8080 or [::1]:8080; [::]:8080 means every address of the machine".to_owned()
    });
    Network => str::parse;
    StatusRange => str::parse;
    Paths => str::parse;
    ParameterPattern => str::parse;
    CookiePattern => str::parse;
    CookieName => str::parse;
    FieldName => str::parse;
    FieldWord => str::parse;
    LanguageTag => str::parse;
    MediaTypes => str::parse;
    LimitKey => str::parse;
}

impl Value for HostPolicy {
    fn read(
        written: &DeValue<'_>,
        setting: &Setting,
        _: Option<&Self>,
        faults: &mut Faults,
    ) -> Option<Self> {
        read_parsed(written, setting, faults, |text| {
            Self::try_from(text.to_owned())
        })
    }

    fn check(&self, setting: &Setting, faults: &mut Faults) {
        if let Self::Literal(name) = self {
            name.check(setting, faults);
        }
    }

    fn show(&self, _: &Setting, key: &str, rows: &mut Rows) {
        rows.push((key.to_owned(), format!("{:?}", String::from(self.clone()))));
    }
}

impl Value for Origin {
    fn read(
        written: &DeValue<'_>,
        setting: &Setting,
        _: Option<&Self>,
        faults: &mut Faults,
    ) -> Option<Self> {
        match written {
            DeValue::String(url) => read_parsed(written, setting, faults, |_| Self::parse(url, 1)),
            DeValue::Table(table) => {
                refuse_strangers(table, reference::ORIGIN_ENTRY, &[], faults);
                let [url_setting, weight_setting] = reference::ORIGIN_ENTRY;
                let (mut url, mut weight) = (String::new(), 1_u16);
                read_field(&mut url, url_setting, table, faults);
                read_field(&mut weight, weight_setting, table, faults);
                faults.within(Step::Key(weight_setting.key), |faults| {
                    weight.check(weight_setting, faults)
                });
                faults.within(Step::Key(url_setting.key), |faults| {
                    url.check(url_setting, faults);
                    let origin = Self::parse(&url, weight.clamp(1, ORIGIN_WEIGHT));
                    if let Err(why) = &origin {
                        faults.refuse(format!("{} cannot be used: {why}", quoted(&url)), None);
                    }
                    origin.ok()
                })
            }
            _ => {
                let wanted = "an origin is \"http://host:port\" or { url = \"http://host:port\", weight = 2 }";
                wrong_kind(written, setting, wanted, faults);
                None
            }
        }
    }

    fn check(&self, _: &Setting, _: &mut Faults) {}

    fn show(&self, _: &Setting, key: &str, rows: &mut Rows) {
        let weight = if self.weight == 1 {
            String::new()
        } else {
            format!(" weight {}", self.weight)
        };
        rows.push((key.to_owned(), format!("{:?}{weight}", self.url)));
    }
}

fn number(written: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(written.as_str(), written.radix()).ok()
}
