//! A minimal HTTP/1.1 client over std: one request, one connection, everything bounded.
//!
//! It speaks to Vicar as a plain legacy application would, and to the fake parties of a test. Other
//! test targets use this file as well.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// An answer, with the text as it came for assertions about what must not be in it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) raw: String,
}

impl Answer {
    /// Takes an answer apart; `None` unless it is a whole head with a status.
    fn parse(raw: String) -> Option<Self> {
        let (head, rest) = raw.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let chunked = field(head, "transfer-encoding").any(|value| value == "chunked");
        let body = if chunked { unchunk(rest)? } else { rest.to_owned() };
        Some(Self { status, body, raw })
    }

    /// The first value of a header field, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let head = self.raw.split("\r\n\r\n").next().unwrap_or_default();
        field(head, name).next().unwrap_or_default()
    }
}

/// Sends a GET request; `fields` are further header lines, each with its line end.
pub(crate) fn get(address: SocketAddr, target: &str, fields: &str) -> io::Result<Answer> {
    exchange(address, &format!("GET {target} HTTP/1.1\r\n{fields}"), "")
}

/// Sends a form as a browser would (application/x-www-form-urlencoded).
pub(crate) fn post(address: SocketAddr, target: &str, form: &[(&str, &str)]) -> io::Result<Answer> {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let length = body.len();
    let head = format!(
        "POST {target} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {length}\r\n"
    );
    exchange(address, &head, &body)
}

/// Sends one request and reads the answer to the end of the connection.
fn exchange(address: SocketAddr, head: &str, body: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT)?;
    stream.set_read_timeout(Some(READ_LIMIT))?;
    stream.set_write_timeout(Some(READ_LIMIT))?;
    let request = format!("{head}Host: {address}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes())?;
    let mut raw = String::new();
    stream.take(SIZE_LIMIT).read_to_string(&mut raw)?;
    Answer::parse(raw).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// All values of one header field in a message head; names match in any case.
pub(crate) fn field<'head>(head: &'head str, name: &str) -> impl Iterator<Item = &'head str> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Joins the chunks of a chunked body (RFC 9112 section 7.1); `None` when it is cut short.
fn unchunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}

/// Loopback connects at once or not at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Longer than the 10 s that Vicar gives a token request, so that its own answer is seen.
const READ_LIMIT: Duration = Duration::from_secs(15);

/// No answer in these tests comes near it.
const SIZE_LIMIT: u64 = 1 << 20;
