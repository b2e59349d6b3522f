//! The client's side of a job, with a choice among certificates by the server's CA names.

use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, SignatureScheme};

use crate::channel::Channel;
use crate::options::{roots, Options};
use crate::talking::act;
use crate::{hex, say_end, say_handshake, Failure, Value};

pub fn run(job: u64, options: &Options) -> Result<(), Failure> {
    let provider = options.provider()?;
    let chooser = Arc::new(Chooser { identities: options.identities(&provider)?, seen: Mutex::default() });
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&options.versions())?;
    let builder = builder.with_root_certificates(roots(options.needed("--ca")?)?);
    let mut config = builder.with_client_cert_resolver(chooser.clone());
    config.alpn_protocols = options.alpn();
    let config = Arc::new(config);
    for _ in 0..options.connections()? {
        *chooser.seen.lock().unwrap() = Seen::default();
        say_end(job, visit(job, options, &config, &chooser));
    }
    Ok(())
}

fn visit(job: u64, options: &Options, config: &Arc<ClientConfig>, chooser: &Chooser) -> Result<(), Failure> {
    let name = ServerName::try_from(options.needed("--server-name")?.to_owned())?;
    let socket = TcpStream::connect(("127.0.0.1", options.needed("--port")?.parse()?))?;
    let channel = Channel::new(ClientConnection::new(config.clone(), name)?, socket);
    channel.handshake()?;
    let seen = chooser.seen.lock().unwrap().clone();
    let authorities = seen.authorities.map_or(Value::Null, Value::List);
    say_handshake(job, &channel, vec![("authorities", authorities), ("sent", seen.sent.into())]);
    let usual = ["echo:5".to_owned(), "bye".to_owned()];
    let actions = if options.has("--do") { options.all("--do") } else { &usual };
    actions.iter().try_for_each(|action| act(&channel, action))
}

#[derive(Clone, Debug, Default)]
struct Seen {
    authorities: Option<Vec<String>>,
    sent: Option<String>,
}

#[derive(Debug)]
struct Chooser {
    identities: Vec<Arc<CertifiedKey>>,
    seen: Mutex<Seen>,
}

impl ResolvesClientCert for Chooser {
    fn resolve(&self, names: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let fits = |identity: &&Arc<CertifiedKey>| {
            let mut issuers = identity.cert.iter().filter_map(|one| issuer(one));
            identity.key.choose_scheme(schemes).is_some()
                && (names.is_empty() || issuers.any(|issuer| names.contains(&issuer)))
        };
        let chosen = self.identities.iter().find(fits);
        *self.seen.lock().unwrap() = Seen {
            authorities: Some(names.iter().map(|name| hex(name)).collect()),
            sent: chosen.map(|identity| hex(&identity.cert[0])),
        };
        chosen.cloned()
    }

    fn has_certs(&self) -> bool {
        !self.identities.is_empty()
    }
}

/// The issuer's name in a certificate: behind the serial number and the signature algorithm (RFC 5280 4.1).
fn issuer(certificate: &[u8]) -> Option<&[u8]> {
    let (_, certificate, _) = element(certificate)?;
    let (_, tbs, _) = element(certificate)?;
    let (version, _, rest) = element(tbs)?;
    let rest = if version[0] == 0xa0 { element(rest)?.2 } else { rest };
    let (_, _, rest) = element(rest)?;
    let (whole, _, _) = element(rest)?;
    Some(whole)
}

/// The first DER element: whole, its content, and what is behind it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let first = usize::from(*der.get(1)?);
    let (length, header) = if first < 0x80 {
        (first, 2)
    } else {
        let octets = der.get(2..2 + (first & 0x7f))?;
        (octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)), 2 + octets.len())
    };
    Some((der.get(..header + length)?, &der[header..header + length], &der[header + length..]))
}
