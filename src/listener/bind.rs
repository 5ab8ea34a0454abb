//! Open listening sockets: TCP, one per worker on the same port, or a Unix socket.
//!
//! Part of `listener`. With several workers the kernel spreads connections over their sockets
//! (`SO_REUSEPORT`). A first socket is opened without that option, so that a port somebody else
//! already listens on is an error rather than a port shared by accident.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, Type};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindAddress {
    /// An IP address and port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
}

impl BindAddress {
    /// Whether other machines can reach it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().is_loopback())
    }
}

/// A listening socket, not yet registered with a runtime.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// Unix.
    Unix(UnixListener),
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", explain(source))]
pub struct BindError {
    address: BindAddress,
    source: io::Error,
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Opens `address` once for each of `workers` and says which address it became.
///
/// # Errors
/// When it is taken or not allowed; the error names it.
pub fn bind(
    address: &BindAddress,
    workers: usize,
) -> Result<(BindAddress, Vec<Socket>), BindError> {
    let sockets = match address {
        BindAddress::Tcp(tcp) => bind_tcp(*tcp, workers),
        BindAddress::Unix(path) => {
            bind_unix(path, workers).map(|sockets| (address.clone(), sockets))
        }
    };
    sockets.map_err(|source| BindError { address: address.clone(), source })
}

fn bind_tcp(address: SocketAddr, workers: usize) -> io::Result<(BindAddress, Vec<Socket>)> {
    if workers == 1 {
        let socket = open(address, false)?;
        return Ok((BindAddress::Tcp(socket.local_addr()?), vec![Socket::Tcp(socket)]));
    }
    let address = open(address, false)?.local_addr()?;
    let sockets = (0..workers).map(|_| open(address, true).map(Socket::Tcp));
    Ok((BindAddress::Tcp(address), sockets.collect::<io::Result<_>>()?))
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// One socket, shared by all workers through duplicated descriptors.
fn bind_unix(path: &Path, workers: usize) -> io::Result<Vec<Socket>> {
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    (0..workers).map(|_| listener.try_clone().map(Socket::Unix)).collect()
}

/// Removes a socket that nobody listens on any more; anything else is left alone.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && UnixStream::connect(path).is_err_and(refused) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process (or another listener) has it".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "not permitted; ports below 1024 need a right".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        _ => error.to_string(),
    }
}

const BACKLOG: i32 = 1024;
