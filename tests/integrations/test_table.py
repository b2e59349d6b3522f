"""docs/integrations.md and the pages below it: the table is complete, and each recipe is run by a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import trustls
from tests.docs.blocks import ROOT, blocks
from tests.integrations import recipes
from tests.integrations.mutual import (
    FIRST_SUBJECT,
    SECOND_SUBJECT,
    Handshakes,
    first_issued,
    first_root,
    second_issued,
    second_root,
    server_issued,
    server_root,
)
from tests.integrations.servers import HttpServer

PAGE = ROOT / "docs" / "integrations.md"
PAGES = sorted(recipes.FOLDER.glob("*.md"))
RECIPES = [
    page for page in PAGES if any(block.language == "python" for block in blocks(page))
]  # Some say: not possible.
TESTS = "\n".join(test.read_text() for test in Path(__file__).parent.glob("*.py"))


def name_of(page: Path) -> str:
    return page.stem


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_table_leads_to_page(page: Path) -> None:
    assert f"](integrations/{page.name})" in PAGE.read_text(), f"{PAGE.name} has no link to {page.name}"


@pytest.mark.parametrize("page", [page for page in RECIPES if not page.name.startswith("own-")], ids=name_of)
def test_page_says_which_versions_it_was_run_with(page: Path) -> None:
    text = page.read_text()
    assert re.search(r"^Run with .*\d", text, re.MULTILINE), "there is no line `Run with <package> <version>`"
    assert not re.search(r"\{\w+\}", text.replace("\n", " ").split("Run with")[-1]), "a version was not filled in"


@pytest.mark.parametrize("page", RECIPES, ids=name_of)
def test_recipe_is_run_by_a_test(page: Path) -> None:
    used = rf'recipes\.(load|text)\("{re.escape(page.stem)}"\)|recipes\.FOLDER / "{re.escape(page.name)}"'
    assert re.search(used, TESTS), f"no test runs {page.name}"


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\((integrations/[^)]+)\)", PAGE.read_text())
    missing = [link for link in links if not (PAGE.parent / link).exists()]
    assert links, "there are no links"
    assert not missing, f"there is no {missing}"


def test_first_example_makes_contexts_that_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handshakes: Handshakes
) -> None:
    folders = {name: tmp_path / name for name in ("servers", "clients", "partners")}
    for folder in folders.values():
        folder.mkdir()
    server_issued().write(folders["servers"], "localhost")
    first_issued().write(folders["clients"], "alice")
    second_issued().write(folders["partners"], "alice")
    for name, authority in (("servers", server_root()), ("clients", first_root()), ("partners", second_root())):
        authority.write(folders[name], "ca")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks(PAGE):
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.body, str(PAGE), "exec"), names)

    client = names["client"]
    assert isinstance(client, trustls.ClientConfig)
    subjects = [str(one.certificate.subject) for one in client.credentials if isinstance(one, trustls.Credential)]
    assert subjects == [FIRST_SUBJECT, SECOND_SUBJECT], "the page speaks of the second of two"
    with HttpServer(names["server_context"]) as server:  # type: ignore[arg-type]  # an SSLContext
        post = recipes.load("http-client").post
        assert post(client, "localhost", server.port, "/", b"")["subject"] == SECOND_SUBJECT
    handshakes.check()
