"""`trustls check`: would this server accept this client, and if not, why; and what is wrong with its bundle of CAs.

It needs no network: both sides are set up as they would be, and meet in memory.
"""

from __future__ import annotations

import contextlib
import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import click

import trustls
from trustls.cli import options
from trustls.cli.check_report import Bundle, ClientSide, Report, ServerSide, as_json, show
from trustls.cli.exits import OK, TLS_FAILED
from trustls.cli.judgement import VERSIONS, AbsentKey, ClientJudge, Held, ServerJudge
from trustls.errors import ConfigError
from trustls.identity import loading
from trustls.identity.chain import arranged
from trustls.trust.certificate import Certificate
from trustls.trust.crl import CrlStore
from trustls.trust.hints import authorities
from trustls.trust.lint import lint_bundle
from trustls.trust.profile import Profile, Purpose
from trustls.trust.revocation import Revocation

_Opened = TypeVar("_Opened")
_Policy = Literal["refuse", "allow"]
_Depth = Literal["chain", "end-entity"]
_SYSTEM = "system"
_DAY = 86400
_DER = b"\x30"  # The tag of a SEQUENCE, which is a whole file; as text it is "0".


def _server_roots(_context: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    for value in values:
        if value != _SYSTEM and not Path(value).is_file():
            raise click.BadParameter(f"{value!r} is neither a file nor {_SYSTEM!r}")
    if _SYSTEM in values and len(values) > 1:
        raise click.BadParameter(f"{_SYSTEM!r} goes with no other")
    return tuple(values)


@click.command()
@click.option(
    "--client-ca",
    "client_cas",
    type=options.pem_file,
    multiple=True,
    help="The server lets in clients under these roots. Repeatable.",
)
@click.option("--optional-client-auth", is_flag=True, help="The server lets clients in that have no certificate.")
@click.option(
    "--hint",
    "hints",
    metavar="NAME|FILE",
    multiple=True,
    help="The server names this CA to clients instead of the roots. Repeatable.",
)
@click.option("--no-hints", is_flag=True, help="The server names no CAs to clients.")
@click.option("--crl", "crls", type=options.pem_file, multiple=True, help="The server has this CRL. Repeatable.")
@click.option("--crl-depth", type=click.Choice(["chain", "end-entity"]), help="What is looked up.  [default: chain]")
@click.option(
    "--crl-unknown", type=click.Choice(["refuse", "allow"]), help="What no CRL covers is this.  [default: refuse]"
)
@click.option(
    "--crl-expired", type=click.Choice(["refuse", "allow"]), help="What an old CRL covers is this.  [default: refuse]"
)
@click.option(
    "--profile",
    type=click.Choice([profile.value for profile in Profile]),
    default=Profile.PRIVATE.value,
    show_default=True,
    help="The server's rules for the form of certificates.",
)
@click.option("--server-cert", type=options.pem_file, help="The server's chain.")
@click.option("--server-key", type=options.pem_file, help="Its key, if not in the --server-cert; may be missing.")
@click.option("--server-ocsp", type=options.pem_file, help="The OCSP response that it staples, in DER.")
@click.option("--cert", "certs", type=options.pem_file, multiple=True, help="A client chain. Repeatable.")
@click.option(
    "--key",
    "keys",
    type=options.pem_file,
    multiple=True,
    help="Its key, if not in the --cert; may be missing. Repeatable.",
)
@click.option(
    "--p12", "p12s", type=options.pem_file, multiple=True, help="A client chain and key in PKCS#12. Repeatable."
)
@options.password_option
@click.option(
    "--server-roots",
    multiple=True,
    metavar="FILE|system",
    callback=_server_roots,
    help="The client trusts servers under these roots. Repeatable.",
)
@click.option("--server-name", metavar="NAME", help="The client knows the server by this name.")
@options.version_option
@click.option(
    "--warn-days", type=click.IntRange(0), default=14, show_default=True, help="Warn of an end so many days before."
)
@click.option("--json", "in_json", is_flag=True, help="Print a JSON object instead, for programs.")
def check(
    client_cas: tuple[Path, ...],
    optional_client_auth: bool,
    hints: tuple[str, ...],
    no_hints: bool,
    crls: tuple[Path, ...],
    crl_depth: _Depth | None,
    crl_unknown: _Policy | None,
    crl_expired: _Policy | None,
    profile: str,
    server_cert: Path | None,
    server_key: Path | None,
    server_ocsp: Path | None,
    certs: tuple[Path, ...],
    keys: tuple[Path, ...],
    p12s: tuple[Path, ...],
    password: bytes | None,
    server_roots: tuple[str, ...],
    server_name: str | None,
    versions: tuple[str, ...],
    warn_days: int,
    in_json: bool,
) -> int:
    """Say whether a server would accept a client, and why not; and what is wrong with a bundle of client CAs.

    \b
    Examples:
      trustls check --client-ca clients.pem
      trustls check --client-ca clients.pem --cert alice.pem --key alice-key.pem
      trustls check --client-ca clients.pem --crl clients.crl --p12 alice.p12 --password-file password --tls 1.2
      trustls check --server-cert s.pem --server-key s-key.pem --server-roots ca.pem --server-name localhost

    No network is needed: both sides are set up as they would be, and meet in memory. With --client-ca alone the bundle
    is looked through. With client certificates the server judges the client; with --server-cert and --server-roots the
    client judges the server. Without a private key the certificate is judged, and the key is not.

    The exit code is 0 when everybody is accepted in every version, and 1 when somebody is refused; for a bundle alone
    it is 1 when there is an error in it.
    """
    _check_usage(
        {
            "--optional-client-auth": optional_client_auth,
            "--hint": hints,
            "--no-hints": no_hints,
            "--crl": crls,
            "--cert": certs,
            "--p12": p12s,
        },
        needs=("--client-ca", client_cas),
    )
    _check_usage(
        {"--crl-depth": crl_depth, "--crl-unknown": crl_unknown, "--crl-expired": crl_expired}, needs=("--crl", crls)
    )
    _check_usage({"--key": keys}, needs=("--cert", certs))
    _check_usage({"--server-key": server_key, "--server-ocsp": server_ocsp}, needs=("--server-cert", server_cert))
    _check_usage({"--server-roots": server_roots}, needs=("--server-name", server_name))
    _check_usage({"--server-roots": server_roots}, needs=("--server-cert", server_cert))
    _check_usage({"--server-name": server_name}, needs=("--server-roots", server_roots))
    _check_usage(
        {"--password-file": password is not None},
        needs=("--cert, --p12 or --server-cert", certs or p12s or server_cert),
    )
    _check_usage(
        {"--server-cert": server_cert}, needs=("--server-roots, --cert or --p12", server_roots or certs or p12s)
    )
    if hints and no_hints:
        raise click.UsageError("--hint and --no-hints exclude each other.")
    if not client_cas and not server_roots:
        raise click.UsageError("There is nothing to check: give --client-ca, or --server-cert with --server-roots.")
    if keys and len(keys) != len(certs):
        raise click.UsageError(f"--cert and --key come in pairs, and there are {len(certs)} and {len(keys)} of them.")

    now = time.time()
    tried = tuple(version for version in VERSIONS if not versions or version in versions)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client_ca = None
        if client_cas:
            client_ca = _bundle(client_cas, Purpose.CLIENT_AUTH, Profile.named(profile), now, warn_days)
        held = _told_apart([*_from_pem(certs, keys, password, now), *(_from_pkcs12(file, password) for file in p12s)])
        server = None
        if server_cert is not None:
            (server,) = _from_pem([server_cert], [server_key] if server_key else [], password, now, server_ocsp)
        revocation = None
        if crls:
            revocation = _revocation(crls, crl_depth or "chain", crl_unknown or "refuse", crl_expired or "refuse")
        client_auth = None
        if client_ca is not None:
            ask = trustls.ClientAuth.optional if optional_client_auth else trustls.ClientAuth.required
            # A hint that is wrong is the command line's fault; that there are no roots is what is to be found out.
            names = () if no_hints else authorities([options.hint(hint) for hint in hints]) or None
            client_auth, client_ca = _or_problem(
                client_ca, lambda roots: ask(roots, hints=names, crls=revocation, profile=profile)
            )
        report = Report(
            now=now,
            client_ca=client_ca,
            client_auth=client_auth,
            revocation=revocation,
            client=_client_side(held, client_auth, server, tried, now) if held else None,
            server=_server_side(server, server_roots, server_name, tried, now, warn_days)
            if server is not None and server_roots and server_name is not None
            else None,
            warnings=(
                *_warnings([*held, *([server] if server else [])], now, warn_days),
                *_crl_warnings(revocation),
            ),
        )
    if hints:  # The names of the roots themselves are lint's affair.
        report = replace(report, warnings=(*_said(caught), *report.warnings))
    if in_json:
        click.echo(json.dumps(as_json(report), indent=2))
    else:
        show(report)
    return OK if report.good else TLS_FAILED


def _check_usage(given: dict[str, object], *, needs: tuple[str, object]) -> None:
    name, needed = needs
    for option, value in given.items():
        if value and not needed:
            raise click.UsageError(f"{option} needs {name}.")


# -- What the options name --------------------------------------------------------------------------------------------


def _bundle(files: Sequence[Path], purpose: Purpose, profile: Profile, now: float, warn_days: int) -> Bundle:
    """The CAs in these files, and what is wrong with them."""
    system: tuple[Certificate, ...] = ()
    with contextlib.suppress(ConfigError):  # Not every system keeps its roots in files.
        system = tuple(trustls.RootCertStore.system())
    findings = lint_bundle(*files, now=now, purpose=purpose, profile=profile, warn_days=warn_days, system=system)
    roots = trustls.RootCertStore()
    for file in files:
        with contextlib.suppress(ConfigError):  # The findings say why there is none in it.
            roots.add_pem(file)
    return Bundle(tuple(map(str, files)), roots, findings)


def _or_problem(bundle: Bundle, make: Callable[[trustls.RootCertStore], _Opened]) -> tuple[_Opened | None, Bundle]:
    """What can be made of the roots, or why nothing can."""
    try:
        return make(bundle.roots), bundle
    except ConfigError as error:
        problem = (
            str(error)
            if len(bundle.roots)
            else "there is no CA here that can be trusted: nobody could ever be accepted"
        )
        return None, Bundle(bundle.files, bundle.roots, bundle.findings, problem)


def _from_pem(
    certs: Sequence[Path], keys: Sequence[Path], password: bytes | None, now: float, ocsp_response: Path | None = None
) -> Iterator[Held]:
    for index, file in enumerate(certs):
        content = file.read_bytes()
        certificates = loading.der_chain(file) if content[:1] == _DER else loading.pem_chain(file)
        key_file = keys[index] if keys else file if b"PRIVATE KEY-----" in content else None
        if key_file is None:
            yield _without_key(file, certificates, now, ocsp_response)
            continue
        _, key = options.opened(password, partial(loading.pem_key, key_file))
        yield _held(file, certificates, partial(trustls.Credential, certificates, key, ocsp_response=ocsp_response))


def _from_pkcs12(file: Path, password: bytes | None) -> Held:
    def opened(secret: bytes | None) -> Held:
        certificates, _ = loading.pkcs12(file, secret)
        return _held(file, certificates, lambda: trustls.Credential.from_pkcs12(file, password=secret))

    return options.opened(password, opened)[1]


def _held(file: Path, certificates: tuple[Certificate, ...], make: Callable[[], trustls.Credential]) -> Held:
    try:
        credential = make()
    except ConfigError as error:
        return Held(file.stem, str(file), certificates, has_key=True, unusable=str(error))
    return Held(file.stem, str(file), credential.sent_chain, credential, has_key=True)


def _without_key(file: Path, certificates: tuple[Certificate, ...], now: float, ocsp_response: Path | None) -> Held:
    try:
        leaf = arranged(certificates, None, now=now).chain[0]
        credential = trustls.Credential(certificates, AbsentKey(leaf), ocsp_response=ocsp_response)
    except ConfigError as error:
        return Held(file.stem, str(file), certificates, unusable=str(error))
    return Held(file.stem, str(file), credential.sent_chain, credential)


def _told_apart(held: Sequence[Held]) -> list[Held]:
    """The same, with whole paths for names where the file names alone would be the same."""
    names = [one.name for one in held]
    return [
        one
        if names.count(one.name) == 1
        else Held(one.source, one.source, one.chain, one.credential, one.has_key, one.unusable)
        for one in held
    ]


def _revocation(files: Sequence[Path], depth: _Depth, unknown: _Policy, expired: _Policy) -> Revocation:
    store = CrlStore()
    for file in files:
        store.add_pem(file)
    return Revocation(crls=store, depth=depth, unknown=unknown, expired=expired)


# -- The two judgements -----------------------------------------------------------------------------------------------


def _client_side(
    held: Sequence[Held],
    client_auth: trustls.ClientAuth | None,
    server: Held | None,
    versions: Sequence[str],
    now: float,
) -> ClientSide:
    if client_auth is None:
        return ClientSide(tuple(held), (), None)
    own = server.credential if server is not None and server.has_key else None
    judge = ClientJudge(client_auth, now, own)
    return ClientSide(tuple(held), tuple(judge.outcome(held, version) for version in versions), judge)


def _server_side(
    server: Held, files: Sequence[str], name: str, versions: Sequence[str], now: float, warn_days: int
) -> ServerSide:
    server_name = trustls.ServerName(name)
    if files == (_SYSTEM,):
        bundle = Bundle((_SYSTEM,), trustls.RootCertStore.system(), ())
    else:
        bundle = _bundle([Path(file) for file in files], Purpose.SERVER_AUTH, Profile.PRIVATE, now, warn_days)
    judge, bundle = _or_problem(bundle, lambda roots: ServerJudge(roots, server_name, now))
    outcomes = () if judge is None else tuple(judge.outcome(server, version) for version in versions)
    return ServerSide(server, str(server_name), bundle, outcomes)


def _warnings(held: Sequence[Held], now: float, warn_days: int) -> Iterator[str]:
    """What will soon end, and what was mended in a chain."""
    for one in held:
        for certificate in one.chain:
            left = certificate.not_after - now
            if 0 <= left < warn_days * _DAY:
                days = int(left // _DAY)
                yield (
                    f"{one.name}: {certificate.title} ends {certificate.not_after_utc:%Y-%m-%d %H:%M:%S} UTC, in "
                    f"{days} day{'' if days == 1 else 's'}"
                )
        if one.credential is not None:
            yield from (f"{one.name}: {sentence}" for sentence in one.credential.report)


def _crl_warnings(revocation: Revocation | None) -> Iterator[str]:
    if revocation is not None:
        report = revocation.store.report
        yield from (f"a CRL is left out: {one}" for one in report.left_out)
        yield from report.warnings


def _said(caught: Sequence[warnings.WarningMessage]) -> Iterator[str]:
    """What the library warned of while both sides were set up; credentials keep what they warn of in their report."""
    yield from dict.fromkeys(str(one.message) for one in caught if one.category is UserWarning)
