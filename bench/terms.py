"""What a measurement holds every peer to: the protocol version, the suite, the group, and session tickets."""

from __future__ import annotations

from dataclasses import dataclass

from bench.pki import RSA

X25519 = "x25519"
MLKEM = "X25519MLKEM768"
_OPENSSL_GROUPS = {X25519: "X25519", MLKEM: "X25519MLKEM768", "secp256r1": "P-256"}


@dataclass(frozen=True, slots=True)
class Terms:
    """What is negotiated, the same for all.

    Groups and TLS 1.3 suites of both OpenSSLs come from the configuration file that the process is started with
    (`openssl_conf`), because `ssl` has no calls for them; everything else is set on each peer.

    Args:
        version: "1.3" or "1.2".
        chacha: ChaCha20-Poly1305 instead of AES-256-GCM.
        group: the key exchange; None leaves each peer its default.
        tickets: how many session tickets a TLS 1.3 server sends after a handshake (TLS 1.2: whether it sends one).
        resume: whether clients resume with the newest ticket they got.
    """

    version: str = "1.3"
    chacha: bool = False
    group: str | None = X25519
    tickets: int = 0
    resume: bool = False

    def suite(self, key_type: str) -> str:
        """The suite's IANA name, for a server with a key of this type."""
        aead = "CHACHA20_POLY1305_SHA256" if self.chacha else "AES_256_GCM_SHA384"
        if self.version == "1.3":
            return f"TLS_{aead}"
        return f"TLS_ECDHE_{'RSA' if key_type == RSA else 'ECDSA'}_WITH_{aead}"

    def tls12_cipher(self, key_type: str) -> str:
        """The same as OpenSSL calls it in TLS 1.2."""
        kind = "RSA" if key_type == RSA else "ECDSA"
        return f"ECDHE-{kind}-CHACHA20-POLY1305" if self.chacha else f"ECDHE-{kind}-AES256-GCM-SHA384"

    @property
    def groups(self) -> tuple[str, ...] | None:
        """What is offered and accepted, preferred first.

        In TLS 1.2 the list also names the curves of certificates (RFC 8422 5.1.1), so P-256 has to be in it.
        """
        if self.group is None:
            return None
        return (self.group, "secp256r1") if self.version == "1.2" else (self.group,)

    def openssl_conf(self) -> str:
        """The OpenSSL configuration file for a process that measures under these terms."""
        lines = ["openssl_conf = a", "[a]", "ssl_conf = b", "[b]", "system_default = c", "[c]"]
        lines += [f"Ciphersuites = {Terms(chacha=self.chacha).suite('')}", f"NumTickets = {self.tickets}"]
        if self.groups is not None:
            lines.append("Groups = " + ":".join(_OPENSSL_GROUPS[group] for group in self.groups))
        return "\n".join([*lines, ""])
