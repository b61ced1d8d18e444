//! Active health checks: one plain GET on a connection of its own, within one deadline.

use std::rc::Rc;

use mangrove_http::{Method, ResponseHead};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::pool::{Address, Target};
use super::upstreams::Upstreams;
use crate::core::{Core, HEAD_READ_BYTES};
use crate::io::Stream;

/// Whether the origin at `target` answers its health check as it should.
pub async fn probe(core: &Rc<Core>, upstreams: &Rc<Upstreams>, target: &Target) -> bool {
    let Some(health) = &upstreams.policy.health else {
        return true;
    };
    let deadline = core.wheel.timer();
    deadline.arm_in(health.timeout);
    matches!(deadline.bound(ask(core, upstreams, target)).await, Some(Some(status)) if health.expect_status.contains(status))
}

async fn ask(core: &Rc<Core>, upstreams: &Rc<Upstreams>, target: &Target) -> Option<u16> {
    let health = upstreams.policy.health.as_ref()?;
    let mut stream: Stream = match &target.address {
        Address::Unix(path) => UnixStream::connect(path.as_ref()).await.ok()?.into(),
        Address::Ip(address) => {
            let tcp = TcpStream::connect(address).await.ok()?;
            match upstreams.tls_for(target.origin).ok()? {
                None => tcp.into(),
                Some((config, name)) => {
                    let connector = TlsConnector::from(config);
                    connector
                        .with_alpn(vec![b"http/1.1".to_vec()])
                        .connect(name, tcp)
                        .await
                        .ok()?
                        .into()
                }
            }
        }
    };
    let host = upstreams.probe_host(target.origin);
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: {host}\r\nuser-agent: mangrove-health-check\r\nconnection: close\r\n\r\n",
        health.path
    );
    let mut at = 0;
    while at < request.len() {
        at += std::future::poll_fn(|cx| {
            stream.poll_write_some(cx, request.as_bytes().get(at..).unwrap_or_default())
        })
        .await
        .ok()?;
    }
    std::future::poll_fn(|cx| stream.poll_flush_out(cx))
        .await
        .ok()?;
    let limits = core.snapshot().response_limits;
    let mut head = ResponseHead::new();
    loop {
        match head.parse_h1(&limits, Method::Get) {
            Ok(Some(length)) if head.is_interim() => head.start_next(length),
            Ok(Some(_)) => return Some(head.status()),
            Ok(None) => {
                let n = std::future::poll_fn(|cx| {
                    stream.poll_read_into(cx, head.octets_mut(), HEAD_READ_BYTES)
                })
                .await
                .ok()?;
                if n == 0 {
                    return None;
                }
            }
            Err(_) => return None,
        }
    }
}
