"""What the builder of the site takes for broken, or for loaded from elsewhere. (`make docs` builds the site itself.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.site import fetched_from_elsewhere, leading_nowhere


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/css">',
        '<link rel="preconnect" href="https://fonts.example">',
        '<img src="HTTPS://counter.example/1.gif">',
        '<pre class="mermaid">',
        "<style>@import url('https://fonts.example/css')</style>",
    ],
)
def test_page_that_loads_from_elsewhere_is_found(page: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page)
    assert fetched_from_elsewhere(tmp_path)


@pytest.mark.parametrize(
    "page",
    [
        '<a href="https://www.rfc-editor.org/rfc/rfc9846">',
        '<script src="assets/x.js"></script>',
        '<link rel="canonical" href="https://trustls.example/">',
    ],
)
def test_links_and_own_files_are_fine(page: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page)
    assert not fetched_from_elsewhere(tmp_path)


@pytest.mark.parametrize(
    "page", ['<img src="chart.svg">', '<a href="../other.html#there">', '<a href="gone%20away.html">']
)
def test_link_that_leads_nowhere_is_found(page: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page)
    assert leading_nowhere(tmp_path)


@pytest.mark.parametrize(
    "page", ['<a href="#here">', '<a href="page.html?q#x">', '<a href="mailto:alice@example.com">']
)
def test_link_that_leads_somewhere_is_fine(page: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page)
    assert not leading_nowhere(tmp_path)
