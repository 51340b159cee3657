"""The simulator is deterministic, real, and finds nothing in a thousand runs."""

import ast
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from fuzz.campaign import RUNS_FOR_ALL, Style, campaign, run_seed
from fuzz.checkers import CHECKERS
from fuzz.counters import RARE
from fuzz.draw import BIASES, SIZES, draw_plan

ROOT = Path(__file__).parent.parent.parent
BATCH = 100  # runs in one test: a minute on the slowest machine

reached: Counter[str] = Counter()  # over all batches


@pytest.mark.parametrize("size", SIZES)
def test_same_seed_has_the_same_history(size: str) -> None:
    """E5."""
    first, second = run_seed(11, Style(size)), run_seed(11, Style(size))

    assert first.digest
    assert first == second


def test_replay_is_the_same_byte_for_byte_in_another_process() -> None:
    """E5.  Not even the seed of Python's hashes shows."""
    outputs = [
        subprocess.run(
            [sys.executable, "-m", "fuzz", "17"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]

    assert b"all properties hold" in outputs[0]
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("start", range(0, RUNS_FOR_ALL, BATCH))
def test_thousand_runs_hold_all_properties(start: int) -> None:
    """E1, E2, E3, E4, S1, S3, S4, S5, S6, S7, S8, S9, S10, S13, B1, B3, B5, W4, W5, W6, C6, M3."""
    seeds = range(start, start + BATCH)
    for result in campaign(seeds, Style(), processes=os.cpu_count() or 1):
        assert not result.failure, f"python -m fuzz {result.seed}: {result.failure}"
        reached.update(result.counters)
    reached["runs"] += BATCH


def test_thousand_runs_reach_every_rare_state() -> None:
    if reached["runs"] < RUNS_FOR_ALL:
        pytest.skip("only some of the runs were asked for")

    assert [name for name in RARE if not reached[name]] == []


@pytest.mark.parametrize("bias", sorted(set(BIASES) - {"mixed"}))
def test_runs_with_more_of_one_trouble_hold_all_properties(bias: str) -> None:
    """S5 without S6, C3, W4, B5."""
    for seed in range(40):
        result = run_seed(seed, Style(bias=bias))

        assert not result.failure, f"python -m fuzz {seed} --bias {bias}: {result.failure}"


def test_engine_invariants_hold_after_every_turn() -> None:
    """E1."""
    for seed in range(20):
        result = run_seed(seed, Style("medium", is_checked=True))

        assert not result.failure, f"python -m fuzz {seed} --size medium: {result.failure}"


def test_plans_differ_from_seed_to_seed() -> None:
    plans = {repr(draw_plan(seed)) for seed in range(50)}

    assert len(plans) == 50


def test_there_is_a_checker_for_every_property_with_a_rule() -> None:
    for checker in CHECKERS:
        assert checker.__doc__
        assert "(" in checker.__doc__, "the docstring of a checker cites its rule"


def test_nothing_of_engine_or_store_is_patched() -> None:
    """The simulator assigns to no attribute of a module or class of theirs, except the hook."""
    for path in sorted((ROOT / "fuzz").rglob("*.py")):
        tree = ast.parse(path.read_text())
        imported = _imported_from_exchange(tree)
        for node in ast.walk(tree):
            for target in _targets(node):
                if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                    place = f"{target.value.id}.{target.attr}"
                    is_theirs = target.value.id in imported and place != "crash.hook"
                    assert not is_theirs, f"{path}:{target.lineno} patches {place}"
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("setattr", "patch"):
                raise AssertionError(f"{path}:{node.lineno} patches")


def test_functions_of_engine_and_store_are_those_of_their_files_after_a_run() -> None:
    """What ran is what is in the files: every function has the code of its module."""
    run_seed(3, Style("small"))

    modules = [
        module
        for name, module in sorted(sys.modules.items())
        if name.startswith(("exchange.engine.", "exchange.store.", "exchange.domain."))
    ]
    assert len(modules) > 20
    for module in modules:
        for name, value in vars(module).items():
            members = vars(value).values() if isinstance(value, type) else [value]
            for member in members:
                code = getattr(member, "__code__", None)
                is_own = getattr(member, "__module__", "") == module.__name__
                if code is not None and is_own and not code.co_filename.startswith("<"):
                    assert Path(code.co_filename) == Path(str(module.__file__)), f"{name}: patched"


def _imported_from_exchange(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("exchange"):
            names |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.startswith("exchange")}
    return names


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AugAssign | ast.AnnAssign) else []
