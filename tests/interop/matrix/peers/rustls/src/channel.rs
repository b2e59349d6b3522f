//! A TLS connection over a blocking socket, in which one thread may receive while another sends.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use rustls::{Connection, HandshakeKind, ProtocolVersion};

use crate::{hex, Failure};

const LINGER: Duration = Duration::from_secs(2);

pub struct Channel {
    tls: Mutex<Connection>,
    socket: TcpStream,
    /// Held while records go out, so that they stay in order.
    sending: Mutex<()>,
    received: Mutex<Received>,
}

#[derive(Default)]
struct Received {
    plaintext: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl Channel {
    pub fn new(tls: impl Into<Connection>, socket: TcpStream) -> Self {
        let _ = socket.set_nodelay(true);
        Self { tls: Mutex::new(tls.into()), socket, sending: Mutex::default(), received: Mutex::default() }
    }

    fn tls(&self) -> MutexGuard<'_, Connection> {
        self.tls.lock().unwrap()
    }

    pub fn handshake(&self) -> Result<(), Failure> {
        self.flush()?;
        while self.tls().is_handshaking() {
            self.receive(&mut self.received.lock().unwrap())?;
        }
        Ok(())
    }

    /// Version, whether it was resumed, the peer's certificate, the application protocol, the group.
    #[allow(clippy::type_complexity)]
    pub fn facts(&self) -> (Option<&'static str>, bool, Option<String>, Option<String>, Option<String>) {
        let tls = self.tls();
        let version = match tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => Some("TLSv1.2"),
            Some(ProtocolVersion::TLSv1_3) => Some("TLSv1.3"),
            _ => None,
        };
        (
            version,
            tls.handshake_kind() == Some(HandshakeKind::Resumed),
            tls.peer_certificates().and_then(|chain| chain.first()).map(|leaf| hex(leaf)),
            tls.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            tls.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())),
        )
    }

    /// What has come, at least a byte; nothing once the peer has said that it sends no more.
    pub fn read(&self, into: &mut [u8]) -> Result<usize, Failure> {
        let mut received = self.received.lock().unwrap();
        while received.taken == received.plaintext.len() && !received.ended {
            received.plaintext.clear();
            received.taken = 0;
            self.receive(&mut received)?;
        }
        let count = into.len().min(received.plaintext.len() - received.taken);
        into[..count].copy_from_slice(&received.plaintext[received.taken..][..count]);
        received.taken += count;
        Ok(count)
    }

    pub fn write(&self, data: &[u8]) -> Result<(), Failure> {
        let mut rest = data;
        while !rest.is_empty() {
            let count = self.tls().writer().write(rest)?;
            rest = &rest[count..];
            self.flush()?;
        }
        Ok(())
    }

    pub fn rekey(&self) -> Result<(), Failure> {
        self.tls().refresh_traffic_keys()?;
        Ok(self.flush()?)
    }

    pub fn close_write(&self) -> Result<(), Failure> {
        self.tls().send_close_notify();
        Ok(self.flush()?)
    }

    /// Make sure that nothing comes any more, and that the peer has said so.
    pub fn expect_end(&self) -> Result<(), Failure> {
        match self.read(&mut [0; 40])? {
            0 => Ok(()),
            count => Err(format!("{count} bytes came in place of the end").into()),
        }
    }

    fn flush(&self) -> io::Result<()> {
        let _order = self.sending.lock().unwrap();
        self.send_waiting()
    }

    fn send_waiting(&self) -> io::Result<()> {
        loop {
            let mut records = Vec::new();
            while self.tls().wants_write() {
                self.tls().write_tls(&mut records)?;
            }
            if records.is_empty() {
                return Ok(());
            }
            (&self.socket).write_all(&records)?;
        }
    }

    /// One read of the socket, into the connection.
    fn receive(&self, received: &mut Received) -> Result<(), Failure> {
        let mut buffer = [0; 1 << 16];
        let count = (&self.socket).read(&mut buffer)?;
        let mut rest = &buffer[..count];
        loop {
            let mut tls = self.tls();
            tls.read_tls(&mut rest)?;
            if let Err(error) = tls.process_new_packets() {
                drop(tls);
                let _ = self.flush(); // The alert.
                return Err(error.into());
            }
            match tls.reader().read_to_end(&mut received.plaintext) {
                Ok(_) => received.ended = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            if count == 0 && tls.is_handshaking() {
                return Err("the transport ended during the handshake".into());
            }
            if rest.is_empty() || received.ended {
                break;
            }
        }
        // A thread that receives must not wait for one that sends: that one takes along what waits.
        match self.sending.try_lock() {
            Ok(_order) => Ok(self.send_waiting()?),
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Poisoned(_)) => Err("the sending thread panicked".into()),
        }
    }
}

impl Drop for Channel {
    /// A socket closed over unread data resets the connection, and an alert may be lost with it.
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
        let _ = self.socket.set_read_timeout(Some(LINGER));
        while matches!((&self.socket).read(&mut [0; 1 << 12]), Ok(1..)) {}
    }
}
