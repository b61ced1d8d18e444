//! A client of HTTP/1.1 that reads just enough to check an answer.

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Size, check_content};
use crate::asks::Question;
use crate::tls::HOST;

/// Bytes read at once: large enough that a large body costs the generator little.
const BUFFER: usize = 64 * 1024;
/// Bytes read first: a head, and all of a small body.
const FIRST_READ: usize = 4 * 1024;
/// Fields in an answer; more is an error.
const FIELDS: usize = 64;

/// One connection.
pub(super) struct Client<S> {
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream }
    }

    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    /// Sends one request.
    pub(super) async fn send(&mut self, question: &Question) -> Result<()> {
        self.stream
            .write_all(request(question).as_bytes())
            .await
            .context("sending")?;
        self.stream.flush().await.context("sending")
    }

    /// Reads the whole answer.
    pub(super) async fn receive(&mut self, question: &Question) -> Result<Size> {
        // An idle connection holds no buffer: ten thousand of them share one machine with the server.
        let mut buffer = vec![0; FIRST_READ];
        let mut filled = 0;
        let size = loop {
            let room = buffer.get_mut(filled..).unwrap_or_default();
            ensure!(!room.is_empty(), "a response head over {FIRST_READ} bytes");
            let count = self.stream.read(room).await.context("reading the head")?;
            ensure!(count > 0, "the connection ended instead of an answer");
            filled += count;
            if let Some(size) =
                parse_head(buffer.get(..filled).unwrap_or_default(), question.status)?
            {
                break size;
            }
        };
        let first = buffer.get(size.head..filled).unwrap_or_default();
        check_content(first, question)?;
        let mut missing = size
            .body
            .checked_sub(first.len())
            .context("bytes after the answer")?;
        if missing > 0 {
            buffer.resize(BUFFER, 0);
        }
        while missing > 0 {
            let count = self
                .stream
                .read(&mut buffer)
                .await
                .context("reading the body")?;
            ensure!(count > 0, "the connection ended inside the body");
            check_content(buffer.get(..count).unwrap_or_default(), question)?;
            missing = missing
                .checked_sub(count)
                .context("bytes after the answer")?;
        }
        Ok(size)
    }

    /// Says goodbye and leaves.
    pub(super) async fn close(mut self) {
        let _ = self.stream.shutdown().await;
    }
}

fn request(question: &Question) -> String {
    let path = &question.path;
    let condition = question
        .validator
        .as_ref()
        .map_or_else(String::new, |validator| {
            format!("if-none-match: {validator}\r\n")
        });
    format!(
        "GET {path} HTTP/1.1\r\nhost: {HOST}\r\nuser-agent: mangrove-bench\r\naccept: */*\r\n{condition}\r\n"
    )
}

/// The sizes of head and body, once the head is whole.
fn parse_head(bytes: &[u8], status: u16) -> Result<Option<Size>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head) = response.parse(bytes).context("parsing the head")?
    else {
        return Ok(None);
    };
    ensure!(
        response.code == Some(status),
        "status {:?}, not {status}",
        response.code
    );
    if status == 304 {
        // It has no content, whatever length it tells (RFC 9112 section 6.3).
        return Ok(Some(Size { head, body: 0 }));
    }
    let mut body = None;
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            body = Some(std::str::from_utf8(field.value)?.trim().parse()?);
        } else if field.name.eq_ignore_ascii_case("transfer-encoding")
            || field.name.eq_ignore_ascii_case("content-encoding")
        {
            bail!("the answer came with {}", field.name);
        }
    }
    Ok(Some(Size {
        head,
        body: body.context("an answer without Content-Length")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_measured_to_its_empty_line() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nxxx";
        assert_eq!(
            parse_head(bytes, 200).unwrap(),
            Some(Size {
                head: bytes.len() - 3,
                body: 3
            })
        );
        assert_eq!(
            parse_head(b"HTTP/1.1 200 OK\r\nContent-", 200).unwrap(),
            None
        );
    }

    #[test]
    fn an_answer_of_another_kind_is_an_error_not_a_number() {
        for wrong in [
            "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert!(parse_head(wrong.as_bytes(), 200).is_err(), "{wrong}");
        }
    }

    #[test]
    fn unchanged_means_no_body_and_nothing_else_means_unchanged() {
        let unchanged = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1024\r\n\r\n";
        let size = parse_head(unchanged, 304).unwrap().unwrap();
        assert_eq!((size.head, size.body), (unchanged.len(), 0));
        assert!(parse_head(unchanged, 200).is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 304).is_err());
    }
}
