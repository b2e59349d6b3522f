"""The shim itself: what one invocation by the runner does, and the exit code that it ends with."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings

import trustls
from tests.bogo import expectations
from tests.bogo.configuration import Configurator
from tests.bogo.exchange import Exchange
from tests.bogo.expectations import Unmet
from tests.bogo.flags import Flags, Unsupported, parse
from tests.bogo.identities import Credentials
from tests.bogo.wirelog import WireLog
from trustls import AlertReceived, CertificateRejected, ClientConnection, PeerIncompatible, PeerMisbehaved, TLSError

FAILED = 1
# What the runner does not hold against the shim: it does not implement a flag.
UNIMPLEMENTED = 89
# Failed, even where the runner expects a failure: of the shim itself, or of something that it checks.
MUST_FAIL = 90


def run(arguments: list[bytes]) -> int:
    """The exit code of one test."""
    warnings.simplefilter("ignore")  # The runner's certificates are not made to please.
    logging.lastResort = None  # What is written to stderr fails a test.
    try:
        _connections(arguments)
    except Unsupported as error:
        sys.stdout.write(f"unsupported: {error}\n")
        return UNIMPLEMENTED
    except Unmet as error:
        sys.stderr.write(f"expectation not met: {error}\n")
        return MUST_FAIL
    except TLSError as error:
        sys.stderr.write(f"{name_of(error)}\n{type(error).__name__}: {error}\n")
        return FAILED
    except Exception:  # noqa: BLE001 (a fault of the shim's must not pass for a failure that the runner expects)
        traceback.print_exc()
        return MUST_FAIL
    return 0


def name_of(error: TLSError) -> str:
    """What `config.json` knows a failure by: the name of its reason."""
    if isinstance(error, AlertReceived):  # Before CertificateRejected: an alert may be both.
        alert = str(error.code) if error.description is None else error.description.name
        return f":AlertReceived.{alert}:"
    if isinstance(error, PeerMisbehaved | PeerIncompatible | CertificateRejected):
        return f":{type(error.reason).__name__}.{error.reason.name}:"
    return f":{type(error).__name__}:"


def _connections(arguments: list[bytes]) -> None:
    invocation = parse(arguments)
    configurator = Configurator(invocation)
    wire = WireLog()
    for number, flags in enumerate(invocation.connections):
        configurator.begin(flags)
        wire.begin()
        credentials = Credentials.of(flags)
        _connect(configurator, flags, credentials, wire, invocation.retry, is_resume=number > 0)
        configurator.clock.advance(flags.resumption_delay)


def _connect(
    configurator: Configurator,
    flags: Flags,
    credentials: Credentials,
    wire: WireLog,
    retry: Flags,
    *,
    is_resume: bool,
) -> None:
    connection: ClientConnection | trustls.ServerConnection
    if flags.server:
        connection = trustls.ServerConnection(configurator.server(flags, credentials))
    else:
        connection = ClientConnection(configurator.client(flags, credentials), flags.host_name or "test")
    exchange = Exchange(flags, retry, connection, wire)
    try:
        check = expectations.Check(
            flags, retry, exchange.connection, configurator, credentials, wire, is_resume=is_resume
        )
        exchange.begin()
        check.before()
        if exchange.may_send_early:
            _export(exchange, configurator)  # BoringSSL's shim has a connection by now, though no handshake.
        exchange.handshake()
        check.handshake()
        _export(exchange, configurator)
        exchange.converse()
        check.afterwards()
    except TLSError:
        exchange.fail()
        raise
    exchange.finish()


def _export(exchange: Exchange, configurator: Configurator) -> None:
    """Send what the runner compares with its own."""
    flags, connection = exchange.flags, exchange.connection
    if flags.export_keying_material:
        context = flags.export_context.encode("latin-1") if flags.use_export_context else None
        exchange.say(
            connection.export(flags.export_label.encode("latin-1"), flags.export_keying_material, context=context)
        )
    if flags.export_traffic_secrets:
        by_label = configurator.traffic_secrets.by_label
        sides = [by_label["SERVER_TRAFFIC_SECRET_0"], by_label["CLIENT_TRAFFIC_SECRET_0"]]
        read, write = reversed(sides) if flags.server else sides
        exchange.say(len(read).to_bytes(2, "little") + read + write)
