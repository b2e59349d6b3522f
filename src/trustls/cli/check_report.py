"""What `trustls check` found out, as text for people and as JSON for programs."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

import trustls
from trustls.cli.judgement import ClientJudge, Held, Opinion, Outcome, remedies
from trustls.cli.render import authority_list, console, heading, indented, shown_lines
from trustls.errors import AlertReceived, CertificateRejected, PeerIncompatible, TLSError
from trustls.trust.certificate import Certificate
from trustls.trust.hints import encoded_size
from trustls.trust.lint import Finding, Severity
from trustls.trust.revocation import Revocation
from trustls.wire.names import brief

FORMAT = 1
"""The form of the JSON. It becomes 2 when a field changes its meaning or goes; new fields may come at any time."""

_DAY = 86400
_MAX_ALIKE = 3
_MAX_FAILURES = 4
_MAX_NAMES = 20
"""A system's bundle has more than a hundred, and what is wrong with it stands below them; the JSON has all."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The CAs that one side trusts.

    Attributes:
        files: where they are.
        roots: those that can be trusted; none when no file holds any.
        findings: what is wrong with the files.
        problem: why no server, or client, can be set up with them.
    """

    files: tuple[str, ...]
    roots: trustls.RootCertStore
    findings: tuple[Finding, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ClientSide:
    """The server's judgement of the client.

    Attributes:
        held: the client's certificates.
        outcomes: one for each version; none when no server could be set up.
        judge: the server; None when it could not be set up.
    """

    held: tuple[Held, ...]
    outcomes: tuple[Outcome, ...]
    judge: ClientJudge | None


@dataclass(frozen=True, slots=True)
class ServerSide:
    """The client's judgement of the server.

    Attributes:
        held: the server's certificate.
        name: the name that the client knows it by.
        bundle: what the client trusts.
        outcomes: one for each version; none when no client could be set up.
    """

    held: Held
    name: str
    bundle: Bundle
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found out.

    Attributes:
        now: the time of the judgement, in seconds since 1970.
        client_ca: the CAs that the server trusts for clients.
        client_auth: what the server asks of its clients; None when it could not be set up, or was not asked about.
        revocation: the server's CRLs.
        client: the server's judgement of the client, if one was asked for.
        server: the client's judgement of the server, if one was asked for.
        warnings: what will soon go wrong, or is hardly meant, in sentences.
    """

    now: float
    client_ca: Bundle | None
    client_auth: trustls.ClientAuth | None
    revocation: Revocation | None
    client: ClientSide | None
    server: ServerSide | None
    warnings: tuple[str, ...]

    @property
    def accepted(self) -> bool | None:
        """Whether every side that was judged was accepted, in every version; None when only a bundle was looked at."""
        sides = [side for side in (self.client, self.server) if side is not None]
        if not sides:
            return None
        return all(side.outcomes and all(outcome.accepted for outcome in side.outcomes) for side in sides)

    @property
    def good(self) -> bool:
        """Whether the command ends with success: accepted, or, with only a bundle to look at, no error in it."""
        if self.accepted is not None:
            return self.accepted
        bundle = self.client_ca
        return bundle is not None and not bundle.problem and not any(one.severity is _ERROR for one in bundle.findings)

    def verdict(self) -> str:
        """All of it in one sentence."""
        said = []
        if self.client is not None:
            problem = "" if self.client_ca is None else self.client_ca.problem
            said.append(_verdict("this client", "this server", self.client.outcomes, problem))
        if self.server is not None:
            said.append(_verdict("this server", "this client", self.server.outcomes, self.server.bundle.problem))
        if said:
            return "; ".join(said)
        findings = () if self.client_ca is None else self.client_ca.findings
        return f"the bundle has {_counted(findings)}" if findings else "nothing is wrong with the bundle"


# -- JSON -------------------------------------------------------------------------------------------------------------


def as_json(report: Report) -> dict[str, Any]:
    """The whole report as what `json.dumps` takes. What was not asked about is null; times are RFC 3339 in UTC.

    - format: `FORMAT`; accepted: true, false, or null when only a bundle was looked at; verdict: a sentence;
      checked_at: a time; warnings: sentences.
    - client_ca: files; roots, how many; mode, "required" or "optional"; names, those sent to clients (RFC 4514);
      names_bytes; crls, each with issuer, this_update, next_update and entries; problem, a sentence; findings, each
      with severity ("error", "warning", "note"), code, file, number, certificate, sentence and remedy.
    - client: certificates, each with name, file, key ("given", "missing", "unusable"), problem, chain (each: subject,
      issuer, serial_number, not_before, not_after, days_left, sha256) and opinion, what the server's verifier says of
      it, whether it is sent or not (accepted, path, refusal); handshakes, each: version, accepted, whole (false when
      it ended where the private key was missing), sent (a name), choices (of each: name, fits, reason), path (subjects,
      the leaf first), refusal, seen (what the other side saw) and remedies.
    - server: name; certificate, as in client, without opinion; files, roots, problem and findings, as in client_ca;
      handshakes, as in client, without sent, choices and remedies.
    - a refusal: by ("certificate" or "handshake"), reason (the name of the problem), sentence, certificate, expected,
      found, remedy, alert, and failures, each with path, reason and sentence.
    """
    return {
        "format": FORMAT,
        "accepted": report.accepted,
        "verdict": report.verdict(),
        "checked_at": _time(report.now),
        "client_ca": None if report.client_ca is None else _client_ca_json(report, report.client_ca),
        "client": None if report.client is None else _client_json(report, report.client),
        "server": None if report.server is None else _server_json(report, report.server),
        "warnings": list(report.warnings),
    }


def _client_ca_json(report: Report, bundle: Bundle) -> dict[str, Any]:
    auth = report.client_auth
    names = () if auth is None else auth.hints
    return {
        "files": list(bundle.files),
        "roots": len(bundle.roots),
        "mode": None if auth is None else auth.mode.value,
        "names": [str(name) for name in names],
        "names_bytes": encoded_size(names),
        "crls": None
        if report.revocation is None
        else [
            {
                "issuer": str(crl.issuer),
                "this_update": _time(crl.this_update),
                "next_update": _time(crl.next_update),
                "entries": crl.entries,
            }
            for crl in report.revocation.store
        ],
        "problem": bundle.problem or None,
        "findings": _findings_json(bundle.findings),
    }


def _findings_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [
        {
            "severity": finding.severity.value,
            "code": finding.code,
            "file": finding.origin or None,
            "number": finding.number,
            "certificate": finding.certificate or None,
            "sentence": finding.sentence,
            "remedy": finding.remedy,
        }
        for finding in findings
    ]


def _client_json(report: Report, side: ClientSide) -> dict[str, Any]:
    judge = side.judge
    return {
        "certificates": [
            {
                **_held_json(held, report.now),
                "opinion": None if judge is None else _opinion_json(judge.opinion(held)),
            }
            for held in side.held
        ],
        "handshakes": [
            {
                **_outcome_json(outcome),
                "sent": None if outcome.sent is None else outcome.sent.name,
                "choices": [
                    {"name": choice.held.name, "fits": not choice.reason, "reason": choice.reason or None}
                    for choice in outcome.choices
                ],
                "remedies": [] if judge is None else list(remedies(judge, outcome)),
            }
            for outcome in side.outcomes
        ],
    }


def _server_json(report: Report, side: ServerSide) -> dict[str, Any]:
    return {
        "name": side.name,
        "certificate": _held_json(side.held, report.now),
        "files": list(side.bundle.files),
        "roots": len(side.bundle.roots),
        "problem": side.bundle.problem or None,
        "findings": _findings_json(side.bundle.findings),
        "handshakes": [_outcome_json(outcome) for outcome in side.outcomes],
    }


def _held_json(held: Held, now: float) -> dict[str, Any]:
    return {
        "name": held.name,
        "file": held.source,
        "key": "unusable" if held.unusable else "given" if held.has_key else "missing",
        "problem": held.unusable or None,
        "chain": [
            {
                "subject": str(certificate.subject),
                "issuer": str(certificate.issuer),
                "serial_number": f"{certificate.serial_number:x}",
                "not_before": _time(certificate.not_before),
                "not_after": _time(certificate.not_after),
                "days_left": int((certificate.not_after - now) // _DAY),
                "sha256": certificate.fingerprint,
            }
            for certificate in held.chain
        ],
    }


def _opinion_json(opinion: Opinion) -> dict[str, Any]:
    return {
        "accepted": opinion.peer is not None,
        "path": _path_json(opinion.peer),
        "refusal": None if opinion.rejection is None else _refusal_json(opinion.rejection),
    }


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "version": outcome.version,
        "accepted": outcome.accepted,
        "whole": outcome.whole,
        "path": _path_json(outcome.peer),
        "refusal": None if outcome.refusal is None else _refusal_json(outcome.refusal),
        "seen": None if outcome.seen is None else str(outcome.seen),
    }


def _path_json(peer: trustls.Peer | None) -> list[str] | None:
    return None if peer is None else [str(certificate.subject) for certificate in peer.verified]


def _refusal_json(refusal: TLSError) -> dict[str, Any]:
    rejected = isinstance(refusal, CertificateRejected)
    reason = getattr(refusal, "reason", None)
    return {
        "by": "certificate" if rejected else "handshake",
        "reason": type(refusal).__name__ if reason is None else reason.name,
        "sentence": sentence(refusal),
        "certificate": _title(getattr(refusal, "certificate", None)),
        "expected": getattr(refusal, "expected", "") or None,
        "found": getattr(refusal, "found", "") or None,
        "remedy": getattr(refusal, "remedy", "") or None,
        "alert": None if refusal.alert is None else refusal.alert.name.lower(),
        "failures": [
            {
                "path": [certificate.title for certificate in failure.path],
                "reason": failure.problem.name,
                "sentence": failure.detail,
            }
            for failure in (refusal.failures if isinstance(refusal, CertificateRejected) else ())
        ],
    }


def _time(seconds: float) -> str:
    # Certificates have dates up to the year 9999, and some before 1970: no platform's own conversion takes all of them.
    moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=int(seconds))
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


# -- Text -------------------------------------------------------------------------------------------------------------


def show(report: Report) -> None:
    """Print the report."""
    if report.client_ca is not None:
        _show_client_ca(report, report.client_ca)
    if report.client is not None:
        _show_client(report, report.client)
    if report.server is not None:
        _show_server(report, report.server)
    if report.warnings:
        heading(console, "Warnings")
        for warning in report.warnings:
            _marked("!", "yellow", warning)
    console.print()
    mark, style = ("✓", "bold green") if report.good else ("✗", "bold red")
    _marked(mark, style, Text(shown_lines(report.verdict()), style="bold"))
    for remedy in dict.fromkeys(_remedies(report)):
        _marked("→", "dim", remedy, indent=2)


def _remedies(report: Report) -> Iterator[str]:
    if report.client is not None and report.client.judge is not None:
        for outcome in report.client.outcomes:
            yield from remedies(report.client.judge, outcome)
    if report.server is not None:
        for outcome in report.server.outcomes:
            if outcome.refusal is not None and outcome.refusal.remedy:
                yield f"{report.server.held.name}: {outcome.refusal.remedy}"


def _show_client_ca(report: Report, bundle: Bundle) -> None:
    auth = report.client_auth
    heading(console, f"The CAs that the server trusts for clients ({shown_lines(', '.join(bundle.files))})")
    if auth is not None:
        names = auth.hints
        _line(
            Text(
                f"A client certificate is {auth.mode.value}. {_count(len(bundle.roots), 'CA')} trusted; "
                f"{_count(len(names), 'CA name')} sent to clients, {_count(encoded_size(names), 'byte')}:"
            )
        )
        _line(authority_list(names, _MAX_NAMES))
    elif bundle.problem:
        _marked("✗", "red", bundle.problem)
    if report.revocation is not None:
        for crl in report.revocation.store:
            _line(Text(f"CRL of {crl.issuer}: {crl.entries} revoked, next update {_time(crl.next_update)}"))
    _show_findings(bundle.findings)


def _show_findings(findings: Sequence[Finding]) -> None:
    if not findings:
        return
    table = Table.grid(padding=(0, 2))
    alike: dict[str, int] = {}
    for finding in findings:
        alike[finding.code] = alike.get(finding.code, 0) + 1
        if alike[finding.code] > _MAX_ALIKE:
            continue
        style = _STYLES[finding.severity]
        where = Text(f"{finding.place}: ", style="dim") if finding.origin else Text()
        table.add_row(
            Text(finding.severity.value, style=style),
            Text(finding.code, style=style),
            Group(
                Text.assemble(where, shown_lines(finding.sentence)),
                Text.assemble(("→ ", "dim"), (shown_lines(finding.remedy), "dim")),
            ),
        )
    for code, count in alike.items():
        if count > _MAX_ALIKE:
            table.add_row(Text(), Text(code, style="dim"), Text(f"and {count - _MAX_ALIKE} more", style="dim"))
    _line(table)


def _show_client(report: Report, side: ClientSide) -> None:
    heading(console, "The client's certificates")
    for held in side.held:
        _show_held(held, report.now, None if side.judge is None else side.judge.opinion(held), report.revocation)
    for outcomes in _alike(side.outcomes):
        heading(console, f"The client connects in {_versions(outcomes)}")
        _show_choices(outcomes[0])
        _show_ending(outcomes, "the server", "the client")
    if side.judge is not None and side.judge.server is None:
        _line(
            Text("(to a server with a certificate made for the occasion, since the server's key was not given)", "dim")
        )


def _show_server(report: Report, side: ServerSide) -> None:
    heading(console, f"The server's certificate, asked for {side.name}")
    _show_held(side.held, report.now, None, None)
    if side.bundle.problem:
        _marked("✗", "red", side.bundle.problem)
    _show_findings(side.bundle.findings)
    for outcomes in _alike(side.outcomes):
        heading(console, f"The client judges the server in {_versions(outcomes)}")
        _show_ending(outcomes, "the client", "the server")
        if isinstance(outcomes[0].refusal, CertificateRejected):
            table = Table.grid(padding=(0, 2))
            _add_particulars(table, outcomes[0].refusal)
            _line(table)


def _show_held(held: Held, now: float, opinion: Opinion | None, revocation: Revocation | None) -> None:
    leaf = held.leaf
    _line(Text.assemble((shown_lines(held.name), "bold"), f"  {leaf.title}"))
    table = Table.grid(padding=(0, 2))
    table.add_row(_label("issued by"), Text(brief(leaf.issuer) or "nobody"))
    table.add_row(
        _label("valid"), Text(f"{leaf.not_before_utc:%F} to {leaf.not_after_utc:%F} ({_days_left(leaf, now)})")
    )
    if held.unusable:
        table.add_row(_label("key"), Text.assemble(("✗ ", "red"), shown_lines(held.unusable)))
    elif held.has_key:
        table.add_row(_label("key"), Text.assemble(("✓ ", "green"), "is the certificate's"))
    else:
        table.add_row(_label("key"), Text.assemble(("? ", "yellow"), "was not given, and is not judged"))
    if opinion is not None and opinion.peer is not None:
        table.add_row(_label("path"), Text.assemble(("✓ ", "green"), _path_text(opinion.peer.verified)))
        if revocation is not None:
            crls = _count(len(revocation.store), "CRL")
            table.add_row(_label("status"), Text.assemble(("✓ ", "green"), f"not revoked, going by {crls}"))
    elif opinion is not None and opinion.rejection is not None:
        said = shown_lines(opinion.rejection.reason.sentence)
        table.add_row(_label("path"), Text.assemble(("✗ ", "red"), (said, "red")))
        _add_particulars(table, opinion.rejection)
    _line(indented(table))


def _add_particulars(table: Table, rejection: CertificateRejected) -> None:
    """What a check found, as rows; its remedy stands under the verdict."""
    rows = (
        ("certificate", _title(rejection.certificate)),
        ("detail", rejection.detail),
        ("expected", rejection.expected),
        ("found", rejection.found),
    )
    for label, value in rows:
        if value:
            table.add_row(_label(label), Text(shown_lines(value)))
    if len(rejection.failures) > 1:
        for failure in rejection.failures[:_MAX_FAILURES]:
            table.add_row(_label("path tried"), Text(shown_lines(str(failure))))
        if len(rejection.failures) > _MAX_FAILURES:
            table.add_row(_label("path tried"), Text(f"and {len(rejection.failures) - _MAX_FAILURES} more"))


def _show_choices(outcome: Outcome) -> None:
    if outcome.requested is None:
        early = isinstance(outcome.refusal, PeerIncompatible)
        said = "It ends before the server asks for a certificate." if early else "The server asked for no certificate."
        _line(Text(said, style="dim"))
        return
    table = Table.grid(padding=(0, 2))
    for choice in outcome.choices:
        name = shown_lines(choice.held.name)
        if choice.held is outcome.sent:
            although = f", although {choice.reason}" if choice.reason else ""
            table.add_row(Text("✓", style="green"), Text(name, style="bold"), Text(f"is sent{shown_lines(although)}"))
        elif choice.reason:
            table.add_row(Text("✗", style="red"), Text(name), Text(shown_lines(choice.reason)))
        else:
            table.add_row(Text("·", style="dim"), Text(name), Text("would do too, but comes later"))
    _line(table)


def _show_ending(outcomes: Sequence[Outcome], judging: str, judged: str) -> None:
    first = outcomes[0]
    if first.accepted:
        _marked("✓", "green", _accepted_text(first, judging, judged))
        return
    said = "its certificate cannot be used" if first.refusal is None else sentence(first.refusal)
    if isinstance(first.refusal, PeerIncompatible):
        # Whichever side came upon it first: nobody was judged.
        _marked("✗", "red", f"the handshake fails: {said}")
        return
    _marked("✗", "red", f"{judging} refuses {judged}: {said}")
    seen = {f"TLS {outcome.version}": _seen_text(outcome.seen) for outcome in outcomes if outcome.seen is not None}
    if len(set(seen.values())) == 1:
        _line(indented(Text(f"{judged} then sees {next(iter(seen.values()))}", style="dim")))
    else:
        for version, what in seen.items():
            _line(indented(Text(f"{judged} then sees {what} in {version}", style="dim")))


def _seen_text(seen: TLSError) -> str:
    if isinstance(seen, AlertReceived) and seen.description is not None:
        return f"the alert {seen.description.name.lower()}"
    return shown_lines(str(seen))


def _accepted_text(outcome: Outcome, judging: str, judged: str) -> str:
    if outcome.peer is None:
        return f"{judging} lets {judged} in without a certificate, and does not know who it is"
    who = f"{judging} takes {judged} for {outcome.peer.certificate.title}"
    return who if outcome.whole else f"{who}, if it holds the private key, which was not given"


def sentence(refusal: TLSError) -> str:
    """What a failure says, without its remedy."""
    return str(refusal).removesuffix(f"; to mend it: {refusal.remedy}")


def _verdict(judged: str, judging: str, outcomes: Sequence[Outcome], problem: str) -> str:
    if problem:
        return f"{judging} cannot be set up, so that it accepts nobody: {problem}"
    accepted = [outcome for outcome in outcomes if outcome.accepted]
    refused = [outcome for outcome in outcomes if not outcome.accepted]
    said = []
    if accepted:
        certain = (
            "" if all(outcome.whole for outcome in accepted) else ", as far as can be told without the private key"
        )
        said.append(f"{judging} accepts {judged} in {_versions(accepted)}{certain}")
    if refused:
        said.append(f"{judging} refuses {judged} in {_versions(refused)}")
    return ", and ".join(said)


def _versions(outcomes: Sequence[Outcome]) -> str:
    return "TLS " + " and ".join(outcome.version for outcome in outcomes)


def _alike(outcomes: Sequence[Outcome]) -> Iterator[list[Outcome]]:
    """The outcomes, those that would be told in the same words together."""
    groups: dict[object, list[Outcome]] = {}
    for outcome in outcomes:
        words = (
            outcome.accepted,
            outcome.whole,
            str(outcome.refusal),
            outcome.sent,
            tuple(choice.reason for choice in outcome.choices),
        )
        groups.setdefault(words, []).append(outcome)
    yield from groups.values()


def _counted(findings: Sequence[Finding]) -> str:
    counts = [(severity, sum(finding.severity is severity for finding in findings)) for severity in Severity]
    return ", ".join(_count(count, severity) for severity, count in counts if count)


def _path_text(path: Sequence[Certificate]) -> str:
    return " <- ".join(certificate.title for certificate in path)


def _days_left(certificate: Certificate, now: float) -> str:
    days = int((certificate.not_after - now) // _DAY)
    if certificate.not_after < now:
        return "expired"
    if now < certificate.not_before:
        return "not valid yet"
    return f"{_count(days, 'day')} left"


def _title(certificate: Certificate | None) -> str | None:
    return None if certificate is None else certificate.title


def _label(text: str) -> Text:
    return Text(text, style="dim")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _marked(mark: str, style: str, text: str | Text, *, indent: int = 0) -> None:
    """Print a sentence behind a mark, its further lines below its first."""
    table = Table.grid(padding=(0, 1))
    table.add_row(Text(mark, style=style), text if isinstance(text, Text) else Text(shown_lines(text)))
    _line(Padding(table, (0, 0, 0, indent), expand=False))


def _line(text: RenderableType) -> None:
    """Print something two columns to the right, without filling the line behind it."""
    console.print(Padding(text, (0, 0, 0, 2), expand=False))


_ERROR = Severity.ERROR
_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
