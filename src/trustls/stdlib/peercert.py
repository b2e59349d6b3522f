"""A certificate as the dict of `ssl.SSLSocket.getpeercert()`."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable
from typing import Any, Final

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from trustls.trust.certificate import Certificate

# OpenSSL's long names of attributes, by the arc that they stand below; others appear as dotted numbers.
_ARCS: Final = {
    # X.520
    "2.5.4": (
        "3=commonName 4=surname 5=serialNumber 6=countryName 7=localityName 8=stateOrProvinceName "
        "9=streetAddress 10=organizationName 11=organizationalUnitName 12=title 13=description 14=searchGuide "
        "15=businessCategory 16=postalAddress 17=postalCode 18=postOfficeBox 19=physicalDeliveryOfficeName "
        "20=telephoneNumber 21=telexNumber 22=teletexTerminalIdentifier 23=facsimileTelephoneNumber "
        "24=x121Address 25=internationaliSDNNumber 26=registeredAddress 27=destinationIndicator "
        "28=preferredDeliveryMethod 29=presentationAddress 30=supportedApplicationContext 31=member 32=owner "
        "33=roleOccupant 34=seeAlso 35=userPassword 36=userCertificate 37=cACertificate "
        "38=authorityRevocationList 39=certificateRevocationList 40=crossCertificatePair 41=name 42=givenName "
        "43=initials 44=generationQualifier 45=x500UniqueIdentifier 46=dnQualifier 47=enhancedSearchGuide "
        "48=protocolInformation 49=distinguishedName 50=uniqueMember 51=houseIdentifier "
        "52=supportedAlgorithms 53=deltaRevocationList 54=dmdName 65=pseudonym 72=role "
        "97=organizationIdentifier 98=countryCode3c 99=countryCode3n 100=dnsName"
    ),
    # RFC 4524
    "0.9.2342.19200300.100.1": (
        "1=userId 2=textEncodedORAddress 3=rfc822Mailbox 4=info 5=favouriteDrink 6=roomNumber 7=photo "
        "8=userClass 9=host 10=manager 11=documentIdentifier 12=documentTitle 13=documentVersion "
        "14=documentAuthor 15=documentLocation 20=homeTelephoneNumber 21=secretary 22=otherMailbox "
        "23=lastModifiedTime 24=lastModifiedBy 25=domainComponent 26=aRecord 27=pilotAttributeType27 "
        "28=mXRecord 29=nSRecord 30=sOARecord 31=cNAMERecord 37=associatedDomain 38=associatedName "
        "39=homePostalAddress 40=personalTitle 41=mobileTelephoneNumber 42=pagerTelephoneNumber "
        "43=friendlyCountryName 44=uniqueIdentifier 45=organizationalStatus 46=janetMailbox "
        "47=mailPreferenceOption 48=buildingName 49=dSAQuality 50=singleLevelQuality 51=subtreeMinimumQuality "
        "52=subtreeMaximumQuality 53=personalSignature 54=dITRedirect 55=audio 56=documentPublisher"
    ),
    # Extended Validation
    "1.3.6.1.4.1.311.60.2.1": (
        "1=jurisdictionLocalityName 2=jurisdictionStateOrProvinceName 3=jurisdictionCountryName"
    ),
    # PKCS #9
    "1.2.840.113549.1.9": (
        "1=emailAddress 2=unstructuredName 7=challengePassword 8=unstructuredAddress 20=friendlyName"
    ),
}
_ATTRIBUTES: Final = {
    f"{arc}.{number}": name
    for arc, names in _ARCS.items()
    for number, _, name in [entry.partition("=") for entry in names.split()]
}
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_Name = tuple[tuple[tuple[str, str], ...], ...]


def peercert(certificate: Certificate) -> dict[str, Any]:
    """The dict of `getpeercert()`: subject, issuer, version, serialNumber, dates, names and addresses.

    What an extension says is left out where it cannot be read.
    """
    parsed = certificate.x509
    found: dict[str, Any] = {
        "subject": _name(parsed.subject),
        "issuer": _name(parsed.issuer),
        "version": parsed.version.value + 1,
        "serialNumber": _hex(parsed.serial_number),
        "notBefore": _time(parsed.not_valid_before_utc),
        "notAfter": _time(parsed.not_valid_after_utc),
    }
    try:
        extensions = parsed.extensions
    except ValueError:
        return found
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            found["subjectAltName"] = tuple(map(_general_name, value))
        elif isinstance(value, x509.AuthorityInformationAccess):
            found.update(_access(value))
        elif isinstance(value, x509.CRLDistributionPoints):
            points = [uri for point in value for uri in _uris(point.full_name or ())]
            if points:
                found["crlDistributionPoints"] = tuple(points)
    return found


def _name(name: x509.Name) -> _Name:
    return tuple(
        [
            tuple(
                [(_ATTRIBUTES.get(part.oid.dotted_string, part.oid.dotted_string), _text(part.value)) for part in rdn]
            )
            for rdn in name.rdns
        ]
    )


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.hex()


def _hex(number: int) -> str:
    """As OpenSSL prints an integer: whole bytes, upper case."""
    digits = f"{abs(number):X}"
    return ("-" if number < 0 else "") + digits.rjust(len(digits) + len(digits) % 2, "0")


def _time(moment: datetime.datetime) -> str:
    """As ASN1_TIME_print writes it, in English whatever the locale is: what `ssl.cert_time_to_seconds` reads."""
    return f"{_MONTHS[moment.month - 1]} {moment.day:2d} {moment:%H:%M:%S} {moment.year} GMT"


def _general_name(name: x509.GeneralName) -> tuple[str, Any]:
    match name:
        case x509.DNSName():
            return "DNS", name.value
        case x509.RFC822Name():
            return "email", name.value
        case x509.UniformResourceIdentifier():
            return "URI", name.value
        case x509.IPAddress():
            return "IP Address", _address(name.value)
        case x509.DirectoryName():
            return "DirName", _name(name.value)
        case x509.RegisteredID():
            return "Registered ID", name.value.dotted_string
        case _:
            return "othername", "<unsupported>"


def _address(value: Any) -> str:
    """IPv6 as OpenSSL prints it: eight groups, nothing left out."""
    if isinstance(value, ipaddress.IPv6Address):
        packed = value.packed
        return ":".join(f"{packed[at] << 8 | packed[at + 1]:X}" for at in range(0, 16, 2))
    return str(value)


def _access(value: x509.AuthorityInformationAccess) -> dict[str, tuple[str, ...]]:
    kinds = (("OCSP", AuthorityInformationAccessOID.OCSP), ("caIssuers", AuthorityInformationAccessOID.CA_ISSUERS))
    found = {}
    for key, method in kinds:
        locations = _uris([access.access_location for access in value if access.access_method == method])
        if locations:
            found[key] = tuple(locations)
    return found


def _uris(names: Iterable[x509.GeneralName]) -> list[str]:
    return [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
