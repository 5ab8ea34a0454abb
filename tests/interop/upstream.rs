//! An upstream that answers 200 to everything and keeps the request heads as they came.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// A listening upstream; its threads end with the test process.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    /// Listens on a free loopback port; each connection has its own thread, as some stay silent.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        let address = listener.local_addr().expect("a bound address");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&heads);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let record = Arc::clone(&record);
                thread::spawn(move || serve(&mut stream, &record));
            }
        });
        Self { address, heads }
    }

    /// The heads of all requests so far, oldest first.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads one request, keeps its head, answers and closes.
fn serve(stream: &mut TcpStream, record: &Mutex<Vec<String>>) {
    if let Ok(head) = read_head(stream) {
        record.lock().unwrap_or_else(PoisonError::into_inner).push(head);
        drop(stream.write_all(ANSWER.as_bytes()));
    }
}

/// Reads up to and without the empty line that ends a request head.
fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    stream.set_read_timeout(Some(READ_LIMIT))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
        if head.len() > SIZE_LIMIT {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(String::from_utf8_lossy(&head).trim_end().to_owned())
}

/// What every request gets.
pub(crate) const GREETING: &str = "hello from the upstream";

/// The same on the wire.
const ANSWER: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 23\r\nConnection: close\r\n\r\nhello from the upstream";

/// How long a connection may stay silent.
const READ_LIMIT: Duration = Duration::from_secs(15);

/// The largest head that is read.
const SIZE_LIMIT: usize = 64 << 10;
