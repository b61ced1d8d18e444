//! A client of HTTP/2 with one stream at a time.

use std::future::poll_fn;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::{Size, check_content};
use crate::asks::Question;
use crate::tls::HOST;

/// Flow-control window of a stream and of a connection: more than the largest body, so that none waits for an update.
const WINDOW: u32 = 4 * 1024 * 1024;

/// One connection.
pub(super) struct Client {
    sender: SendRequest<Bytes>,
    scheme: &'static str,
    driver: JoinHandle<()>,
    asked: Option<ResponseFuture>,
}

impl Client {
    pub(super) async fn start<S>(stream: S, scheme: &'static str) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .enable_push(false)
            .handshake(stream)
            .await
            .context("starting HTTP/2")?;
        let driver = tokio::spawn(async move {
            // The error, if any, is also every open stream's.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            scheme,
            driver,
            asked: None,
        })
    }

    /// Sends one request.
    pub(super) async fn send(&mut self, question: &Question) -> Result<()> {
        let mut request = http::Request::get(format!("{}://{HOST}{}", self.scheme, question.path))
            .header(http::header::USER_AGENT, "mangrove-bench")
            .header(http::header::ACCEPT, "*/*");
        if let Some(validator) = &question.validator {
            request = request.header(http::header::IF_NONE_MATCH, validator);
        }
        let request = request.body(())?;
        poll_fn(|context| self.sender.poll_ready(context))
            .await
            .context("waiting for a stream")?;
        let (response, _) = self.sender.send_request(request, true).context("sending")?;
        self.asked = Some(response);
        Ok(())
    }

    /// Reads the whole answer.
    pub(super) async fn receive(&mut self, question: &Question) -> Result<Size> {
        let asked = self.asked.take().context("nothing was asked")?;
        let response = asked.await.context("reading the head")?;
        ensure!(
            response.status().as_u16() == question.status,
            "status {}, not {}",
            response.status(),
            question.status
        );
        ensure!(
            !response
                .headers()
                .contains_key(http::header::CONTENT_ENCODING),
            "the answer came encoded"
        );
        let mut stream = response.into_body();
        let mut body = 0;
        while let Some(piece) = stream.data().await {
            let piece = piece.context("reading the body")?;
            check_content(&piece, question)?;
            body += piece.len();
            stream.flow_control().release_capacity(piece.len())?;
        }
        Ok(Size { head: 0, body })
    }

    pub(super) fn is_ended(&self) -> bool {
        self.driver.is_finished()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
