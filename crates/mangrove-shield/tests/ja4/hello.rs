//! Writes ClientHellos.

/// What a client greets with.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) version: u16,
    pub(crate) ciphers: Vec<u16>,
    /// Kind and content, in this order.
    pub(crate) extensions: Vec<(u16, Vec<u8>)>,
}

impl Hello {
    /// Of TLS 1.3, with a server name, `h2` first, and these lists; extensions without content but where it matters.
    pub(crate) fn listing(ciphers: &[u16], extensions: &[u16], signatures: &[u16]) -> Self {
        let content = |kind: u16| match kind {
            0 => vector_of_16(&[&[0], &vector_of_16(b"shop.example")[..]].concat()),
            13 => vector_of_16(&numbers(signatures)),
            16 => protocols(&["h2", "http/1.1"]),
            43 => [&[4], &numbers(&[0x0304, 0x0303])[..]].concat(),
            _ => Vec::new(),
        };
        Self {
            version: 0x0303,
            ciphers: ciphers.to_vec(),
            extensions: extensions
                .iter()
                .map(|&kind| (kind, content(kind)))
                .collect(),
        }
    }

    /// The handshake message.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut body = numbers(&[self.version]);
        body.extend([7; 32]);
        body.push(0);
        body.extend(vector_of_16(&numbers(&self.ciphers)));
        body.extend([1, 0]);
        let mut extensions = Vec::new();
        for (kind, content) in &self.extensions {
            extensions.extend(numbers(&[*kind]));
            extensions.extend(vector_of_16(content));
        }
        body.extend(vector_of_16(&extensions));
        let mut message = (body.len() as u32).to_be_bytes().to_vec();
        message[0] = 1;
        message.extend(body);
        message
    }

    /// In one record.
    pub(crate) fn record(&self) -> Vec<u8> {
        records(&self.message(), usize::MAX)
    }
}

/// A message in records of at most `most` bytes.
pub(crate) fn records(message: &[u8], most: usize) -> Vec<u8> {
    let most = most.min(1 << 14);
    let record = |part: &[u8]| [&[22, 3, 1], &vector_of_16(part)[..]].concat();
    message.chunks(most).flat_map(record).collect()
}

pub(crate) fn protocols(names: &[&str]) -> Vec<u8> {
    let name = |name: &&str| [&[name.len() as u8], name.as_bytes()].concat();
    vector_of_16(&names.iter().flat_map(name).collect::<Vec<_>>())
}

pub(crate) fn numbers(numbers: &[u16]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
}

pub(crate) fn vector_of_16(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u16).to_be_bytes()[..], content].concat()
}
