"""What a type checker tells before the program runs. Each line has its `type: ignore`, which must be needed."""

from __future__ import annotations

import trustls


def mistakes(roots: trustls.RootCertStore, config: trustls.ClientConfig, server: trustls.ServerConfig) -> None:
    trustls.ClientConfig(roots)  # type: ignore[call-arg]  # by keyword only
    trustls.ClientConfig(roots=roots, verify=False)  # type: ignore[call-arg]  # there is no such thing
    trustls.ClientConfig(roots=roots, alpn=b"h2")  # type: ignore[arg-type]  # a list of names
    trustls.ClientConfig(roots=roots, versions=[1.3])  # type: ignore[list-item]  # "1.3"
    trustls.ServerConfig(client_auth=roots)  # type: ignore[arg-type]  # ClientAuth.required(roots)
    trustls.ServerConfig(client_auth=True)  # type: ignore[arg-type]
    trustls.connect(("server.example", 443), server)  # type: ignore[arg-type]  # a client's configuration
    trustls.ServerConnection(config)  # type: ignore[arg-type]
    trustls.ClientConnection(config)  # type: ignore[call-arg]  # without a name there is nothing to verify
    config.alpn = ["h2"]  # type: ignore[misc]  # frozen
    trustls.ServerConnection(server).requested  # type: ignore[attr-defined]  # noqa: B018 (of clients only)
    trustls.ClientConnection(config, "server.example").peer.subject  # type: ignore[union-attr]  # noqa: B018 (or None)
