"""`trustls pki`: certificates for development, in a folder of `NAME.pem` and `NAME-key.pem`."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

import click
from cryptography import x509

from trustls.cli.pki import Authority, Issued, KeyType, Validity, general_name
from trustls.cli.render import console, pki_files
from trustls.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])

_folder = click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))


class _Common(TypedDict):
    key_type: str
    days: float | None
    force: bool


class _Subject(TypedDict):
    country: str | None
    state: str | None
    locality: str | None
    organization: str | None


def _common_options(command: Command) -> Command:
    for option in (
        click.option("--force", is_flag=True, help="Replace files that exist already."),
        click.option("--days", type=float, help="Days that it is valid; never longer than its issuer by itself."),
        click.option(
            "--key-type",
            type=click.Choice([key_type.value for key_type in KeyType]),
            default=KeyType.EC_P256.value,
            show_default=True,
            help="The kind of key to make.",
        ),
    ):
        command = option(command)
    return command


def _subject_options(command: Command) -> Command:
    for option in (
        click.option("--organization", "-O", metavar="NAME", help="Organization (O) in its name."),
        click.option("--locality", "-L", metavar="NAME", help="City (L) in its name."),
        click.option("--state", "-S", metavar="NAME", help="State or province (ST) in its name."),
        click.option("--country", "-C", metavar="CC", help="Two-letter country (C) in its name."),
    ):
        command = option(command)
    return command


def _constraint_options(command: Command) -> Command:
    for option in (
        click.option("--exclude", metavar="NAME", multiple=True, help="Never for this name: as --permit. Repeatable."),
        click.option(
            "--permit",
            metavar="NAME",
            multiple=True,
            help="Only for this name: DNS:example.com, IP:10.0.0.0/8, email:example.com. Repeatable.",
        ),
    ):
        command = option(command)
    return command


_issuer = click.option(
    "--issuer", metavar="FILE", default="ca", show_default=True, help="The CA in DIR that signs it, by file name."
)


def _file_option(default: str) -> Callable[[Command], Command]:
    return click.option("--file", "stem", metavar="FILE", help=f"Its file name, without .pem.  [default: {default}]")


@click.group()
def pki() -> None:
    """Make a CA and certificates for development.

    Certificates go to DIR/FILE.pem (with their intermediates), keys to DIR/FILE-key.pem (mode 0600, not encrypted).

    \b
    Examples:
      trustls pki ca pki --name "My Development CA"
      trustls pki server pki localhost 127.0.0.1 ::1
      trustls pki client pki alice --email alice@example.com

    \b
      trustls pki intermediate pki --name "My Issuing CA"
      trustls pki client pki bob --issuer my-issuing-ca
    """


@pki.command()
@_folder
@click.option("--name", required=True, help="Its common name (CN).")
@_subject_options
@_constraint_options
@click.option("--path-length", type=click.IntRange(0), help="How many CAs may stand below it.  [default: any number]")
@_file_option("ca")
@_common_options
def ca(
    folder: Path,
    name: str,
    permit: tuple[str, ...],
    exclude: tuple[str, ...],
    path_length: int | None,
    stem: str | None,
    country: str | None,
    state: str | None,
    locality: str | None,
    organization: str | None,
    **common: Unpack[_Common],
) -> None:
    """Make a root CA.

    \b
    Examples:
      trustls pki ca pki --name "My Development CA"
      trustls pki ca pki --name "Club CA" -C US -S California -O "The Club" --file club --key-type ed25519
    """
    subject = _Subject(country=country, state=state, locality=locality, organization=organization)
    authority = Authority.create(
        name,
        **subject,
        key_type=common["key_type"],
        path_length=path_length,
        name_constraints=_constraints(permit, exclude),
        validity=_validity(common),
    )
    _write(authority, folder, stem or "ca", common)


@pki.command()
@_folder
@click.option("--name", required=True, help="Its common name (CN).")
@_subject_options
@_constraint_options
@click.option(
    "--path-length", type=click.IntRange(0), default=0, show_default=True, help="How many CAs may stand below it."
)
@_issuer
@_file_option("its name in lower case")
@_common_options
def intermediate(
    folder: Path,
    name: str,
    permit: tuple[str, ...],
    exclude: tuple[str, ...],
    path_length: int,
    issuer: str,
    stem: str | None,
    country: str | None,
    state: str | None,
    locality: str | None,
    organization: str | None,
    **common: Unpack[_Common],
) -> None:
    """Make a CA under another CA.

    \b
    Example:
      trustls pki intermediate pki --name "My Issuing CA" --file issuing
    """
    authority = Authority.load(folder, issuer)
    allowed = authority.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    if allowed is not None and allowed <= path_length:
        below = "no CA" if allowed == 0 else f"at most {allowed} CA{'s' if allowed > 1 else ''}"
        raise ConfigError(f"{issuer}.pem allows {below} below it (its path length is {allowed})")
    subject = _Subject(country=country, state=state, locality=locality, organization=organization)
    made = authority.intermediate(
        name,
        **subject,
        key_type=common["key_type"],
        path_length=path_length,
        name_constraints=_constraints(permit, exclude),
        validity=_validity(common),
    )
    _write(made, folder, stem or _stem(name), common)


@pki.command()
@_folder
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@_issuer
@_file_option("the first NAME")
@_common_options
def server(folder: Path, names: tuple[str, ...], issuer: str, stem: str | None, **common: Unpack[_Common]) -> None:
    """Make a server certificate for DNS names and IP addresses.

    \b
    Examples:
      trustls pki server pki localhost 127.0.0.1 ::1
      trustls pki server pki example.test '*.example.test' --issuer issuing
    """
    made = Authority.load(folder, issuer).issue_server(*names, key_type=common["key_type"], validity=_validity(common))
    _write(made, folder, stem or _stem(names[0]), common)


@pki.command()
@_folder
@click.argument("name", metavar="NAME")
@_subject_options
@click.option("--email", metavar="ADDRESS", multiple=True, help="An e-mail address of the client. Repeatable.")
@click.option("--uri", metavar="URI", multiple=True, help="A URI of the client, a SPIFFE ID say. Repeatable.")
@click.option("--dns", metavar="NAME", multiple=True, help="A DNS name of the client. Repeatable.")
@_issuer
@_file_option("NAME in lower case")
@_common_options
def client(
    folder: Path,
    name: str,
    email: tuple[str, ...],
    uri: tuple[str, ...],
    dns: tuple[str, ...],
    issuer: str,
    stem: str | None,
    country: str | None,
    state: str | None,
    locality: str | None,
    organization: str | None,
    **common: Unpack[_Common],
) -> None:
    """Make a client certificate.

    \b
    Examples:
      trustls pki client pki alice --email alice@example.com
      trustls pki client pki payments --uri spiffe://example.test/payments --issuer issuing
    """
    subject = _Subject(country=country, state=state, locality=locality, organization=organization)
    made = Authority.load(folder, issuer).issue_client(
        name,
        **subject,
        emails=email,
        uris=uri,
        dns_names=dns,
        key_type=common["key_type"],
        validity=_validity(common),
    )
    _write(made, folder, stem or _stem(name), common)


def _constraints(permit: tuple[str, ...], exclude: tuple[str, ...]) -> x509.NameConstraints | None:
    if not permit and not exclude:
        return None
    return x509.NameConstraints(
        permitted_subtrees=[general_name(name) for name in permit] or None,
        excluded_subtrees=[general_name(name) for name in exclude] or None,
    )


def _validity(common: _Common) -> Validity:
    days = common["days"]
    if days is None:
        return Validity()
    # RFC 5280 4.1.2.5 has no year beyond 9999.
    if not 0 < days <= 365 * 1000:
        raise ConfigError(f"--days {days:g}: a number of days above 0, and a thousand years at most")
    return Validity(lifetime=datetime.timedelta(days=days))


def _stem(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.replace("*", "wildcard").lower()).strip("-.") or "certificate"


def _write(made: Issued, folder: Path, stem: str, common: _Common) -> None:
    try:
        chain, key = made.write(folder, stem, overwrite=common["force"])
    except ConfigError as error:
        if "exists already" in str(error):
            raise ConfigError(f"{error}: choose another name with --file, or replace it with --force") from error
        raise
    console.print(pki_files(made, chain, key))
