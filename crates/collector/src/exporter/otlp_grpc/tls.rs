//! The `tls` section of a client.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::ComponentError;
use crate::decode::{Missing, Section};

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TlsSettings {
    pub(super) insecure: bool,
    insecure_skip_verify: bool,
    server_name_override: String,
    ca_file: String,
    ca_pem: String,
    cert_file: String,
    cert_pem: String,
    key_file: String,
    key_pem: String,
    include_system_ca_certs_pool: bool,
}

impl TlsSettings {
    pub(super) fn read(&mut self, section: &mut Section<'_, '_>) {
        section.bool("insecure", &mut self.insecure);
        section.bool("insecure_skip_verify", &mut self.insecure_skip_verify);
        section.string("server_name_override", &mut self.server_name_override);
        section.string("ca_file", &mut self.ca_file);
        section.string("ca_pem", &mut self.ca_pem);
        section.string("cert_file", &mut self.cert_file);
        section.string("cert_pem", &mut self.cert_pem);
        section.string("key_file", &mut self.key_file);
        section.string("key_pem", &mut self.key_pem);
        section.bool("include_system_ca_certs_pool", &mut self.include_system_ca_certs_pool);
        let (mut least, mut most) = (String::new(), String::new());
        section.string("min_version", &mut least);
        section.string("max_version", &mut most);
        for (key, written, fine) in [
            ("min_version", least, ["", "1.0", "1.1", "1.2"].as_slice()),
            ("max_version", most, &["", "1.3"]),
        ] {
            if !fine.contains(&written.as_str()) {
                section.invalid(
                    key,
                    format!("{written:?} is not supported yet by Hearth, which offers TLS 1.2 and 1.3; leave it out"),
                );
            }
        }
        section.not_implemented("cipher_suites", "", Missing::Refuse, "leave it out");
        section.not_implemented("curve_preferences", "", Missing::Refuse, "leave it out");
        section.not_implemented(
            "include_insecure_cipher_suites",
            "false",
            Missing::Warn,
            "such suites do not exist here",
        );
        section.not_implemented(
            "reload_interval",
            "0",
            Missing::Warn,
            "restart the agent after changing certificates",
        );
        section.child("tpm", |tpm| {
            let _ = tpm.entries();
            tpm.invalid("", "not supported yet by Hearth; use key_file");
        });
        for (file, pem, name) in [
            (&self.ca_file, &self.ca_pem, "CA file and CA PEM"),
            (&self.cert_file, &self.cert_pem, "certificate file and PEM"),
            (&self.key_file, &self.key_pem, "key file and PEM"),
        ] {
            if !file.is_empty() && !pem.is_empty() {
                section.invalid("", format!("provide either a {name}, but not both"));
            }
        }
        let has_cert = !self.cert_file.is_empty() || !self.cert_pem.is_empty();
        let has_key = !self.key_file.is_empty() || !self.key_pem.is_empty();
        if has_cert != has_key {
            section.invalid("", "provide both certificate and key, or neither");
        }
    }
}

/// The file's content, or the text given in place of a file; `None` if neither is set.
fn pem(what: &str, file: &str, text: &str) -> Result<Option<Vec<u8>>, ComponentError> {
    if file.is_empty() {
        return Ok(Some(text.as_bytes().to_vec()).filter(|text| !text.is_empty()));
    }
    std::fs::read(file).map(Some).map_err(|error| {
        ComponentError::new(format!("failed to load TLS config: failed to load {what} {file}: {error}"))
    })
}

/// The endpoint with TLS as configured.
pub(super) fn apply(settings: &TlsSettings, endpoint: Endpoint) -> Result<Endpoint, ComponentError> {
    let failed = |error: tonic::transport::Error| {
        ComponentError::new(format!("failed to load TLS config: {}", super::with_causes(&error)))
    };
    let mut config = ClientTlsConfig::new();
    if !settings.server_name_override.is_empty() {
        config = config.domain_name(&settings.server_name_override);
    }
    let cert = pem("TLS cert", &settings.cert_file, &settings.cert_pem)?;
    let key = pem("TLS key", &settings.key_file, &settings.key_pem)?;
    if let (Some(cert), Some(key)) = (cert, key) {
        config = config.identity(Identity::from_pem(cert, key));
    }
    if settings.insecure_skip_verify {
        let verifier = Arc::new(AcceptAnyCertificate(rustls::crypto::ring::default_provider()));
        return endpoint.tls_config_with_verifier(config, verifier).map_err(failed);
    }
    match pem("CA", &settings.ca_file, &settings.ca_pem)? {
        Some(ca) => {
            config = config.ca_certificate(Certificate::from_pem(ca));
            if settings.include_system_ca_certs_pool {
                config = config.with_native_roots();
            }
        }
        None => config = config.with_native_roots(),
    }
    endpoint.tls_config(config).map_err(failed)
}

/// `insecure_skip_verify`: encrypts, and trusts whoever answers.
#[derive(Debug)]
struct AcceptAnyCertificate(CryptoProvider);

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
