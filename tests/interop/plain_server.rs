//! A minimal HTTP/1.1 server over std: one request, one connection, everything bounded.
//!
//! The fake parties of a test are made of it; what they answer is theirs to say.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use crate::plain_http::field;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Without the empty line that ends it.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// An answer; a body alone has status 200.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl From<String> for Response {
    fn from(body: String) -> Self {
        Self { status: 200, body }
    }
}

/// Listens on a free loopback port and gives each request what `answer` makes. Each connection has
/// its own thread, as some stay silent; the threads end with the test process.
pub(crate) fn listen<R: Into<Response>>(
    answer: impl Fn(Request) -> R + Clone + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
    let address = listener.local_addr().expect("a bound address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                if let Ok(request) = read(&stream) {
                    drop(stream.write_all(answer(request).into().text().as_bytes()));
                }
            });
        }
    });
    address
}

impl Response {
    /// As it is written; the connection closes after it.
    fn text(&self) -> String {
        let Self { status, body } = self;
        let length = body.len();
        format!(
            "HTTP/1.1 {status} As It Is\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    }
}

/// Reads a head and as much body as it announces.
fn read(stream: &TcpStream) -> io::Result<Request> {
    stream.set_read_timeout(Some(READ_LIMIT))?;
    let mut reader = BufReader::new(stream).take(SIZE_LIMIT);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = String::from_utf8_lossy(&head).trim_end().to_owned();
    let length = match field(&head, "content-length").next() {
        Some(length) => length.parse().map_err(io::Error::other)?,
        None => 0,
    };
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body)?;
    Ok(Request { head, body })
}

/// How long a connection may stay silent.
const READ_LIMIT: Duration = Duration::from_secs(15);

/// The largest request that is read.
const SIZE_LIMIT: u64 = 64 << 10;
