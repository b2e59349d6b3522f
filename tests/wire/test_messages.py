"""Every handshake message and every extension, collected from the classes, so that a new one cannot be forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.examples import COMPARES_BYTES
from tests.wire.strategies import EXTENDED, EXTENSIONS, MESSAGES, field_strategy, names, parse, small, strategy_of
from trustls.errors import DecodeError, Misbehaviour, PeerMisbehaved
from trustls.wire import messages, messages12
from trustls.wire.codec import OPAQUE
from trustls.wire.enums import (
    CipherSuite,
    ExtensionType,
    HandshakeType,
    NamedGroup,
    ProtocolVersion,
    SignatureScheme,
)
from trustls.wire.extensions import (
    CERTIFICATE_AUTHORITIES,
    OFFERED_PSKS,
    PADDING,
    KeyShareEntry,
    OfferedPsks,
    PskIdentity,
    encode_authorities,
)
from trustls.wire.messages import (
    CertificateEntry,
    CertificateMessage,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    EncryptedExtensions,
    EndOfEarlyData,
    Finished,
    HelloRetryRequest,
    KeyUpdate,
    NewSessionTicket,
    ServerHello,
    awaited_class,
    encode_message,
    parse_message,
)
from trustls.wire.messages12 import HelloRequest, ServerHelloDone, ServerKeyExchange
from trustls.wire.names import DistinguishedName

pytestmark = COMPARES_BYTES

every_message = pytest.mark.parametrize("owner", MESSAGES, ids=lambda owner: owner.__name__)
every_extended = pytest.mark.parametrize("owner", EXTENDED, ids=lambda owner: owner.__name__)
every_extension = pytest.mark.parametrize(
    ("owner", "field"), EXTENSIONS, ids=[f"{owner.__name__}.{field}" for owner, field in EXTENSIONS]
)

# Any bytes are a Finished: only the handshake knows how long it must be. All others end where they end.
_ANY_LENGTH = {Finished}


def refuses(owner: type[Any], body: bytes) -> bool:
    try:
        parse(owner, body)
    except PeerMisbehaved:
        return True
    return False


def test_the_messages_collected_are_those_that_a_connection_reads() -> None:
    """Guards the collection itself: a class that a connection reads and the tests miss would go untested."""
    written = {
        item
        for module in (messages, messages12)
        for name, item in vars(module).items()
        if isinstance(item, type) and hasattr(item, "TYPE") and not name.startswith("_")
    }
    assert written == set(MESSAGES)
    assert {HelloRequest, ServerKeyExchange, ServerHello} < written
    assert len(EXTENSIONS) > 60, "the extensions were not collected"


# -- Round trip, truncation, trailing bytes ---------------------------------------------------------------------------


@every_message
@given(data=st.data())
def test_message_survives_the_wire(owner: type[Any], data: st.DataObject) -> None:
    message = data.draw(strategy_of(owner))
    body = message.encode()
    assert parse(owner, body) == message, "what is read is not what was written"
    assert parse(owner, body).encode() == body, "a message that was read is written differently"


@every_message
@given(data=st.data())
def test_message_that_is_cut_or_followed_by_bytes_is_refused(owner: type[Any], data: st.DataObject) -> None:
    message = data.draw(strategy_of(owner))
    body = message.encode()
    if owner in _ANY_LENGTH:
        return
    assert refuses(owner, body + b"\0"), f"a byte after {body.hex()} is not noticed"
    allowed = set()
    if owner in {ClientHello, ServerHello, HelloRetryRequest}:
        # RFC 5246 7.4.1: a hello of TLS 1.2 may end before its extensions, so there, and only there, may one be cut.
        allowed.add(len(body) - len(message.encode_extensions()))
    cuts = (
        range(len(body)) if len(body) < 200 else sorted(data.draw(st.sets(st.integers(0, len(body) - 1), max_size=60)))
    )
    accepted = {cut for cut in cuts if not refuses(owner, body[:cut])}
    assert accepted <= allowed, f"{owner.__name__} is read although cut to {accepted - allowed} of {len(body)} bytes"


@every_extension
@given(data=st.data())
def test_extension_survives_the_wire_alone(owner: type[Any], field: str, data: st.DataObject) -> None:
    value = data.draw(field_strategy(owner, field))
    message = small(owner, **{field: value})
    read = parse(owner, message.encode())
    assert getattr(read, field) == value
    assert read == message, "the extension turned up in another field"
    assert list(read.extension_types()) == [kind for kind, (name, _) in owner._fields_by_type.items() if name == field]


@every_extension
@given(data=st.data())
def test_extension_whose_body_is_cut_or_too_long_is_refused(owner: type[Any], field: str, data: st.DataObject) -> None:
    kind, codec = next((kind, codec) for kind, (name, codec) in owner._fields_by_type.items() if name == field)
    if codec is OPAQUE or codec is PADDING:
        return  # Any length is one.
    body = codec.encode(data.draw(field_strategy(owner, field)))
    cuts = (
        range(len(body)) if len(body) < 100 else sorted(data.draw(st.sets(st.integers(0, len(body) - 1), max_size=30)))
    )
    for wrong in (body + b"\0", *(body[:cut] for cut in cuts)):
        # The block around it is well-formed: only the body of this one extension is not.
        message = small(owner, unknown_extensions=((kind, wrong),))
        assert refuses(owner, message.encode()), f"{field} is read from {wrong.hex() or 'nothing'}"


@every_message
@given(body=st.binary(max_size=200))
def test_random_bytes_are_read_or_refused_and_nothing_else(owner: type[Any], body: bytes) -> None:
    if not refuses(owner, body):
        message = parse(owner, body)
        assert parse(owner, message.encode()) == message


@every_message
@given(data=st.data())
def test_changed_bytes_are_read_or_refused_and_nothing_else(owner: type[Any], data: st.DataObject) -> None:
    body = bytearray(data.draw(strategy_of(owner)).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    if not refuses(owner, bytes(body)):
        message = parse(owner, bytes(body))
        assert parse(owner, message.encode()) == message


# -- Extension blocks -------------------------------------------------------------------------------------------------


def reason_of(owner: type[Any], body: bytes) -> object:
    with pytest.raises(PeerMisbehaved) as refused:
        parse(owner, body)
    return refused.value.reason


@every_extension
@settings(max_examples=3)
@given(data=st.data())
def test_extension_may_not_come_twice(owner: type[Any], field: str, data: st.DataObject) -> None:
    kind, codec = next((kind, codec) for kind, (name, codec) in owner._fields_by_type.items() if name == field)
    body = codec.encode(data.draw(field_strategy(owner, field)))
    message = small(owner, unknown_extensions=((kind, body), (0x0A0A, b""), (kind, body)))
    assert reason_of(owner, message.encode()) is Misbehaviour.DUPLICATE_EXTENSION


@every_extended
def test_unknown_extension_may_not_come_twice(owner: type[Any]) -> None:
    message = small(owner, unknown_extensions=((0x7777, b"a"), (0x0A0A, b""), (0x7777, b"b")))
    assert reason_of(owner, message.encode()) is Misbehaviour.DUPLICATE_EXTENSION


@every_extended
def test_unknown_and_grease_extensions_survive_in_their_order(owner: type[Any]) -> None:
    kept = ((0x0A0A, b""), (0x7777, b"seven"), (0xFAFA, b"\0"))
    read = parse(owner, small(owner, unknown_extensions=kept).encode())
    assert read.unknown_extensions == kept
    assert list(read.extension_types()) == [0x0A0A, 0x7777, 0xFAFA]


@every_extended
def test_known_extension_is_refused_in_a_message_that_it_is_not_for(owner: type[Any]) -> None:
    for kind in ExtensionType:
        if int(kind) not in owner._fields_by_type:
            message = small(owner, unknown_extensions=((int(kind), b""),))
            reason = reason_of(owner, message.encode())
            assert reason is Misbehaviour.UNEXPECTED_EXTENSION, f"{kind} in {owner.__name__}: {reason}"


@every_extended
def test_hundreds_of_unknown_extensions_are_refused(owner: type[Any]) -> None:
    few = tuple((0x8000 + number, b"") for number in range(200))
    assert parse(owner, small(owner, unknown_extensions=few).encode()).unknown_extensions == few
    many = tuple((0x8000 + number, b"") for number in range(300))
    assert refuses(owner, small(owner, unknown_extensions=many).encode())


@pytest.mark.parametrize("length", [3, 5])
@every_extended
def test_extension_block_that_its_entries_do_not_fill_is_refused(owner: type[Any], length: int) -> None:
    whole = small(owner).encode()
    head = whole[: -len(small(owner).encode_extensions())]
    block = (0x7777).to_bytes(2, "big") + b"\0\2"  # An entry of two bytes that are not there.
    block = (block + b"\0\0")[:length]
    assert reason_of(owner, head + len(block).to_bytes(2, "big") + block) is Misbehaviour.TRUNCATED


# -- ClientHello ------------------------------------------------------------------------------------------------------


def client_hello(**fields: Any) -> ClientHello:
    return ClientHello(**{"random": b"r" * 32, "cipher_suites": (CipherSuite.TLS_AES_128_GCM_SHA256,), **fields})


def test_client_hello_may_end_before_its_extensions() -> None:
    body = client_hello().encode()
    assert body.endswith(b"\1\0" + b"\0\0")
    read = ClientHello.parse(body[:-2])
    assert read == client_hello(), "a hello without an extension block is one without extensions"


PSKS = OfferedPsks((PskIdentity(b"ticket", 1),), (b"b" * 32,))


def test_pre_shared_key_is_written_last_whatever_else_there_is() -> None:
    hello = client_hello(pre_shared_key=PSKS, early_data=True, unknown_extensions=((0x0A0A, b""),))
    body = hello.encode()
    assert body.index(b"\0\x29" + len(OFFERED_PSKS.encode(PSKS)).to_bytes(2, "big")) > body.index(b"\x0a\x0a")
    assert ClientHello.parse(body) == hello


@pytest.mark.parametrize("after", [(0x0A0A, b""), (int(ExtensionType.COOKIE), b"\0\1c")])
def test_pre_shared_key_that_is_not_last_is_refused(after: tuple[int, bytes]) -> None:
    psk = (int(ExtensionType.PRE_SHARED_KEY), OFFERED_PSKS.encode(PSKS))
    assert reason_of(ClientHello, client_hello(unknown_extensions=(psk, after)).encode()) is Misbehaviour.PSK_NOT_LAST
    ClientHello.parse(client_hello(unknown_extensions=(after, psk)).encode())


def test_pre_shared_key_needs_a_binder_for_each_identity() -> None:
    lonely = OfferedPsks((PskIdentity(b"a", 1), PskIdentity(b"b", 2)), (b"b" * 32,))
    assert reason_of(ClientHello, client_hello(pre_shared_key=lonely).encode()) is Misbehaviour.BAD_PSK_OFFER


def test_binder_of_any_length_is_read() -> None:
    """RFC 9846 4.3.11 says 32 bytes at least. Who takes its key compares it, and nobody else looks at it."""
    identities = tuple([PskIdentity(b"ticket %d" % length, 1) for length in (1, 12, 31, 32, 255)])
    hello = client_hello(pre_shared_key=OfferedPsks(identities, (b"b", b"b" * 12, b"b" * 31, b"b" * 32, b"b" * 255)))
    assert ClientHello.parse(hello.encode()) == hello


@pytest.mark.parametrize("binders", [b"", b"\0", b"\0\1b"], ids=["no list", "empty binder", "empty and good"])
def test_binder_of_no_length_is_refused(binders: bytes) -> None:
    identities = b"\0\1a\0\0\0\1" * 2
    body = len(identities).to_bytes(2, "big") + identities + len(binders).to_bytes(2, "big") + binders
    hello = client_hello(unknown_extensions=((int(ExtensionType.PRE_SHARED_KEY), body),))
    assert reason_of(ClientHello, hello.encode()) is Misbehaviour.BAD_LENGTH


def test_grease_values_survive_everywhere() -> None:
    hello = client_hello(
        cipher_suites=(CipherSuite(0x0A0A), CipherSuite.TLS_AES_128_GCM_SHA256),
        supported_groups=(NamedGroup(0x1A1A), NamedGroup.X25519),
        supported_versions=(ProtocolVersion(0x7A7A), ProtocolVersion.TLS1_3),
        signature_algorithms=(SignatureScheme(0x2A2A), SignatureScheme.ED25519),
        key_share=(KeyShareEntry(NamedGroup(0x1A1A), b"\0"), KeyShareEntry(NamedGroup.X25519, b"x" * 32)),
        alpn=(b"\x0a\x0a", b"h2"),
        unknown_extensions=((0x4A4A, b"\0"),),
    )
    assert ClientHello.parse(hello.encode()) == hello


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\0\0", Misbehaviour.BAD_LENGTH),
        (b"\0\3\0\0\0", Misbehaviour.BAD_LENGTH),
        (b"\0\4\1\0\1x", Misbehaviour.MALFORMED),
        (b"\0\5\0\0\2\xc3\xa9", Misbehaviour.MALFORMED),
        (b"\0\6\0\0\3a\0b", Misbehaviour.MALFORMED),
        (b"\0\6\0\0\3a b", Misbehaviour.MALFORMED),
        (b"\0\6\0\0\3a\nb", Misbehaviour.MALFORMED),
        (b"\0\6\0\0\3a\x7fb", Misbehaviour.MALFORMED),
        (b"\0\10\0\0\1a\0\0\1b", Misbehaviour.TRAILING_BYTES),
    ],
    ids=["no names", "empty name", "other name type", "not ASCII", "NUL", "space", "new line", "DEL", "two names"],
)
def test_server_name_that_names_no_one_host_is_refused(body: bytes, reason: Misbehaviour) -> None:
    hello = client_hello(unknown_extensions=((int(ExtensionType.SERVER_NAME), body),))
    assert reason_of(ClientHello, hello.encode()) is reason


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (ExtensionType.SUPPORTED_GROUPS, b"\0\0"),
        (ExtensionType.SUPPORTED_GROUPS, b"\0\3\0\x1d\0"),
        (ExtensionType.SIGNATURE_ALGORITHMS, b"\0\0"),
        (ExtensionType.SUPPORTED_VERSIONS, b"\0"),
        (ExtensionType.SUPPORTED_VERSIONS, b"\3\3\4\0"),
        (ExtensionType.PSK_KEY_EXCHANGE_MODES, b"\0"),
        (ExtensionType.APPLICATION_LAYER_PROTOCOL_NEGOTIATION, b"\0\0"),
        (ExtensionType.APPLICATION_LAYER_PROTOCOL_NEGOTIATION, b"\0\1\0"),
        (ExtensionType.COOKIE, b"\0\0"),
        (ExtensionType.KEY_SHARE, b"\0\4\0\x1d\0\0"),
        (ExtensionType.CERTIFICATE_AUTHORITIES, b"\0\0"),
        (ExtensionType.CERTIFICATE_AUTHORITIES, b"\0\2\0\0"),
        (ExtensionType.PADDING, b"\0\1"),
        (ExtensionType.RECORD_SIZE_LIMIT, b"\0\x3f"),
        (ExtensionType.STATUS_REQUEST, b""),
        (ExtensionType.STATUS_REQUEST, b"\1\0\0\0"),
    ],
    ids=lambda value: value.hex() if isinstance(value, bytes) else str(value),
)
def test_extension_that_holds_what_it_cannot_hold_is_refused(kind: ExtensionType, body: bytes) -> None:
    hello = client_hello(unknown_extensions=((int(kind), body),))
    assert refuses(ClientHello, hello.encode()), f"{kind} is read from {body.hex()}"


@pytest.mark.parametrize("body", [b"\2\0\0\0\0", b"\2", b"\xff any shape"], ids=repr)
def test_status_request_of_another_type_asks_for_nothing(body: bytes) -> None:
    """RFC 6066 8: the shape of what follows goes with the type, and ocsp is the only one that is known."""
    read = ClientHello.parse(client_hello(unknown_extensions=((int(ExtensionType.STATUS_REQUEST), body),)).encode())
    assert read.status_request is None


def test_supported_groups_of_a_server_hello_are_read_as_they_are() -> None:
    """Some servers of TLS 1.2 send them. They mean nothing there, whatever is in them."""
    for body in (b"", b"\0\2\0\x1d", b"\0\1"):
        hello = small(ServerHello, supported_groups=body)
        assert ServerHello.parse(hello.encode()).supported_groups == body


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body[:34] + b"\x21" + b"s" * 33 + body[35:],
        lambda body: body[:35] + b"\0\0" + body[39:],
        lambda body: body[:35] + b"\0\3\x13\1\0" + body[39:],
        lambda body: body[:39] + b"\0" + body[41:],
    ],
    ids=["session id of 33 bytes", "no cipher suites", "half a cipher suite", "no compression methods"],
)
def test_client_hello_with_a_vector_out_of_bounds_is_refused(change: Any) -> None:
    body = client_hello().encode()
    assert ClientHello.parse(body).cipher_suites == (CipherSuite.TLS_AES_128_GCM_SHA256,)
    assert refuses(ClientHello, change(body)), f"{change(body).hex()} is read as a ClientHello"


# -- The other messages -----------------------------------------------------------------------------------------------


def test_hello_retry_request_is_told_by_its_random() -> None:
    retry = HelloRetryRequest(session_id=b"", cipher_suite=CipherSuite.TLS_AES_128_GCM_SHA256, cookie=b"c")
    both = (ServerHello, HelloRetryRequest)
    assert awaited_class(HandshakeType.SERVER_HELLO, retry.encode(), both) is HelloRetryRequest
    assert awaited_class(HandshakeType.SERVER_HELLO, retry.encode(), (ServerHello,)) is None
    hello = ServerHello(random=b"r" * 32, session_id=b"", cipher_suite=CipherSuite.TLS_AES_128_GCM_SHA256)
    assert awaited_class(HandshakeType.SERVER_HELLO, hello.encode(), both) is ServerHello
    assert awaited_class(HandshakeType.SERVER_HELLO, hello.encode(), (HelloRetryRequest,)) is None


@pytest.mark.parametrize("kind", [HandshakeType.HELLO_REQUEST, HandshakeType.CLIENT_KEY_EXCHANGE, 99, 254])
def test_types_that_are_not_awaited_have_no_class(kind: int) -> None:
    assert awaited_class(kind, b"", (ServerHello, HelloRetryRequest)) is None


def test_message_header_holds_type_and_length() -> None:
    assert encode_message(KeyUpdate(update_requested=True)) == b"\x18\0\0\1\1"
    assert encode_message(EndOfEarlyData()) == b"\5\0\0\0"
    assert encode_message(CertificateMessage()) == b"\x0b\0\0\4\0\0\0\0"


@pytest.mark.parametrize("wanted", [2, 255])
def test_key_update_with_another_request_is_refused(wanted: int) -> None:
    assert reason_of(KeyUpdate, bytes([wanted])) is Misbehaviour.BAD_KEY_UPDATE


def test_certificate_status_of_another_type_is_refused() -> None:
    block = b"\0\5\0\5" + b"\2\0\0\1x"
    entry = b"\0\0\1c" + len(block).to_bytes(2, "big") + block
    assert reason_of(CertificateMessage, b"\0" + len(entry).to_bytes(3, "big") + entry) is Misbehaviour.MALFORMED


def test_certificate_of_no_bytes_is_refused() -> None:
    assert refuses(CertificateMessage, b"\0" + b"\0\0\5" + b"\0\0\0" + b"\0\0")


def test_new_session_ticket_of_no_bytes_is_refused() -> None:
    fields = {"lifetime": 1, "age_add": 1, "nonce": b""}
    assert refuses(NewSessionTicket, NewSessionTicket(**fields, ticket=b"").encode())  # type: ignore[arg-type]


def test_answer_with_two_protocols_is_refused() -> None:
    alpn = int(ExtensionType.APPLICATION_LAYER_PROTOCOL_NEGOTIATION)
    assert refuses(EncryptedExtensions, EncryptedExtensions(unknown_extensions=((alpn, b"\0\6\2h2\2h3"),)).encode())


@given(value=strategy_of(NewSessionTicket))
def test_age_add_of_a_ticket_is_not_printed(value: NewSessionTicket) -> None:
    assert "age_add" not in repr(value), "age_add hides the age of a ticket from who watches the wire"


# -- CA names ---------------------------------------------------------------------------------------------------------


@given(authorities=st.lists(names(), min_size=1, max_size=6).map(tuple))
@example(authorities=(DistinguishedName(b"\x30\0"),))
def test_ca_names_survive_in_order_with_their_exact_bytes(authorities: tuple[DistinguishedName, ...]) -> None:
    for message in (
        CertificateRequest(certificate_authorities=authorities),
        client_hello(certificate_authorities=authorities),
    ):
        read = type(message).parse(message.encode()).certificate_authorities
        assert read is not None
        assert [name.der for name in read] == [name.der for name in authorities]
        assert all(name.der in message.encode() for name in authorities), "the outer SEQUENCE is part of a name"


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b"\x30",
        b"\x31\0",
        b"\x30\1",
        b"\x30\0\0",
        b"\x30\x80\0\0",
        b"\x30\x81\0",
        b"\x30\2\x31\0",
        b"\x30\4\x31\2\x30\0",
        bytes.fromhex("300c310a300806035504030c0141") + b"\0",
        bytes.fromhex("300b3109300706035504030c0141"),
    ],
    ids=[
        "empty",
        "tag only",
        "no SEQUENCE",
        "cut",
        "trailing byte",
        "indefinite length",
        "long length",
        "empty part",
        "empty attribute",
        "name and a byte",
        "lengths that do not fit",
    ],
)
def test_ca_name_that_is_no_der_is_a_decode_error(name: bytes) -> None:
    body = (len(name) + 2).to_bytes(2, "big") + len(name).to_bytes(2, "big") + name
    request = CertificateRequest(unknown_extensions=((int(ExtensionType.CERTIFICATE_AUTHORITIES), body),))
    with pytest.raises(DecodeError):
        CertificateRequest.parse(request.encode())


# -- Registries -------------------------------------------------------------------------------------------------------


def test_signature_scheme_that_nobody_knows_survives_and_prints_as_hex() -> None:
    verify = CertificateVerify(scheme=SignatureScheme(0xFE12), signature=b"s")
    read = CertificateVerify.parse(verify.encode())
    assert read.scheme == 0xFE12
    assert not read.scheme.is_known
    assert str(read.scheme) == "0xfe12"


def test_messages_compare_and_print_by_their_fields() -> None:
    one = NewSessionTicket(lifetime=1, age_add=0xC0FFEE, nonce=b"n", ticket=b"t")
    assert one == NewSessionTicket(lifetime=1, age_add=0xC0FFEE, nonce=b"n", ticket=b"t")
    assert one != NewSessionTicket(lifetime=1, age_add=0xC0FFEE, nonce=b"n", ticket=b"other")
    assert HelloRequest() == HelloRequest()
    others: list[object] = [EndOfEarlyData(), ServerHelloDone()]
    assert Finished(verify_data=b"") not in others
    assert HelloRequest() not in others
    assert repr(Finished(verify_data=b"x")) == "Finished(verify_data=b'x')"
    assert str(0xC0FFEE) not in repr(one), "what masks a ticket's age is nobody's business"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_lists_of_authorities_that_were_read_lately_are_the_same_object() -> None:
    name = DistinguishedName(bytes.fromhex("300c310a300806035504030c0161"))
    body = encode_authorities((name,))
    read = CERTIFICATE_AUTHORITIES.decode(body)
    assert CERTIFICATE_AUTHORITIES.decode(bytes(bytearray(body))) is read
    for number in range(8):
        CERTIFICATE_AUTHORITIES.decode(encode_authorities((name,) * (number + 2)))
    assert CERTIFICATE_AUTHORITIES.decode(body) == read
    assert CERTIFICATE_AUTHORITIES.decode(body) is not read, "eight are kept, and no more"


def test_message_that_a_server_says_to_everybody_is_read_once() -> None:
    """And nothing else is kept: not what belongs to one connection, and not what is long."""
    small = CertificateMessage(entries=(CertificateEntry(certificate=b"der"),)).encode()
    assert parse_message(CertificateMessage, small) is parse_message(CertificateMessage, small)
    long = CertificateMessage(entries=(CertificateEntry(certificate=bytes(5000)),)).encode()
    assert parse_message(CertificateMessage, long) is not parse_message(CertificateMessage, long), "nobody fills memory"
    finished = b"verify data".ljust(32)
    assert parse_message(Finished, finished) is not parse_message(Finished, finished)


def test_message_read_once_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(DecodeError):
            parse_message(CertificateMessage, b"\x00\x00\x00\x05abc")
