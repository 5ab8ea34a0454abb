//! A fake authority or upstream: a listening socket whose every request goes to one closure.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};

use crate::wire;

/// A listening party; its threads end with the test process.
#[derive(Debug)]
pub(crate) struct Party {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

/// What arrived.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) target: String,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Close,
    Keep,
}

impl Party {
    /// Listens on a free loopback port and gives each request to `answer`, which writes what it likes.
    pub(crate) fn start(
        answer: impl Fn(&Request, &mut TcpStream) -> io::Result<After> + Send + Sync + 'static,
    ) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let address = listen(move |stream| {
            loop {
                let request = read(stream)?;
                count.fetch_add(1, Ordering::Relaxed);
                if answer(&request, stream)? == After::Close {
                    return Ok(());
                }
            }
        });
        Self { address, requests }
    }

    /// An upstream that answers 200 with `body` to everything and keeps its connections.
    pub(crate) fn answering(body: &'static str) -> Self {
        Self::start(move |_, stream| respond(stream, "200 OK", "", body.as_bytes()))
    }

    /// An authority whose every token is `token`, good for an hour.
    pub(crate) fn issuing(token: &'static str) -> Self {
        Self::start(move |_, stream| issue(stream, token))
    }

    /// How many requests arrived so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Listens on a free loopback port; each connection has a thread, as some stay silent.
pub(crate) fn listen(
    serve: impl Fn(&mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
    let address = listener.local_addr().expect("a bound address");
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            // A connection that breaks is the other side's business, and asserted there.
            thread::spawn(move || drop(serve(&mut stream)));
        }
    });
    address
}

/// Writes a whole answer; `fields` are further header lines with their ends.
pub(crate) fn respond(
    stream: &mut TcpStream,
    status: &str,
    fields: &str,
    body: &[u8],
) -> io::Result<After> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())?;
    Ok(After::Keep)
}

/// Answers a token request as RFC 6749 section 5.1 says.
pub(crate) fn issue(stream: &mut TcpStream, token: &str) -> io::Result<After> {
    let body = serde_json::json!({
        "access_token": token, "token_type": "Bearer", "expires_in": 3600,
    });
    let fields = "Content-Type: application/json\r\n";
    respond(stream, "200 OK", fields, body.to_string().as_bytes())
}

/// Makes the end of this connection a reset rather than a polite close.
pub(crate) fn reset_at_close(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// A port that refuses connections for as long as the socket lives: bound, so that nobody else gets
/// it, but not listening.
#[derive(Debug)]
pub(crate) struct DeadPort {
    pub(crate) address: SocketAddr,
    _socket: Socket,
}

impl DeadPort {
    pub(crate) fn reserve() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).expect("a free loopback port");
        let address = socket.local_addr().ok().and_then(|address| address.as_socket());
        Self { address: address.expect("a bound address"), _socket: socket }
    }
}

/// Reads one request with its body, as far as it has a length.
fn read(stream: &mut TcpStream) -> io::Result<Request> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(READ_LIMIT))?;
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    };
    let mut body = bytes.split_off(end + 4);
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = wire::field(&head, "content-length").and_then(|text| text.parse().ok());
    let missing = length.unwrap_or(0_usize).saturating_sub(body.len());
    let arrived = body.len();
    body.resize(arrived + missing, 0);
    stream.read_exact(&mut body[arrived..])?;
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    Ok(Request { target, head, body })
}

/// How long a connection may stay silent.
const READ_LIMIT: Duration = Duration::from_secs(30);
