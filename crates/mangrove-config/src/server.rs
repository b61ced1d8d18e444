//! The `[server]` block: where an edge listens, whom it believes, what it writes down.

use std::net::SocketAddr;

use crate::Network;
use crate::limits::Limits;
use crate::setting::{settings, words};

settings! {
    /// What belongs to the machine rather than to one site.
    Server {
        http: Vec<SocketAddr> = Vec::new(), List 0 ..= 64,
            "Addresses for cleartext HTTP/1.1 and HTTP/2 (by prior knowledge). `\"off\"` for none.";
        https: Vec<SocketAddr> = Vec::new(), List 0 ..= 64,
            "Addresses for HTTP/1.1 and HTTP/2 over TLS. Without a certificate a self-signed one is made and kept in the state folder. `\"off\"` for none.";
        admin: Option<SocketAddr> = None, Address 0 ..= 1,
            "The operator's listener: the API by token, /metrics, /healthz and /readyz open on loopback. `\"off\"` for none.";
        status: Option<SocketAddr> = None, Address 0 ..= 1,
            "Where the status board will listen.";
        resolvers: Vec<SocketAddr> = Vec::new(), List 1 ..= 16,
            "Name servers that origin names are asked of, in order. Unset, the system's own are used.";
        workers: Option<u16> = None, Count 1 ..= 1_024,
            "Threads of one edge, each with its own runtime and sockets. Unset, one for each CPU the process may run on.";
        user: Option<String> = None, Text 1 ..= 32,
            "The user an edge becomes when started as root; root is needed only to bind ports below 1024.";
        cache_memory: u64 = 268_435_456, Bytes 8_388_608 ..= 1_099_511_627_776,
            "Memory for what is kept of responses, all sites and threads of an edge together. When it is full, what is asked for least makes room.";
        disk_cache: bool = true, Flag 0 ..= 0,
            "Whether what is kept is kept on disk as well, in `store` of the state folder: a restart then begins with it, and a site may be larger than memory.";
        disk_cache_bytes: u64 = 10_737_418_240, Bytes 67_108_864 ..= 1_125_899_906_842_624,
            "Room on disk for that. When it is full, what is not asked for again makes room; the last 1 GiB of a disk is left to others.";
        cdn_id: String = "mangrove".to_owned(), Text 1 ..= 64,
            "This network's name in CDN-Loop (RFC 8586): the same on all machines of one network, different from everyone else's.";
        trusted_proxies: Vec<Network> = Vec::new(), List 1 ..= 1_024,
            "Networks whose X-Forwarded-For and Forwarded are believed. Unset, no one's are: anyone can write those fields.";
        proxy_protocol: Vec<Network> = Vec::new(), List 1 ..= 1_024,
            "Networks whose connections must begin with a PROXY header, version 1 or 2. Others must not send one.";
        exempt_clients: Vec<Network> = Vec::new(), List 1 ..= 1_024,
            "Clients that the shield leaves alone, such as operators, health checks and probes: they make room for nobody, no rate limit counts them, and no order by hand keeps them out. Behind listed proxies the visitor's address counts. Whoever shows the operator's token is among them for 15 minutes.";
        tls: Tls = Tls::default(), Table 0 ..= 0,
            "Certificates and protocol versions.";
        log: AccessLog = AccessLog::default(), Table 0 ..= 0,
            "The access log.";
        limits: Limits = Limits::default(), Table 0 ..= 0,
            "Deadlines and ceilings.";
    }
}

settings! {
    /// What TLS listeners offer.
    Tls {
        certificates as "certificate": Vec<Certificate> = Vec::new(), List 1 ..= 100_000,
            "Certificates, chosen by the name the client asks for (SNI); the first answers when none fits. Files are watched: a bad pair keeps the old one.";
        min_version: TlsVersion = TlsVersion::V1_2, Choice 0 ..= 0,
            "The oldest TLS version spoken; below 1.2 all are broken (RFC 8996).";
    }
}

settings! {
    /// One certificate chain and its key, as files.
    Certificate {
        cert: String = String::new(), Text 1 ..= 4_096,
            "PEM file with the chain, leaf first.";
        key: String = String::new(), Text 1 ..= 4_096,
            "PEM file with the private key.";
        ocsp: Option<String> = None, Text 1 ..= 4_096,
            "DER file with an OCSP response to staple.";
    }
}

settings! {
    /// The access log: one JSON object per request, one line each.
    AccessLog {
        to: LogTarget = LogTarget::File, Choice 0 ..= 0,
            "Where lines go.";
        path: Option<String> = None, Text 1 ..= 4_096,
            "The file, reopened on SIGUSR1. Unset, `log/access.ndjson` in the state folder.";
        client_address: ClientAddress = ClientAddress::Full, Choice 0 ..= 0,
            "Whether visitors' addresses are written in full or cut to their network (/24 for IPv4, /48 for IPv6).";
        query: Query = Query::Keep, Choice 0 ..= 0,
            "Whether query strings are written; they often carry tokens and names.";
        queue_bytes: u64 = 8_388_608, Bytes 65_536 ..= 1_073_741_824,
            "Lines waiting for the disk. When it is full lines are dropped and counted: a slow disk never slows a request.";
    }
}

words! {
    /// TLS protocol versions.
    TlsVersion {
        /// TLS 1.2 (RFC 5246).
        #[default]
        V1_2 = "1.2",
        /// TLS 1.3 (RFC 8446).
        V1_3 = "1.3",
    }
}

words! {
    /// Where access log lines go.
    LogTarget {
        /// A file.
        #[default]
        File = "file",
        /// Standard output.
        Stdout = "stdout",
        /// Nowhere.
        Off = "off",
    }
}

words! {
    /// How a visitor's address is written to the log.
    ClientAddress {
        /// As it is.
        #[default]
        Full = "full",
        /// Cut to /24 (IPv4) or /48 (IPv6).
        Truncated = "truncated",
    }
}

words! {
    /// What becomes of query strings in the log.
    Query {
        /// Written as they came.
        #[default]
        Keep = "keep",
        /// Left out.
        Redact = "redact",
    }
}
