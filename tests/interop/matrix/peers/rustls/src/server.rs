//! The server's side of a job.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use rustls::{ServerConfig, ServerConnection};

use crate::channel::Channel;
use crate::options::{roots, Options};
use crate::talking::obey;
use crate::{say, say_end, say_handshake, Failure, Value};

pub fn run(job: u64, options: &Options) -> Result<(), Failure> {
    let config = Arc::new(config(options)?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    say(&[
        ("job", Value::Number(job)),
        ("event", Value::Text("listening".into())),
        ("port", Value::Number(listener.local_addr()?.port().into())),
    ]);
    for _ in 0..options.connections()? {
        let (socket, _) = listener.accept()?;
        say_end(job, serve(job, socket, &config));
    }
    Ok(())
}

fn config(options: &Options) -> Result<ServerConfig, Failure> {
    let provider = options.provider()?;
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&options.versions())?;
    let builder = match options.one("--client-auth").unwrap_or("none") {
        "none" => builder.with_no_client_auth(),
        mode => {
            let roots = roots(options.needed("--client-ca")?)?;
            let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
            if mode == "optional" {
                verifier = verifier.allow_unauthenticated();
            }
            if options.has("--no-hints") {
                verifier = verifier.clear_root_hint_subjects();
            }
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let identity = options.identities(&provider)?.pop().ok_or("--cert is missing")?;
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.alpn_protocols = options.alpn();
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

fn serve(job: u64, socket: TcpStream, config: &Arc<ServerConfig>) -> Result<(), Failure> {
    let channel = Channel::new(ServerConnection::new(config.clone())?, socket);
    channel.handshake()?;
    say_handshake(job, &channel, vec![]);
    obey(&channel)
}
