"""The one page of `trustls serve --www`: what was negotiated, and who the client is. All of it escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

import trustls
from trustls.cli.render import certificate_names, connection_rows

MAX_REQUEST = 16 * 1024
"""Bytes of an HTTP request that are read before it is refused."""

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 3rem auto; padding: 0 1rem; color: #1d2430 }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #e3e6ea }
th { font-weight: 500; color: #5a6472; white-space: nowrap; width: 10rem }
td { overflow-wrap: anywhere; font-family: ui-monospace, monospace; font-size: .9rem }
""".strip()


def response(tls: trustls.TLSSocket[trustls.ServerConnection]) -> bytes:
    """Read one HTTP/1.1 request and give the answer to it."""
    request = bytearray()
    while b"\r\n\r\n" not in request:
        piece = tls.recv(4096)
        if not piece:
            return b""
        request += piece
        if len(request) > MAX_REQUEST:
            return _answer("431 Request Header Fields Too Large", _page("That request is too large", []))
    words = bytes(request[: request.index(b"\r\n")]).split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return _answer("400 Bad Request", _page("That is not HTTP/1.1", []))
    method, target, _ = words
    if method not in {b"GET", b"HEAD"}:
        return _answer(
            "405 Method Not Allowed", _page("Only GET and HEAD", []), body=True, extra="Allow: GET, HEAD\r\n"
        )
    if target.partition(b"?")[0] != b"/":
        return _answer("404 Not Found", _page("There is only one page here: /", []), body=method == b"GET")
    return _answer("200 OK", _status(tls.connection), body=method == b"GET")


def _status(connection: trustls.ServerConnection) -> str:
    sections = [("Connection", connection_rows(connection.info))]
    peer = connection.peer
    if peer is None:
        sections.append(("Client", [("certificate", "none was presented")]))
    else:
        sections.append(("Client", certificate_rows(peer.presented[0])))
        chain = [(f"{depth}", str(certificate.subject)) for depth, certificate in enumerate(peer.verified)]
        sections.append(("Verified chain, from the client to the root", chain))
    return _page("You are connected to trustls", sections)


def certificate_rows(certificate: trustls.Certificate) -> list[tuple[str, str]]:
    """What a person wants to know of a certificate, as (label, value)."""
    return [
        ("subject", str(certificate.subject)),
        ("issuer", str(certificate.issuer)),
        ("names", ", ".join(certificate_names(certificate)) or "none"),
        ("valid", f"{certificate.not_before_utc:%Y-%m-%d %H:%M} to {certificate.not_after_utc:%Y-%m-%d %H:%M} UTC"),
        ("SHA-256", certificate.fingerprint),
    ]


def _page(title: str, sections: Iterable[tuple[str, Iterable[tuple[str, str]]]]) -> str:
    parts = [
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n<body><h1>{html.escape(title)}</h1>",
    ]
    for heading, rows in sections:
        parts.append(f"\n<h2>{html.escape(heading)}</h2>\n<table>")
        parts += [f"\n<tr><th>{html.escape(label)}</th><td>{html.escape(value)}</td></tr>" for label, value in rows]
        parts.append("\n</table>")
    parts.append("\n</body></html>\n")
    return "".join(parts)


def _answer(status: str, page: str, extra: str = "", *, body: bool = True) -> bytes:
    content = page.encode("utf-8", "backslashreplace")
    head = (
        f"HTTP/1.1 {status}\r\n"
        "Content-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(content)}\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Cache-Control: no-store\r\n"
        f"{extra}"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (content if body else b"")
