"""Builds the documentation site: `python -m tests.docs.site`, which `make docs` calls.

Warnings are errors: those of the generator (a link, an anchor, a reference that leads nowhere), and those of
mkdocstrings and griffe, which it passes on without counting them. Links to other files than pages, to pictures say, it
does not follow: that is done here. And a page must load nothing from elsewhere: who reads the manual is nobody's
business, and it can be read without a network.
"""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

ROOT: Final = Path(__file__).parents[2]
SITE: Final = ROOT / "build" / "site"

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_WARNING: Final = re.compile(r"^(?:griffe|mkdocstrings|mkdocs_autorefs)\b.*|^WARNING.*", re.MULTILINE)
# What a browser fetches by itself, and by which attribute. A link that somebody clicks is another matter.
_FETCHED: Final = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
    "link": "href",
}
_NOT_FETCHED: Final = frozenset({"canonical", "next", "prev", "alternate"})
_ELSEWHERE: Final = re.compile(r"^(?:[a-z]+:)?//", re.IGNORECASE)
# What the theme's script fetches a library for, from a CDN, when a page has it.
_NEEDS_A_LIBRARY: Final = frozenset({"mermaid", "glightbox", "pyodide"})
_IN_STYLES: Final = re.compile(r"(?:url\(\s*|@import\s+)['\"]?((?:https?:)?//[^)'\"\s]+)", re.IGNORECASE)


def build() -> list[str]:
    """Build it anew into build/site; the warnings, which may be none."""
    result = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    said = _COLOUR.sub("", result.stdout)
    if result.returncode:
        return [said.strip()]
    return [match[0] for match in _WARNING.finditer(said)]


def fetched_from_elsewhere(site: Path = SITE) -> list[str]:
    """What its pages and styles load from another host, each with the file that does."""
    found = []
    for page in sorted(site.rglob("*.html")):
        text = page.read_text()
        found += [f"{page.relative_to(site)}: {address}" for address in _Fetched.by(text)]
    for style in (*site.rglob("*.css"), *site.rglob("*.html")):
        found += [f"{style.relative_to(site)}: {address}" for address in _IN_STYLES.findall(style.read_text())]
    return found


def leading_nowhere(site: Path = SITE) -> list[str]:
    """The links and pictures of its pages that are not in the site, each with the page."""
    found = []
    for page in sorted(site.rglob("*.html")):
        if page.name == "404.html":
            continue  # It is served for any address, and its links begin at the root.
        for address in _Links.of(page.read_text()):
            path = unquote(urlsplit(address).path)
            if path and not (page.parent / path).exists():
                found.append(f"{page.relative_to(site)}: {address}")
    return found


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    @classmethod
    def of(cls, page: str) -> list[str]:
        """The addresses in a page that are its own site's."""
        parser = cls()
        parser.feed(page)
        return parser.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src"} and value and not urlsplit(value).scheme and not value.startswith("//"):
                self.found.append(value)


class _Fetched(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    @classmethod
    def by(cls, page: str) -> list[str]:
        parser = cls()
        parser.feed(page)
        return parser.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        address = attributes.get(_FETCHED.get(tag, "")) or ""
        if _ELSEWHERE.match(address) and attributes.get("rel") not in _NOT_FETCHED:
            self.found.append(address)
        self.found += _NEEDS_A_LIBRARY & set((attributes.get("class") or "").split())


def main() -> int:
    """Build and look; 1 when anything is wrong."""
    problems = build()
    if not problems:
        problems = [f"loads something from elsewhere: {one}" for one in fetched_from_elsewhere()]
        problems += [f"leads nowhere: {one}" for one in leading_nowhere()]
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if problems:
        return 1
    pages = len(list(SITE.rglob("*.html")))
    sys.stdout.write(f"{pages} pages in {SITE.relative_to(ROOT)}, without a warning\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
