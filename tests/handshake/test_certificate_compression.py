"""Certificate compression (RFC 8879): who does it, what it is done to, and what is refused."""

from __future__ import annotations

import itertools
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.support.examples import COMPARES_BYTES
from tests.support.identities import (
    client_config,
    client_credential,
    optional,
    required,
    server_config,
    server_credential,
)
from tests.support.memory import Pair, byte_by_byte, check_refused, connect, pair
from tests.support.scripted import Edit, Item, ScriptedClient, ScriptedServer, on
from tests.support.watching import Watch
from trustls import Certificate, CertificateCompression, Peer, ServerName
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, ServerConnection
from trustls.errors import ConfigError, DecodeError, Misbehaviour, PeerMisbehaved
from trustls.identity.credential import Credential
from trustls.protocol.certificate_compression import BrotliCompression, ZlibCompression
from trustls.trace import COMPRESSED, DECOMPRESSED, RECEIVED, SENT
from trustls.trust.client_auth import ClientAuth
from trustls.wire.enums import CertificateCompressionAlgorithm, ProtocolVersion
from trustls.wire.messages import (
    CertificateMessage,
    CertificateRequest,
    ClientHello,
    CompressedCertificate,
    encode_message,
)
from trustls.wire.ready import ReadyForms

pytestmark = COMPARES_BYTES

ZLIB = CertificateCompressionAlgorithm.ZLIB
MAX_CERTIFICATE_MESSAGE = 131_072

roles = pytest.mark.parametrize("role", ["client", "server"])


class Counting:
    """Turns every bit of a message over, and counts how often it is asked to.

    Each has a number of its own, by which credentials keep what it made.
    """

    _numbers = itertools.count(0xE000)

    def __init__(self, number: int | None = None) -> None:
        self.algorithm = next(self._numbers) if number is None else number
        self.compressed = 0
        self.decompressed = 0

    def compress(self, message: bytes) -> bytes | None:
        self.compressed += 1
        return turned(message)

    def decompress(self, compressed: bytes, length: int) -> bytes:
        self.decompressed += 1
        return turned(compressed)


def turned(data: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in data)


def configs(
    client: list[Any], server: list[Any], client_changes: dict[str, Any] | None = None, **server_changes: Any
) -> tuple[ServerConfig, ClientConfig]:
    """A server and a client that both present a certificate, with these algorithms."""
    settings = {"client_auth": required(), "certificate_compression": server, **server_changes}
    changes = {"credentials": [client_credential()], "certificate_compression": client, **(client_changes or {})}
    return server_config(**settings), client_config(**changes)


def sent(watch: Watch) -> list[str]:
    """Which messages with certificates each side sent, in order."""
    return [
        f"{event.role}: {type(event.message).__name__}"
        for event in watch.take()
        if event.direction == SENT and isinstance(event.message, CertificateMessage | CompressedCertificate)
    ]


# -- What works -------------------------------------------------------------------------------------------------------


def test_certificates_of_both_sides_are_compressed() -> None:
    with Watch() as watch:
        joined = connect(*configs(["zlib"], ["zlib"])).check_connected()
    assert sent(watch) == ["server: CompressedCertificate", "client: CompressedCertificate"]
    assert joined.client.peer is not None
    assert joined.client.peer.presented == server_credential().sent_chain
    assert joined.server.peer is not None
    assert joined.server.peer.presented == client_credential().sent_chain


def test_nobody_compresses_unless_configured() -> None:
    with Watch() as watch:
        connect(*configs([], []))
    events = watch.take()
    assert not any(isinstance(event.message, CompressedCertificate) for event in events)
    offers = [event.message for event in events if isinstance(event.message, ClientHello | CertificateRequest)]
    assert offers
    assert all(offer.compress_certificate is None for offer in offers)


@pytest.mark.parametrize(("client", "server"), [(["zlib"], []), ([], ["zlib"]), ([Counting()], ["zlib"])])
def test_without_an_algorithm_in_common_certificates_go_as_they_are(client: list[Any], server: list[Any]) -> None:
    with Watch() as watch:
        connect(*configs(client, server)).check_connected()
    assert sent(watch) == ["server: CertificateMessage", "client: CertificateMessage"]


def test_the_senders_order_decides() -> None:
    first, second = Counting(), Counting()
    connect(*configs([first, second], [second, first]))
    assert (first.compressed, second.compressed) == (1, 1)
    assert (first.decompressed, second.decompressed) == (1, 1)


def test_algorithms_that_nobody_knows_are_passed_over() -> None:
    unknown = CertificateCompressionAlgorithm(0x7777)
    client = ScriptedClient(configs(["zlib"], [])[1], hello(compress_certificate=(unknown, ZLIB)))
    with Watch() as watch:
        Pair(client, ServerConnection(configs([], ["zlib"])[0])).run().check_connected()
    assert "server: CompressedCertificate" in sent(watch)


def test_it_is_done_once_for_a_credential() -> None:
    algorithm = Counting()
    made = configs([algorithm], [algorithm], {"sessions": None})
    for _ in range(3):
        connect(*made)
    assert (algorithm.compressed, algorithm.decompressed) == (2, 6), "once for each side's certificate"


def test_staples_are_compressed_with_their_certificate() -> None:
    algorithm = Counting()
    staples = iter([b"0\x03\n\x01\x06"] * 3 + [b"0\x03\n\x01\x05"] * 2)
    issued = server_credential()
    stapling = Credential(issued.chain, issued.signer, ocsp_response=lambda: next(staples))
    settings = {"verifier": Believing(), "roots": None, "sessions": None, "credentials": ()}
    made = configs([algorithm], [algorithm], settings, credentials=[stapling], client_auth=ClientAuth.none())
    responses = [connect(*made).client.peer.ocsp_response for _ in range(5)]  # type: ignore[union-attr]
    assert responses == [b"0\x03\n\x01\x06"] * 3 + [b"0\x03\n\x01\x05"] * 2
    assert algorithm.compressed == 2, "once for each response"


class Believing:
    """Believes every server, whatever it staples."""

    def verify_server(
        self, chain: tuple[Certificate, ...], name: ServerName, *, now: float, ocsp_response: bytes
    ) -> Peer:
        return Peer(chain)


def test_what_is_kept_of_a_credential_is_bounded() -> None:
    forms = ReadyForms()
    made: list[int] = []

    def form(number: int) -> bytes:
        made.append(number)
        return b"%d" % number

    for number in (1, 2, 3, 4, 1, 5, 6):
        assert forms.of(number, lambda number=number: form(number)) == b"%d" % number  # type: ignore[misc]
    assert made == [1, 2, 3, 4, 5, 6]
    assert len(forms._made) == 4


def test_it_comes_in_pieces_as_well() -> None:
    joined = pair(*configs(["zlib"], ["zlib"]))
    joined.split = byte_by_byte
    joined.run().check_connected()


def test_message_that_gets_no_shorter_goes_as_it_is() -> None:
    class Unwilling(Counting):
        def compress(self, message: bytes) -> bytes | None:
            super().compress(message)
            return None

    algorithm = Unwilling()
    made = configs([algorithm], [algorithm], {"sessions": None})
    with Watch() as watch:
        connect(*made)
        connect(*made)
    assert set(sent(watch)) == {"server: CertificateMessage", "client: CertificateMessage"}
    assert algorithm.compressed == 2, "it was asked again"


def test_zlib_leaves_alone_what_it_makes_longer() -> None:
    assert ZlibCompression().compress(bytes(range(250))) is None


def test_client_without_a_certificate_says_so_uncompressed() -> None:
    with Watch() as watch:
        connect(*configs(["zlib"], ["zlib"], {"credentials": ()}, client_auth=optional()))
    assert sent(watch) == ["server: CompressedCertificate", "client: CertificateMessage"]


@pytest.mark.parametrize("client", ["zlib", None])
@pytest.mark.parametrize("server", ["zlib", None])
def test_answer_after_the_handshake_is_compressed_for_who_decompresses(client: str | None, server: str | None) -> None:
    later = {"client_auth": ClientAuth.none(), "post_handshake_auth": required()}
    made = configs([client] if client else [], [server] if server else [], {"post_handshake_auth": True}, **later)
    with Watch() as watch:
        joined = connect(*made)
        joined.server.request_client_certificate()
        joined.run()
    assert joined.server.peer is not None, f"{joined.server.failure!r}"
    assert joined.server.peer.subject == "CN=alice"
    name = "CompressedCertificate" if client and server else "CertificateMessage"
    assert sent(watch) == [f"server: {name}", f"client: {name}"]


def test_answers_to_requests_after_the_handshake_are_not_kept() -> None:
    """Each has the context of its request, and so is another: they would drive out what is sent again."""
    algorithm = Counting()
    later = {"client_auth": ClientAuth.none(), "post_handshake_auth": required()}
    alice = Credential(client_credential().chain, client_credential().signer)
    joined = connect(*configs([algorithm], [algorithm], {"credentials": [alice], "post_handshake_auth": True}, **later))
    for _ in range(3):
        joined.server.request_client_certificate()
        joined.run()
    assert algorithm.compressed == 4, "three answers, and the server's certificate"
    assert not alice._compressed._made


def test_tls12_knows_nothing_of_it() -> None:
    with Watch() as watch:
        joined = connect(*configs(["zlib"], ["zlib"], versions=["1.2"])).check_connected()
    assert joined.client.info.version == ProtocolVersion.TLS1_2
    assert not any(isinstance(event.message, CompressedCertificate) for event in watch.take())
    hello = ClientHello.parse(ClientConnection(configs(["zlib"], [], {"versions": ["1.2"]})[1], "a").data_to_send()[9:])
    assert hello.compress_certificate is None


def test_retry_and_resumption_go_on_with_it() -> None:
    made = configs(["zlib"], ["zlib"], groups=["secp384r1"])
    first = connect(*made).run()
    assert first.client.info.retried
    assert connect(*made).client.info.resumed


def test_trace_shows_the_certificate_and_that_it_was_compressed() -> None:
    with Watch() as watch:
        connect(*configs(["zlib"], ["zlib"]))
    events = watch.take()
    for role, first, second in (("server", COMPRESSED, SENT), ("client", RECEIVED, DECOMPRESSED)):
        one, two = [
            event
            for event in events
            if event.role == role
            and isinstance(event.message, CertificateMessage | CompressedCertificate)
            and event.direction in {first, second}
        ]
        assert [one.direction, two.direction] == [first, second]
        plain, packed = (one, two) if role == "server" else (two, one)
        assert plain.raw == server_credential().certificate_message
        assert isinstance(packed.message, CompressedCertificate)
        assert packed.message.uncompressed_length == len(plain.raw) - 4
        assert packed.raw == encode_message(packed.message)
    assert "client decompressed Certificate (" in watch.text
    assert "\n  algorithm: zlib\n" in watch.text


# -- What is refused --------------------------------------------------------------------------------------------------


def hello(**fields: Any) -> Edit:
    return on(ClientHello, lambda message: [replace(message, **fields)])


def refused(role: str, change: Callable[[CompressedCertificate], Item], reason: Misbehaviour | None) -> PeerMisbehaved:
    """Why `role` refuses what its peer makes of its CompressedCertificate."""
    server, client = configs(["zlib"], ["zlib"])
    edit = on(CompressedCertificate, lambda message: [change(message)])
    if role == "client":
        joined = Pair(ClientConnection(client, "localhost"), ScriptedServer(server, edit))
    else:
        joined = Pair(ScriptedClient(client, edit), ServerConnection(server))
    error = check_refused(joined.run(), role, PeerMisbehaved if reason else DecodeError, reason)
    assert isinstance(error, PeerMisbehaved)
    return error


def repacked(change: Callable[[bytes], bytes], length: int = 0) -> Callable[[CompressedCertificate], Item]:
    """The message with another stream; `length` is added to what is announced."""

    def changed(message: CompressedCertificate) -> CompressedCertificate:
        announced = message.uncompressed_length + length
        return replace(message, compressed=change(message.compressed), uncompressed_length=announced)

    return changed


@roles
@pytest.mark.parametrize("number", [0, 2, 3, 0xFFFF])
def test_algorithm_that_was_not_offered_is_refused(number: int, role: str) -> None:
    other = CertificateCompressionAlgorithm(number)
    refused(role, lambda message: replace(message, algorithm=other), Misbehaviour.COMPRESSION_NOT_OFFERED)


@roles
@pytest.mark.parametrize("by", [-400, -1, 1, 2, 1000, 100_000])
def test_length_that_is_not_the_announced_one_is_refused(by: int, role: str) -> None:
    error = refused(role, repacked(lambda stream: stream, by), Misbehaviour.BAD_COMPRESSED_CERTIFICATE)
    assert "bytes are announced, " in str(error)


@roles
@pytest.mark.parametrize(
    "change",
    [
        lambda stream: stream[:-1],
        lambda stream: stream[:20],
        lambda stream: b"x",
        lambda stream: stream + b"x",
        lambda stream: stream[:-1] + bytes([stream[-1] ^ 1]),
        lambda stream: stream + stream,
        zlib.decompress,
    ],
    ids=["a byte short", "cut", "a byte", "a byte more", "another checksum", "twice", "not compressed"],
)
def test_stream_that_is_not_one_whole_stream_is_refused(change: Callable[[bytes], bytes], role: str) -> None:
    refused(role, repacked(change), Misbehaviour.BAD_COMPRESSED_CERTIFICATE)


@roles
@pytest.mark.parametrize("announced", [MAX_CERTIFICATE_MESSAGE + 1, 0xFFFFFF])
def test_more_than_a_certificate_message_may_have_is_refused_unread(announced: int, role: str) -> None:
    refused(
        role,
        lambda message: replace(message, uncompressed_length=announced, compressed=b"not looked at"),
        Misbehaviour.COMPRESSED_CERTIFICATE_TOO_LARGE,
    )


@roles
@pytest.mark.parametrize("announced", [1, 500, MAX_CERTIFICATE_MESSAGE])
def test_bomb_is_not_decompressed_beyond_what_was_announced(
    announced: int, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = zlib.compress(bytes(1 << 24), 9)
    made: list[int] = []
    decompress = ZlibCompression.decompress

    def watched(self: ZlibCompression, compressed: bytes, length: int) -> bytes:
        message = decompress(self, compressed, length)
        made.append(len(message))
        return message

    monkeypatch.setattr(ZlibCompression, "decompress", watched)
    refused(
        role,
        lambda message: replace(message, uncompressed_length=announced, compressed=bomb),
        Misbehaviour.BAD_COMPRESSED_CERTIFICATE,
    )
    assert made[-1] == announced + 1


@roles
def test_what_comes_out_must_be_a_certificate_message(role: str) -> None:
    junk = b"\0\0\0\5" + bytes(20)
    refused(
        role,
        lambda message: replace(message, uncompressed_length=len(junk), compressed=zlib.compress(junk)),
        None,
    )


@roles
def test_empty_certificate_in_compressed_form_is_what_it_is(role: str) -> None:
    """A server without a certificate is refused, a client where one is required."""
    empty = zlib.compress(b"\0\0\0\0")
    server, client = configs(["zlib"], ["zlib"])
    edit = on(CompressedCertificate, lambda message: [replace(message, uncompressed_length=4, compressed=empty)])
    if role == "client":
        joined = Pair(ClientConnection(client, "localhost"), ScriptedServer(server, edit)).run()
        check_refused(joined, role, PeerMisbehaved, Misbehaviour.NO_SERVER_CERTIFICATE)
    else:
        joined = Pair(ScriptedClient(client, edit), ServerConnection(server)).run()
        assert joined.server.failure is not None
        assert "requires a client certificate" in str(joined.server.failure)


def test_context_is_looked_at_in_compressed_form_as_well() -> None:
    body = CertificateMessage(context=b"x", entries=client_credential().certificate_entries()).encode()
    refused(
        "server",
        lambda message: replace(message, uncompressed_length=len(body), compressed=zlib.compress(body)),
        Misbehaviour.BAD_REQUEST_CONTEXT,
    )


@roles
def test_compressed_certificate_that_was_not_asked_for_is_refused(role: str) -> None:
    def packed(message: CertificateMessage) -> list[CompressedCertificate]:
        body = message.encode()
        return [CompressedCertificate(algorithm=ZLIB, uncompressed_length=len(body), compressed=zlib.compress(body))]

    server, client = configs([], [])
    edit = on(CertificateMessage, packed)
    if role == "client":
        joined = Pair(ClientConnection(client, "localhost"), ScriptedServer(server, edit))
    else:
        joined = Pair(ScriptedClient(client, edit), ServerConnection(server))
    check_refused(joined.run(), role, PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("configured", [[], ["zlib"]])
def test_algorithm_named_twice_is_refused(configured: list[str]) -> None:
    client = ScriptedClient(client_config(), hello(compress_certificate=(ZLIB, ZLIB)))
    joined = Pair(client, ServerConnection(server_config(certificate_compression=configured))).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.DUPLICATE_COMPRESSION)


@roles
@pytest.mark.parametrize("answer", [None, 454, "text"])
def test_algorithm_of_ones_own_that_gives_no_bytes_refuses(answer: Any, role: str) -> None:
    class Forgetful(Counting):
        def decompress(self, compressed: bytes, length: int) -> bytes:
            made: bytes = answer
            return made

    algorithms: dict[str, list[Any]] = {"client": [Counting(0xFE01)], "server": [Counting(0xFE01)]}
    algorithms[role] = [Forgetful(0xFE01)]
    joined = pair(*configs(algorithms["client"], algorithms["server"])).run()
    check_refused(joined, role, PeerMisbehaved, Misbehaviour.BAD_COMPRESSED_CERTIFICATE)


@roles
def test_algorithm_of_ones_own_may_fail_in_any_way(role: str) -> None:
    class Broken(Counting):
        def decompress(self, compressed: bytes, length: int) -> bytes:
            raise RuntimeError("out of order")

    algorithms: dict[str, list[Any]] = {
        "client": [Counting(0xFE00)],
        "server": [Counting(0xFE00)],
        role: [Broken(0xFE00)],
    }
    joined = pair(*configs(algorithms["client"], algorithms["server"])).run()
    error = check_refused(joined, role, PeerMisbehaved, Misbehaviour.BAD_COMPRESSED_CERTIFICATE)
    assert "RuntimeError: out of order" in str(error)


# -- The algorithms ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=[ZlibCompression, BrotliCompression], ids=["zlib", "brotli"])
def algorithm(request: pytest.FixtureRequest) -> CertificateCompression:
    if request.param is BrotliCompression:
        pytest.importorskip("brotli")
    made: CertificateCompression = request.param()
    return made


@pytest.mark.parametrize("size", [100, 5000, 40_000, MAX_CERTIFICATE_MESSAGE])
def test_message_comes_back(size: int, algorithm: CertificateCompression) -> None:
    message = (bytes(range(256)) * 600)[:size] if size > 300 else b"a" * size
    compressed = algorithm.compress(message)
    assert compressed is not None
    assert len(compressed) < size
    assert algorithm.decompress(compressed, size) == message


def test_no_algorithm_makes_much_more_than_was_announced(algorithm: CertificateCompression) -> None:
    bomb = algorithm.compress(bytes(1 << 24))
    assert bomb is not None
    for announced in (1, 1000, MAX_CERTIFICATE_MESSAGE):
        made = len(algorithm.decompress(bomb, announced))
        assert announced < made <= 2 * announced + 32768


def test_no_algorithm_takes_a_part_of_a_stream(algorithm: CertificateCompression) -> None:
    message = server_credential().certificate_message * 3
    stream = algorithm.compress(message) or b""
    for end in range(len(stream)):
        with pytest.raises(Exception):  # noqa: B017, PT011 (each library has its own)
            algorithm.decompress(stream[:end], len(message))
    with pytest.raises(Exception):  # noqa: B017, PT011
        algorithm.decompress(stream + b"x", len(message))


def test_both_sides_can_do_it_with_brotli() -> None:
    pytest.importorskip("brotli")
    with Watch() as watch:
        connect(*configs(["brotli", "zlib"], ["brotli"])).check_connected()
    assert sent(watch) == ["server: CompressedCertificate", "client: CompressedCertificate"]


# -- Configurations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [client_config, server_config])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("zlib", "takes a list of algorithms"),
        (["zip"], "no algorithm 'zip' compresses certificates here; there are: zlib, brotli"),
        ([object()], "is no CertificateCompression"),
        ([Counting(0)], "is no CertificateCompression"),
        ([Counting(1 << 16)], "is no CertificateCompression"),
        ([Counting("zlib")], "is no CertificateCompression"),  # type: ignore[arg-type]  # what a typo gives
        (["zlib", "zlib"], "two algorithms of one number"),
    ],
    ids=["text", "unknown", "none", "number 0", "number 65536", "a name for a number", "twice"],
)
def test_what_is_no_algorithm_is_refused_in_words(make: Callable[..., object], wrong: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make(certificate_compression=wrong)


def test_brotli_that_is_not_installed_or_too_old_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        Decompressor = object

    for module, said in ((None, "pip install"), (Old, "1.2 or newer")):
        monkeypatch.setitem(sys.modules, "brotli", module)
        with pytest.raises(ConfigError, match=said):
            server_config(certificate_compression=["brotli"])


def test_configuration_keeps_the_list_as_it_was() -> None:
    algorithms = ["zlib"]
    config = client_config(certificate_compression=algorithms)
    algorithms.clear()
    assert config.certificate_compression == ("zlib",)
    assert replace(config, alpn=["h2"]).parameters.compression is not None
