//! What a shared cache may store, reuse, revalidate and refuse (RFC 9111).
//!
//! Pure: no sockets, clocks or files.
