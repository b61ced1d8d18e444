//! What a WebSocket's client sends, watched as it passes: how long its messages are, and how many frames come.

use std::time::Duration;

use mangrove_config::Limits;
use mangrove_http::websocket::frames::{ClientFrames, FrameFault};
use mangrove_http::{Moment, RequestHead, websocket};

use crate::reason::EdgeReason;

/// So much of the rate may come at once: who was away for a moment sends what has gathered.
pub(crate) const FRAMES_AT_ONCE: Duration = Duration::from_secs(10);

/// Of one WebSocket.
#[derive(Debug)]
pub struct Watch {
    frames: ClientFrames,
    /// Frames a second.
    rate: u64,
    /// In thousandths of a frame, so that a refill of a few milliseconds is not lost.
    left: u64,
    at: Moment,
}

impl Watch {
    /// Of whoever asked for a WebSocket by this head, and nothing else.
    pub fn of(head: &RequestHead, limits: &Limits, now: Moment) -> Option<Self> {
        websocket::is_asked_for(head).then(|| Self::new(limits, now))
    }

    /// Of one that is opened now.
    fn new(limits: &Limits, now: Moment) -> Self {
        let rate = u64::from(limits.websocket_frames);
        Self {
            frames: ClientFrames::new(limits.websocket_message_bytes),
            rate,
            left: most(rate),
            at: now,
        }
    }

    /// The client has sent this.
    ///
    /// # Errors
    /// The name of what is wrong with it: nothing more of it is to be passed on.
    pub fn saw(&mut self, bytes: &[u8], now: Moment) -> Result<(), EdgeReason> {
        let begun = self.frames.read(bytes).map_err(|fault| match fault {
            FrameFault::TooLong => EdgeReason::WebSocketMessageTooLong,
            FrameFault::Malformed => EdgeReason::WebSocketMalformed,
        })?;
        let since = now.saturating_since(self.at);
        self.at = self.at.max(now);
        let more = self
            .rate
            .saturating_mul(since.as_millis().try_into().unwrap_or(u64::MAX));
        let left = self.left.saturating_add(more).min(most(self.rate));
        let spent = left.checked_sub(u64::from(begun).saturating_mul(1_000));
        self.left = spent.ok_or(EdgeReason::WebSocketFlood)?;
        Ok(())
    }
}

fn most(rate: u64) -> u64 {
    let millis = u64::try_from(FRAMES_AT_ONCE.as_millis()).unwrap_or(u64::MAX);
    rate.saturating_mul(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: [u8; 6] = [0x89, 0x80, 1, 2, 3, 4];

    fn watch(rate: u32) -> Watch {
        let limits = Limits {
            websocket_frames: rate,
            ..Limits::default()
        };
        Watch::new(&limits, Moment(0))
    }

    /// How many pings pass, so many milliseconds apart.
    fn passed(rate: u32, apart: u64, most: u64) -> u64 {
        let mut watch = watch(rate);
        let pings = (0..most).take_while(|n| watch.saw(&PING, Moment(n * apart)).is_ok());
        pings.count() as u64
    }

    #[test]
    fn ten_seconds_of_the_rate_pass_at_once_and_one_frame_more_does_not() {
        for rate in [1, 100] {
            assert_eq!(passed(rate, 0, 10_000), 10 * u64::from(rate));
        }
        assert_eq!(passed(10, 100, 10_000), 10_000, "ten a second, for ever");
        assert!(passed(10, 50, 10_000) < 250);
        let mut watch = watch(1);
        assert_eq!(
            watch.saw(&PING.repeat(11), Moment(0)),
            Err(EdgeReason::WebSocketFlood)
        );
    }
}
