"""Every code block of README.md and of docs/ is run, or says why not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.docs.blocks import ROOT, Block, blocks, pages, run

# Pages whose blocks other tests run, each of which names its page.
ELSEWHERE: Final = {
    "README.md": "tests/test_readme.py",
    "docs/integrations.md": "tests/integrations",
    "docs/integrations/": "tests/integrations",
}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def place_of_tests(page: Path) -> Path | None:
    """Where the blocks of a page are run, if not here."""
    name = name_of(page)
    place = ELSEWHERE.get(name) or ELSEWHERE.get(name.removesuffix(page.name))
    return None if place is None else ROOT / place


def has_blocks(page: Path) -> bool:
    return any(block.is_run for block in blocks(page))


def run_here() -> list[Path]:
    return [page for page in pages() if place_of_tests(page) is None and has_blocks(page)]


def run_elsewhere() -> list[Path]:
    return [page for page in pages() if place_of_tests(page) is not None and has_blocks(page)]


@pytest.fixture
def as_it_was() -> Iterator[None]:
    """Examples may turn the log on."""
    root, trace = logging.getLogger(), logging.getLogger("trustls.handshake")
    handlers, level = list(root.handlers), trace.level
    yield
    root.handlers[:] = handlers
    trace.setLevel(level)


@pytest.mark.usefixtures("as_it_was")
@pytest.mark.parametrize("page", run_here(), ids=name_of)
def test_every_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(page, tmp_path)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_no_block_escapes(page: Path) -> None:
    escaped = [said for block in blocks(page) if (said := block.escapes())]
    assert not escaped, "\n".join(escaped)


@pytest.mark.parametrize("page", run_elsewhere(), ids=name_of)
def test_page_that_is_run_elsewhere_is_named_there(page: Path) -> None:
    place = place_of_tests(page)
    assert place is not None
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    naming = {page.name, f'load("{page.stem}")'}
    assert any(name in file.read_text() for file in files for name in naming), (
        f"no test in {place} runs {name_of(page)}"
    )


# -- The runner itself ------------------------------------------------------------------------------------------------


def page_of(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text)
    return page


def one(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Block:
    monkeypatch.setattr("tests.docs.blocks.ROOT", folder)
    (block,) = blocks(page_of(folder, text))
    return block


@pytest.mark.parametrize(
    "text",
    [
        "```python\nassert False\n```\n",
        "```pycon\n>>> 1 + 1\n3\n```\n",
        "```console\n$ false\n```\n",
        "<!-- exit: 1 -->\n```console\n$ true\n```\n",
        "```console\n$ echo one\ntwo\n```\n",
        "    ```python\n    assert False\n    ```\n",
    ],
)
def test_block_that_is_wrong_fails(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tests.docs.blocks.ROOT", tmp_path)
    with pytest.raises(AssertionError):
        run(page_of(tmp_path, text), tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "```\nsomething\n```\n",
        "```bash\nls\n```\n",
        "<!-- not run: no -->\n```python\nx = 1\n```\n",
        "<!-- sometimes: of a Friday -->\n```python\nx = 1\n```\n",
        "```text\n$ trustls demo\n```\n",
    ],
)
def test_block_that_is_neither_run_nor_explained_is_found(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert one(tmp_path, text, monkeypatch).escapes()


def test_file_and_commands_work_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tests.docs.blocks.ROOT", tmp_path)
    text = (
        "<!-- file: serve.py -->\n```python\nimport time\nprint('ready 8443')\ntime.sleep(60)\n```\n"
        "```console\n$ python serve.py &\nready ...\n$ echo one; echo two && false || echo three\none\nthree\n```\n"
        "```python\nx = 1\n```\n```pycon\n>>> x + 1\n2\n```\n"
    )
    run(page_of(tmp_path, text), tmp_path)
