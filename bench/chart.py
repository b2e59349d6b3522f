"""The main figures as one SVG, drawn by hand: bars of speed relative to `ssl`, so that longer is better throughout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from bench.results import PYOPENSSL, RTLS, SSL, TRUSTLS, Row

_ROWS = (
    ("handshake", "TLS 1.3 handshake"),
    ("mutual-hints", "with client certificate and hints"),
    ("mutual-chain", "the same, one intermediate each"),
    ("resumed", "resumed"),
    ("tls12", "TLS 1.2 handshake"),
    ("tls12-resumed", "resumed, TLS 1.2"),
    ("bulk-aes-65536", "bulk in memory, 64 KiB a write"),
    ("bulk-aes-1024", "bulk in memory, 1 KiB a write"),
    ("loopback-bulk", "bulk over loopback, asyncio"),
    ("loopback-latency", "64 B there and back, asyncio"),
    ("sockets-bulk", "bulk over loopback, blocking"),
    ("memory-server", "memory of an idle connection"),
)
_COLOURS = {TRUSTLS: "#2b6cb0", PYOPENSSL: "#9aa5b1", RTLS: "#d08b5b", "uvloop + ssl": "#7a9e7e"}
_BASES = (SSL, "asyncio + ssl")
_LESS_IS_BETTER = {"us", "ms", "KiB"}
_TITLE = "Speed, and thrift with memory, relative to ssl = 1 (longer is better)"
_FONT = 'font-family="sans-serif" font-size="11" fill="#222"'
_LEFT, _SCALE, _MOST, _BAR, _GAP, _TOP = 250, 150, 3.2, 12, 12, 50


class _Bar(NamedTuple):
    name: str
    speed: float


def svg(rows: Sequence[Row]) -> str:
    """The document; rows that were not measured are left out."""
    by_key = {row.key: row for row in rows}
    groups = [(label, bars) for key, label in _ROWS if key in by_key and (bars := _bars(by_key[key]))]
    height = _TOP + sum(len(bars) * _BAR + _GAP for _, bars in groups) + 10
    width = _LEFT + round(_MOST * _SCALE) + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {_FONT}>',
        "<title>Speed relative to Python's ssl</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        _text(10, 18, _TITLE, 'font-size="13" font-weight="bold"'),
    ]
    x = _LEFT
    for name, colour in _COLOURS.items():
        parts += [_rect(x, 28, 10, 10, colour), _text(x + 14, 37, name)]
        x += 100
    y = _TOP
    for label, bars in groups:
        parts.append(_text(_LEFT - 8, y + len(bars) * _BAR / 2 + 4, label, 'text-anchor="end"'))
        for bar in bars:
            length = min(bar.speed, _MOST) * _SCALE
            parts.append(_rect(_LEFT, y, length, _BAR - 2, _COLOURS[bar.name]))
            parts.append(_text(_LEFT + length + 4, y + _BAR - 3, f"{bar.speed:.2f}", 'font-size="9"'))
            y += _BAR
        y += _GAP
    at_one = _LEFT + _SCALE
    parts.append(f'<path d="M{at_one} {_TOP - 6}V{height - 10}" stroke="#c53030" stroke-dasharray="3 3"/>')
    return "\n".join([*parts, "</svg>", ""])


def _bars(row: Row) -> list[_Bar]:
    base = next((row.values[name] for name in _BASES if name in row.values), None)
    if base is None:
        return []
    less = row.unit in _LESS_IS_BETTER
    return [_Bar(n, base / row.values[n] if less else row.values[n] / base) for n in _COLOURS if n in row.values]


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.1f}" height="{height:.0f}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {more}>{escape(text)}</text>'
