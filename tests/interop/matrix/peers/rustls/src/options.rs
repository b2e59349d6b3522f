//! The options of a job, and what a client's and a server's configuration share.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::{aws_lc_rs, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SupportedProtocolVersion};

use crate::Failure;

pub struct Options(HashMap<String, Vec<String>>);

impl Options {
    pub fn parse(mut fields: impl Iterator<Item = String>) -> Self {
        let mut found: HashMap<String, Vec<String>> = HashMap::new();
        while let Some(name) = fields.next() {
            let value = if name == "--no-hints" { String::new() } else { fields.next().unwrap_or_default() };
            found.entry(name).or_default().push(value);
        }
        Self(found)
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(String::as_str)
    }

    pub fn needed(&self, name: &str) -> Result<&str, Failure> {
        self.one(name).ok_or_else(|| format!("{name} is missing").into())
    }

    fn list(&self, name: &str) -> Option<Vec<&str>> {
        self.one(name).map(|text| text.split(',').collect())
    }

    pub fn connections(&self) -> Result<usize, Failure> {
        Ok(self.one("--connections").unwrap_or("1").parse()?)
    }

    pub fn alpn(&self) -> Vec<Vec<u8>> {
        self.list("--alpn").unwrap_or_default().iter().map(|name| name.as_bytes().to_vec()).collect()
    }

    pub fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let named = self.list("--versions").unwrap_or(vec!["1.2", "1.3"]);
        let all = [("1.3", &rustls::version::TLS13), ("1.2", &rustls::version::TLS12)];
        all.into_iter().filter(|(name, _)| named.contains(name)).map(|(_, version)| version).collect()
    }

    pub fn provider(&self) -> Result<Arc<CryptoProvider>, Failure> {
        let mut provider = aws_lc_rs::default_provider();
        if let Some(names) = self.list("--groups") {
            provider.kx_groups.clear();
            for name in names {
                // rustls has a name in another case than IANA.
                let mut all = aws_lc_rs::ALL_KX_GROUPS.iter();
                let found = all.find(|group| format!("{:?}", group.name()).eq_ignore_ascii_case(name));
                provider.kx_groups.push(*found.ok_or_else(|| format!("no group {name}"))?);
            }
        }
        Ok(Arc::new(provider))
    }

    pub fn identities(&self, provider: &CryptoProvider) -> Result<Vec<Arc<CertifiedKey>>, Failure> {
        let files = self.all("--cert").iter().zip(self.all("--key"));
        files
            .map(|(cert, key)| {
                let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>()?;
                let key = PrivateKeyDer::from_pem_file(key)?;
                Ok(Arc::new(CertifiedKey::from_der(chain, key, provider)?))
            })
            .collect()
    }
}

pub fn roots(path: &str) -> Result<Arc<RootCertStore>, Failure> {
    let mut store = RootCertStore::empty();
    for one in CertificateDer::pem_file_iter(path)? {
        store.add(one?)?;
    }
    Ok(Arc::new(store))
}
