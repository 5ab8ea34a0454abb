//! A minimal HTTP/1.1 client over std: what a legacy application sends, and bytes nobody should.

use std::{
    fmt,
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

/// An answer, with the bytes as they came for assertions about what must not be in them.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first value of a header field, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        field(&self.head, name).unwrap_or_default()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// All of it.
    pub(crate) fn raw(&self) -> Vec<u8> {
        [self.head.as_bytes(), b"\r\n\r\n", &self.body].concat()
    }
}

impl fmt::Debug for Answer {
    /// As text, cut to what a failed test needs to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.text().chars().take(SHOWN).collect();
        f.write_str(&self.head)?;
        f.write_str("\n\n")?;
        f.write_str(&text)
    }
}

/// An open connection, kept between requests.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// Bytes that came after what was asked for so far.
    ahead: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_LIMIT))?;
        stream.set_write_timeout(Some(READ_LIMIT))?;
        Ok(Self { stream, ahead: Vec::new() })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// A GET that leaves the connection open; `fields` are further header lines with their ends.
    pub(crate) fn get(&mut self, target: &str, fields: &str) -> io::Result<Answer> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: vicar.test\r\n{fields}\r\n");
        self.send(request.as_bytes())?;
        self.answer()
    }

    /// The head of the next answer; its body is still to come.
    pub(crate) fn head(&mut self) -> io::Result<Answer> {
        let end = loop {
            match self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end,
                None => self.read_more()?,
            }
        };
        let head = String::from_utf8_lossy(&self.ahead[..end]).into_owned();
        self.ahead.drain(..end + 4);
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Answer { status, head, body: Vec::new() })
    }

    /// The next answer, whole.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.head()?;
        let length = field(&answer.head, "content-length").and_then(|text| text.parse().ok());
        answer.body = match length {
            Some(length) => self.take(length)?,
            None if field(&answer.head, "transfer-encoding").is_some() => self.chunks()?,
            None => self.rest()?,
        };
        Ok(answer)
    }

    /// Whatever still comes until the other side closes.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        self.stream.read_to_end(&mut self.ahead)?;
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Exactly `length` bytes.
    pub(crate) fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < length {
            self.read_more()?;
        }
        Ok(self.ahead.drain(..length).collect())
    }

    /// A chunked body to its end (RFC 9112 section 7.1).
    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match self.ahead.windows(2).position(|two| two == b"\r\n") {
                    Some(end) => break end,
                    None => self.read_more()?,
                }
            };
            let size = String::from_utf8_lossy(&self.take(end + 2)?).trim().to_owned();
            let size = usize::from_str_radix(&size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            let chunk = self.take(size + 2)?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.ahead.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }
}

/// One GET on a connection of its own.
pub(crate) fn get(address: SocketAddr, target: &str, fields: &str) -> io::Result<Answer> {
    Connection::open(address)?.get(target, &format!("{fields}Connection: close\r\n"))
}

/// Sends any bytes at all and nothing more, and gives back whatever came until the other side
/// closed or fell silent; the other side may refuse to read to the end.
pub(crate) fn throw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let Ok(mut connection) = Connection::open(address) else { return Vec::new() };
    drop(connection.send(bytes));
    drop(connection.stream.shutdown(Shutdown::Write));
    drop(connection.stream.set_read_timeout(Some(SILENCE)));
    drop(connection.stream.read_to_end(&mut connection.ahead));
    connection.ahead
}

/// Whether nobody listens there.
pub(crate) fn is_refused(address: SocketAddr) -> bool {
    let tried = TcpStream::connect_timeout(&address, CONNECT_LIMIT);
    tried.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// The first value of one header field in a message head; names match in any case.
pub(crate) fn field<'head>(head: &'head str, name: &str) -> Option<&'head str> {
    let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// Loopback connects at once or not at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Longer than any wait in these tests, so that an answer that comes is seen.
const READ_LIMIT: Duration = Duration::from_secs(15);

/// How long bytes that may get no answer are given to get one.
const SILENCE: Duration = Duration::from_secs(3);

/// Characters of a body that a failed test shows.
const SHOWN: usize = 2000;
