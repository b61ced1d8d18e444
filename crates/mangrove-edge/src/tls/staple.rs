//! OCSP staples (RFC 6960): read far enough to know whose they are and how long they may be sent.
//! A browser that is handed a staple past its `nextUpdate` may refuse the whole connection, so a
//! bad staple is worse than none.

use rustls::pki_types::UnixTime;

use super::der::{self, Der};
use super::problem::TlsFault;

/// `id-pkix-ocsp-basic`, 1.3.6.1.5.5.7.48.1.1.
pub(super) const BASIC_RESPONSE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
/// `OCSPResponseStatus` successful.
const SUCCESSFUL: &[u8] = &[0];
/// `CertStatus` good: `[0] IMPLICIT NULL`.
const GOOD: u8 = der::context(0);

/// Checks that a DER-encoded response is about this certificate, good, and current; answers its
/// `nextUpdate`. The responder's signature is checked by the client, not here.
pub(super) fn check_staple(
    response: &[u8],
    serial: &[u8],
    now: UnixTime,
) -> Result<Option<UnixTime>, TlsFault> {
    let mut answers = answers(response).ok_or(TlsFault::BadStaple)?;
    while !answers.is_empty() {
        let answer = answers.inside(der::SEQUENCE).and_then(Answer::read);
        let answer = answer.ok_or(TlsFault::BadStaple)?;
        if answer.serial != serial {
            continue;
        }
        return match answer.next_update {
            _ if !answer.good => Err(TlsFault::StapleNotGood),
            Some(end) if now >= end => Err(TlsFault::StapleExpired(end)),
            end => Ok(end),
        };
    }
    Err(TlsFault::StapleMismatch)
}

/// The `responses` of a successful basic response (RFC 6960 section 4.2.1).
fn answers(response: &[u8]) -> Option<Der<'_>> {
    let mut outer = Der::new(response).inside(der::SEQUENCE)?;
    if outer.value(der::ENUMERATED)? != SUCCESSFUL {
        return None;
    }
    let mut bytes = outer
        .inside(der::context_constructed(0))?
        .inside(der::SEQUENCE)?;
    if bytes.value(der::OBJECT_IDENTIFIER)? != BASIC_RESPONSE {
        return None;
    }
    let mut basic = bytes.inside(der::OCTET_STRING)?.inside(der::SEQUENCE)?;
    let mut data = basic.inside(der::SEQUENCE)?;
    data.optional(der::context_constructed(0)); // version
    data.element()?; // responder
    data.time()?; // produced at
    data.inside(der::SEQUENCE)
}

/// One `SingleResponse`.
struct Answer<'a> {
    serial: &'a [u8],
    good: bool,
    next_update: Option<UnixTime>,
}

impl<'a> Answer<'a> {
    fn read(mut single: Der<'a>) -> Option<Self> {
        let mut id = single.inside(der::SEQUENCE)?;
        id.value(der::SEQUENCE)?; // hash algorithm
        id.value(der::OCTET_STRING)?; // hash of the issuer's name
        id.value(der::OCTET_STRING)?; // hash of the issuer's key
        let serial = id.value(der::INTEGER)?;
        let (status, _) = single.element()?;
        single.time()?; // this update
        let next_update = match single.optional(der::context_constructed(0)) {
            Some(time) => Some(Der::new(time).time()?),
            None => None,
        };
        Some(Self {
            serial,
            good: status == GOOD,
            next_update,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{STAPLE_END, at, staple};
    use super::*;

    const SERIAL: &[u8] = &[0x01, 0x02, 0x03];

    #[test]
    fn a_good_and_current_answer_about_this_certificate_is_taken() {
        let response = staple(SERIAL, true);
        let end = STAPLE_END;
        assert_eq!(
            check_staple(&response, SERIAL, at(end - 1)),
            Ok(Some(at(end)))
        );
        assert_eq!(
            check_staple(&response, SERIAL, at(end)),
            Err(TlsFault::StapleExpired(at(end)))
        );
    }

    #[test]
    fn an_answer_about_another_certificate_or_a_revoked_one_is_not() {
        let now = at(STAPLE_END - 1);
        let other = check_staple(&staple(SERIAL, true), &[9], now);
        assert_eq!(other, Err(TlsFault::StapleMismatch));
        let revoked = check_staple(&staple(SERIAL, false), SERIAL, now);
        assert_eq!(revoked, Err(TlsFault::StapleNotGood));
        let try_later = [der::SEQUENCE, 3, der::ENUMERATED, 1, 3];
        assert_eq!(
            check_staple(&try_later, SERIAL, now),
            Err(TlsFault::BadStaple)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_reader(at_byte in 0_usize..200, byte: u8, cut in 0_usize..200) {
            let mut response = staple(SERIAL, true);
            let index = at_byte % response.len();
            response[index] = byte;
            response.truncate(cut);
            let _ = check_staple(&response, SERIAL, at(0));
        }
    }
}
