"""A web application that asks who is calling by client certificate, and decides who may do what.

    pip install trustls starlette uvicorn
    python examples/who_may.py

It makes a CA and clients in a temporary folder, serves https://localhost:8443, and prints commands of curl that show
what each client may do:

    /         everybody: it says who is calling, or what is wrong with the certificate that came
    /orders   services below spiffe://shop.example/ns/prod, and people, who have a mail address
    /admin    root@shop.example alone
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import uvicorn
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import trustls
import trustls.asgi
from trustls import Authorize
from trustls.cli.pki import Authority

# -- Who may do what ---------------------------------------------------------------------------------------------------


def has_mail_address(peer: trustls.Peer) -> bool | str:
    """Whether this is a person; if not, a sentence that says so."""
    return bool(peer.names.email) or "a service, which has no mail address"


ADMINS = Authorize.email("root@shop.example")
STAFF = Authorize.spiffe_path("spiffe://shop.example/ns/prod") | Authorize.function(has_mail_address)


class Guard:
    """Middleware: lets in whom a rule lets in. Others get 403, and are told what was expected and what came.

    A rule refuses clients without a certificate, and those with one that is not good.
    """

    def __init__(self, app: Any, rule: Authorize) -> None:
        self.app = app
        self.rule = rule

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Call the application, or refuse."""
        refusal = self.rule.refusal(trustls.asgi.peer(scope))
        if isinstance(refusal, Awaitable):  # A rule may ask a database.
            refusal = await refusal
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await JSONResponse({"refused": refusal.detail}, status_code=403)(scope, receive, send)


# -- The application ---------------------------------------------------------------------------------------------------


async def home(request: Request) -> JSONResponse:
    """Who is calling."""
    tls = request.scope["extensions"]["tls"]
    return JSONResponse({"you": tls["client_cert_name"], "wrong": tls["client_cert_error"]})


async def orders(_: Request) -> JSONResponse:
    """What was ordered."""
    return JSONResponse({"orders": ["tea", "biscuits"]})


async def admin(_: Request) -> JSONResponse:
    """A welcome."""
    return JSONResponse({"welcome": "root"})


app = Starlette(
    routes=[
        Route("/", home),
        Route("/orders", orders, middleware=[Middleware(Guard, rule=STAFF)]),
        Route("/admin", admin, middleware=[Middleware(Guard, rule=ADMINS)]),
    ]
)


# -- Certificates, and the server --------------------------------------------------------------------------------------


def make_certificates(folder: Path) -> None:
    """A CA, the server and clients of it, and a client of another CA, as PEM files."""
    shop = Authority.create("Shop CA")
    (folder / "ca.pem").write_bytes(shop.certificate.public_bytes(Encoding.PEM))
    shop.issue_server("localhost", "127.0.0.1").write(folder, "server")
    shop.issue_client("stock", uris=["spiffe://shop.example/ns/prod/stock"]).write(folder, "stock")
    shop.issue_client("test", uris=["spiffe://shop.example/ns/test/stock"]).write(folder, "test")
    shop.issue_client("root", emails=["root@shop.example"]).write(folder, "root")
    Authority.create("Another CA").issue_client("root", emails=["root@shop.example"]).write(folder, "mallory")


def server_config(folder: Path) -> trustls.ServerConfig:
    """Asks for a certificate of the CA. `report` lets all others through as well: to "/", as the guards see to that."""
    roots = trustls.RootCertStore.from_pem(folder / "ca.pem")
    own = trustls.Credential.from_pem(chain=folder / "server.pem", key=folder / "server-key.pem")
    return trustls.ServerConfig(credentials=[own], client_auth=trustls.ClientAuth.report(roots))


def show_commands(folder: Path, port: int) -> None:
    """What to try."""
    print(f"cd {folder}")
    for client, path in [
        *(("", "/"), ("mallory", "/"), ("root", "/")),
        *(("", "/orders"), ("test", "/orders"), ("stock", "/orders"), ("root", "/orders")),
        *(("mallory", "/admin"), ("stock", "/admin"), ("root", "/admin")),
    ]:
        own = f" --cert {client}.pem --key {client}-key.pem" if client else ""
        print(f"curl --cacert ca.pem{own} https://localhost:{port}{path}", flush=True)


def main() -> None:
    """Serve until Control-C."""
    parser = argparse.ArgumentParser(description="Who may do what, by client certificate.")
    parser.add_argument("--port", type=int, default=8443)
    port = parser.parse_args().port
    with (
        tempfile.TemporaryDirectory(prefix="who-may-") as name,
        socket.create_server(("127.0.0.1", port)) as listener,
        contextlib.suppress(KeyboardInterrupt),
    ):
        folder = Path(name)
        make_certificates(folder)
        show_commands(folder, listener.getsockname()[1])
        context = trustls.asgi.uvicorn_context(server_config(folder))
        server = uvicorn.Server(uvicorn.Config(app, ssl_context_factory=context, log_level="warning"))
        server.run(sockets=[listener])


if __name__ == "__main__":
    main()
