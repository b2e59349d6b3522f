"""The measurements measure what they say, and their tables and the chart tell it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import against, chart, exchange, page, scaling
from bench.__main__ import MEASUREMENTS
from bench.goals import GOALS, goals_of
from bench.negotiated import negotiated
from bench.peers import bio, own, pyopenssl
from bench.peers.endpoint import Peer
from bench.pki import P256, RSA, Scenario
from bench.results import LIMIT, PYOPENSSL, SSL, TRUSTLS, Row, dump, load
from bench.terms import MLKEM, Terms
from bench.timing import Stopwatch, interleaved

ROOT = Path(__file__).parents[2]
MAKERS = {TRUSTLS: own.peer, SSL: bio.ssl_peer, PYOPENSSL: pyopenssl.peer}


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=25
    )


def measured(**values: float) -> Row:
    return Row(
        "a section", "handshake", "some work", "us", values={name.replace("_", " "): v for name, v in values.items()}
    )


@pytest.mark.parametrize("key_type", [P256, RSA])
@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_trustls_is_held_to_the_terms(version: str, key_type: str) -> None:
    terms = Terms(version)
    peer = own.peer(Scenario(key_type=key_type), terms)
    assert negotiated(peer, peer) == f"{terms.suite(key_type)} x25519"


@pytest.mark.parametrize("terms", [Terms(), Terms(chacha=True), Terms("1.2")], ids=str)
def test_configuration_file_holds_openssl_to_the_terms(terms: Terms, tmp_path: Path) -> None:
    configuration = tmp_path / "openssl.cnf"
    configuration.write_text(terms.openssl_conf())
    program = (
        "from bench.terms import Terms; from bench.pki import Scenario; from bench.peers import bio, pyopenssl\n"
        "from bench.negotiated import negotiated\n"
        f"for make in (bio.ssl_peer, pyopenssl.peer): peer = make(Scenario(), {terms!r}); print(negotiated(peer, peer))"
    )
    run = python("-c", program, OPENSSL_CONF=str(configuration))
    assert run.stdout.splitlines() == [f"{terms.suite(P256)} x25519"] * 2, run.stderr


def test_hybrid_group_is_negotiated() -> None:
    peer = own.peer(Scenario(), Terms(group=MLKEM))
    assert negotiated(peer, peer) == "TLS_AES_256_GCM_SHA384 X25519MLKEM768"


@pytest.mark.parametrize("version", ["1.3", "1.2"])
@pytest.mark.parametrize("name", MAKERS)
def test_peer_resumes_every_time_when_told_to_and_never_otherwise(name: str, version: str) -> None:
    for resume in (True, False):
        peer = MAKERS[name](Scenario(), Terms(version, tickets=1, resume=resume))
        exchange.connected(peer, peer)
        for _ in range(3):
            client, server = exchange.connected(peer, peer)
            assert (client.resumed(), server.resumed()) == (resume, resume)


@pytest.mark.parametrize("name", MAKERS)
def test_peer_authenticates_both_sides(name: str) -> None:
    peer = MAKERS[name](Scenario(mutual=True, hints=True), Terms())
    client, server = exchange.connected(peer, peer)
    assert client.peer_certificate() is not None, "the client did not see the server's certificate"
    assert server.peer_certificate() is not None, "the server did not see the client's certificate"


@pytest.mark.parametrize("name", MAKERS)
def test_wrong_name_is_refused_before_anything_is_timed(name: str) -> None:
    peer = MAKERS[name](Scenario(), Terms())
    exchange.check_refused("", lambda: peer.client("example.com"), peer.server, peer.refusals)


def test_peer_that_verifies_nothing_is_found_out() -> None:
    peer = own.peer(Scenario(), Terms())
    trusting = Peer(TRUSTLS, peer.client, peer.server, (ValueError,))
    with pytest.raises(RuntimeError, match="takes everybody"):
        exchange.check_refused("takes everybody", trusting.new_client, trusting.server, trusting.refusals)


def test_a_handshake_and_bytes_of_every_peer_take_time() -> None:
    for make in MAKERS.values():
        peer = make(Scenario(), Terms())
        assert min(exchange.handshake(peer.new_client, peer.server)) > 0
        client, server = exchange.connected(peer, peer)
        assert min(exchange.moved(client, server, 1000, 2)()) > 0


def test_cases_take_turns() -> None:
    order: list[str] = []
    cases = {name: functools.partial(order.append, name) for name in "abc"}
    samples = interleaved(cases, 0.0, block=2, slow=("c",))
    assert {name: len(found) for name, found in samples.items()} == {"a": 6, "b": 6, "c": 3}
    assert "".join(order).endswith("aaabbbc" + "bbbcaaa" + "caaabbb"), f"not in turns: {order}"


@pytest.mark.skipif(sys.platform != "linux", reason="the processor time of another process is read as Linux has it")
def test_stopwatch_counts_the_processor_time_of_other_processes() -> None:
    program = "import sys, time; end = time.process_time() + 0.05\nwhile time.process_time() < end: pass\ninput()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        watch = Stopwatch([other.pid])
        assert other.stdin is not None
        while watch.spent().wall < 20 and watch.spent().processor < 0.05:
            time.sleep(0.01)
        found = watch.spent()
        other.communicate(b"\n")
    assert found.processor >= 0.05, "the other process used as much"


def test_turns_that_neighbours_disturbed_do_not_count() -> None:
    one, both = scaling.Way(1, 1), scaling.Way(1, 2)
    noise = [scaling.Turn(rate, 0.5) for rate in (1, 10, 1000, 10_000, 5, 7, 9, 11)]
    turns = {one: [scaling.Turn(100, 0.0), scaling.Turn(102, 0.01), *noise]}
    turns |= {both: [*noise, scaling.Turn(150, 0.0), scaling.Turn(152, 0.02)], scaling.Way(2, 1): noise}
    threads, _ = scaling.rows_of("some work", {TRUSTLS: turns, LIMIT: {**turns, one: [scaling.Turn(404, 0.0)] * 10}})
    assert threads.values[TRUSTLS] == pytest.approx(151 / 101)
    assert threads.values[f"{TRUSTLS}, at most"] == pytest.approx(4 / 3), "a quarter of the time needs no GIL"


def test_rows_survive_their_way_through_json() -> None:
    row = measured(trustls=1.0, ssl=2.0)
    assert load(dump([row])) == [row]


def test_goal_is_a_ratio_of_medians() -> None:
    found = {str(goal): (figure, goal.reached(figure)) for goal, figure in goals_of(measured(trustls=90, ssl=100))}
    assert found == {"≤ 0.75 x ssl": (0.9, False)}


def test_every_goal_has_something_that_is_measured() -> None:
    modules = "".join((ROOT / "bench" / f"{name}.py").read_text() for name in {one.name for one in MEASUREMENTS})
    for goal in GOALS:
        stem = goal.key.rpartition("-")[0] if goal.key.startswith(("bulk", "memory")) else goal.key
        assert stem.partition("-aes")[0] in modules, f"nothing measures {goal.key}"


def test_chart_draws_longer_bars_for_what_is_faster() -> None:
    drawing = ET.fromstring(chart.svg([measured(trustls=50, ssl=100, pyOpenSSL=200)]))
    bars = [item for item in drawing.iter("{http://www.w3.org/2000/svg}rect") if item.get("height") == "10"]
    ours, theirs = (float(item.get("width", 0)) for item in bars[-2:])
    assert ours == 4 * theirs, "twice and half the speed of ssl"


def test_page_gets_its_tables_between_the_markers(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text(
        "before\n<!-- goals: begin -->\nold\n<!-- goals: end -->\nprose\n"
        "<!-- figures: begin -->\n<!-- figures: end -->\nafter\n"
    )
    page.write(file, [measured(trustls=50, ssl=100)], {"machine": "one", "package trustls": "0"})
    text = file.read_text()
    assert "old" not in text
    assert "| a section: some work | ≤ 0.75 x ssl | 0.50 | reached |" in text
    assert "| some work | **50** | 100 (0.50 x) | us |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    with pytest.raises(ValueError, match="goals: begin"):
        page.write(_written(tmp_path / "other.md", "no markers"), [], {})


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_tree_without_trustls_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no trustls in"):
        against.compare(ROOT, tmp_path, 0.1)


def test_two_trees_are_compared() -> None:
    (found,) = against.compare(ROOT, ROOT, 0.1, only="1.2 resumed")
    assert found.name == "handshake 1.2 resumed"
    assert found.here > 0
    assert found.there > 0
    assert found.calls_here == found.calls_there, "the same tree makes the same calls"


def test_command_writes_json_and_chart(tmp_path: Path) -> None:
    figures, drawing = tmp_path / "figures.json", tmp_path / "chart.svg"
    run = python("-m", "bench", "--quick", "--only", "growth", "--json", str(figures), "--chart", str(drawing))
    assert run.returncode == 0, run.stderr
    assert "1000 CA names" in run.stdout
    found = json.loads(figures.read_text())
    assert found["environment"]["Python"] == sys.version.split()[0]
    by_key = {row["key"]: row["values"] for row in found["rows"]}
    assert by_key["hints-1000"].keys() == {TRUSTLS, PYOPENSSL}
    assert by_key["chain-4"].keys() >= {TRUSTLS, SSL, PYOPENSSL}
    ET.parse(drawing)
