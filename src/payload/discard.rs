//! Discards what still arrives on a connection whose body was refused: in the kernel, without a copy.
//!
//! Node reads a socket into buffers of 64 KiB each, which become garbage at once. Fifty refused uploads cost 40 MiB in
//! that way (measured). On Linux, TCP can drop the received data instead: `MSG_TRUNC`, tcp(7).

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discarded {
    /// This many bytes were discarded. More may arrive.
    Bytes(u64),
    /// The client has closed its half, or the whole connection.
    Ended,
    /// Not a TCP socket, or an unsupported platform: it must be read.
    Unsupported,
}

#[cfg(target_os = "linux")]
mod tcp {
    use std::io;
    use std::mem::size_of;
    use std::ptr;

    use libc::{c_int, c_void, socklen_t};

    use super::Discarded;

    /// Bytes for one call. More waits for the next call.
    const MOST: u64 = 8 << 20;
    const STEP: usize = 1 << 20;

    /// Discards what has arrived on `fd`, without waiting for more.
    pub fn discard(fd: i32) -> Discarded {
        if !is_tcp(fd) {
            return Discarded::Unsupported;
        }
        let mut bytes = 0;
        while bytes < MOST {
            // SAFETY: with MSG_TRUNC a TCP socket (checked above) writes nothing to the buffer, so a null buffer is
            // valid.
            let count = unsafe { libc::recv(fd, ptr::null_mut(), STEP, libc::MSG_TRUNC | libc::MSG_DONTWAIT) };
            if count > 0 {
                bytes += count as u64;
            } else if count < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
                continue;
            } else if count < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
                break;
            } else {
                return Discarded::Ended;
            }
        }
        Discarded::Bytes(bytes)
    }

    fn is_tcp(fd: i32) -> bool {
        let mut protocol: c_int = 0;
        let mut length = size_of::<c_int>() as socklen_t;
        let value = ptr::from_mut(&mut protocol).cast::<c_void>();
        // SAFETY: `value` is a c_int, `length` its size. An invalid descriptor is an error, not undefined behaviour.
        let done = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL, value, &raw mut length) };
        done == 0 && protocol == libc::IPPROTO_TCP
    }
}

#[cfg(target_os = "linux")]
pub use tcp::discard;

#[cfg(not(target_os = "linux"))]
pub fn discard(_fd: i32) -> Discarded {
    Discarded::Unsupported
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Like `discard`, repeated until something has arrived.
    fn soon(fd: i32) -> Discarded {
        loop {
            match discard(fd) {
                Discarded::Bytes(0) => std::thread::yield_now(),
                other => return other,
            }
        }
    }

    #[test]
    fn what_has_come_is_gone_and_what_comes_then_can_be_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        assert_eq!(discard(server.as_raw_fd()), Discarded::Bytes(0));
        client.write_all(&[1; 5000]).unwrap();
        let mut gone = 0;
        while gone < 5000 {
            let Discarded::Bytes(bytes) = soon(server.as_raw_fd()) else { panic!("nothing has ended") };
            gone += bytes;
        }
        client.write_all(b"after").unwrap();
        let mut text = [0; 5];
        server.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"after");
        client.write_all(&[2; 100]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        while soon(server.as_raw_fd()) != Discarded::Ended {}
    }

    #[test]
    fn what_is_no_tcp_socket_is_left_alone() {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        one.write_all(b"kept").unwrap();
        assert_eq!(discard(other.as_raw_fd()), Discarded::Unsupported);
        let mut text = [0; 4];
        other.read_exact(&mut text).unwrap();
        assert_eq!(discard(-1), Discarded::Unsupported);
    }
}
