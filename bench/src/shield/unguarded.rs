//! A server without a guard: hyper over HTTP/1, the h2 crate over HTTP/2, and an origin behind both.
//!
//! It has no deadline and no rate, takes whoever comes while it has descriptors, keeps nothing, and the h2 crate's own counts of
//! resets are lifted. What an attack does to it shows whether the attack's rate hurts; it is nobody's recommendation.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1 as client;
use hyper::header::HOST;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalRuntime;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::hyper_server::{Whole, drain};
use crate::process;
use crate::tls;

/// Connections to the origin at once: what waits for one waits without end.
const TO_ORIGIN: usize = 256;
/// Descriptors that are neither clients' nor the origin's.
const SPARE: u64 = 32;
/// How long nobody is accepted when descriptors have run out.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// Where it listens and whom it asks.
#[derive(clap::Args)]
pub(crate) struct Place {
    /// HTTP/1.1.
    h1: SocketAddr,
    /// TLS, and both protocols in it.
    tls: SocketAddr,
    /// HTTP/2 with prior knowledge.
    h2: SocketAddr,
    /// The origin.
    origin: SocketAddr,
    /// PEM certificate.
    certificate: PathBuf,
    /// PEM private key.
    key: PathBuf,
    /// Clients that there are descriptors for.
    places: u64,
}

/// Serves until a signal ends the process.
pub(crate) fn serve(place: &Place) -> Result<()> {
    process::lower_descriptor_limit(place.places + TO_ORIGIN as u64 + SPARE)?;
    let tls = acceptor(place)?;
    let runtime = LocalRuntime::new()?;
    runtime.block_on(async {
        let site = Rc::new(Site {
            origin: place.origin,
            idle: RefCell::default(),
            places: Semaphore::new(TO_ORIGIN),
        });
        let over_h1 = |stream: TcpStream| over_h1(stream, Rc::clone(&site));
        let over_h2 = |stream: TcpStream| over_h2(stream, Rc::clone(&site));
        let over_tls = |stream: TcpStream| over_tls(tls.clone(), stream, Rc::clone(&site));
        tokio::try_join!(
            accept(place.h1, over_h1),
            accept(place.h2, over_h2),
            accept(place.tls, over_tls),
        )
    })?;
    Ok(())
}

fn acceptor(place: &Place) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(&place.certificate)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&place.key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept<Served>(
    address: SocketAddr,
    serve: impl Fn(TcpStream) -> Served,
) -> Result<Infallible>
where
    Served: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address}"))?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true); // slower without, and no worse
                drop(tokio::task::spawn_local(serve(stream)));
            }
            Err(_) => tokio::time::sleep(OUT_OF_DESCRIPTORS).await,
        }
    }
}

async fn over_tls(tls: TlsAcceptor, stream: TcpStream, site: Rc<Site>) {
    let Ok(stream) = tls.accept(stream).await else {
        return;
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        over_h2(stream, site).await;
    } else {
        over_h1(stream, site).await;
    }
}

async fn over_h1<S>(stream: S, site: Rc<Site>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let site = Rc::clone(&site);
        async move {
            let (head, body) = request.into_parts();
            let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
            let answer = match drain(body).await {
                Ok(()) => site.ask(head.method.clone(), path).await,
                Err(error) => Err(error.into()),
            };
            let (status, content) = answer.unwrap_or((StatusCode::BAD_GATEWAY, Bytes::new()));
            let mut response = Response::new(Whole(Some(content)));
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        }
    });
    // Whoever leaves in the middle is an attacker, mostly.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn over_h2<S>(stream: S, site: Rc<Site>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let handshake = h2::server::Builder::new()
        .max_pending_accept_reset_streams(usize::MAX)
        .max_local_error_reset_streams(None)
        .handshake::<_, Bytes>(stream);
    let Ok(mut connection) = handshake.await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        drop(tokio::task::spawn_local(answer_stream(
            request,
            respond,
            Rc::clone(&site),
        )));
    }
}

/// Also where the client has reset it meanwhile.
async fn answer_stream(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    site: Rc<Site>,
) {
    let (head, mut body) = request.into_parts();
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
    }
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let answer = site.ask(head.method.clone(), path).await;
    let (status, content) = answer.unwrap_or((StatusCode::BAD_GATEWAY, Bytes::new()));
    let mut response = Response::new(());
    *response.status_mut() = status;
    if let Ok(mut stream) = respond.send_response(response, false) {
        let _ = stream.send_data(content, true);
    }
}

/// The origin, and connections to it.
struct Site {
    origin: SocketAddr,
    idle: RefCell<Vec<client::SendRequest<Whole>>>,
    places: Semaphore,
}

impl Site {
    async fn ask(&self, method: Method, path: &str) -> Result<(StatusCode, Bytes)> {
        let _place = self.places.acquire().await?;
        let mut sender = self.connection().await?;
        let mut request = Request::new(Whole(None));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse()?;
        request.headers_mut().insert(HOST, tls::HOST.parse()?);
        let response = sender.send_request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut content = BytesMut::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            if let Ok(piece) = frame?.into_data() {
                content.extend_from_slice(&piece);
            }
        }
        self.idle.borrow_mut().push(sender);
        Ok((status, content.freeze()))
    }

    async fn connection(&self) -> Result<client::SendRequest<Whole>> {
        while let Some(mut sender) = self.idle() {
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = TcpStream::connect(self.origin).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await?;
        drop(tokio::task::spawn_local(connection));
        Ok(sender)
    }

    fn idle(&self) -> Option<client::SendRequest<Whole>> {
        self.idle.borrow_mut().pop()
    }
}
