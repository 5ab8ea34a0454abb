//! A port where no connection is ever made. The integration tests use this file as well.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A port whose queue is full, so that who connects waits in vain.
#[derive(Debug)]
pub(crate) struct FullPort {
    pub(crate) address: SocketAddr,
    _sockets: Vec<Socket>,
}

impl FullPort {
    pub(crate) fn reserve() -> Self {
        let open = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let listener = open();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        listener.bind(&any.into()).and_then(|()| listener.listen(0)).expect("a free port");
        let address = listener.local_addr().ok().and_then(|address| address.as_socket());
        let address = address.expect("a bound address");
        let mut sockets = vec![listener];
        for _ in 0..4 {
            let waiting = open();
            waiting.set_nonblocking(true).expect("a socket that does not wait");
            // Some of them get in, the rest wait before the door with those that come later.
            drop(waiting.connect(&address.into()));
            sockets.push(waiting);
        }
        Self { address, _sockets: sockets }
    }
}
