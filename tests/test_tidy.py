"""House rules that no linter knows, checked on every module, test and document."""

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for top in ("exchange", "recovery") for path in (ROOT / top).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PROGRAMS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
PURE = [ROOT / "exchange" / "domain", ROOT / "exchange" / "engine"]

# Modules without a test file of the same name, and why.
WITHOUT_TEST_FILE = {
    "exchange/engine/core.py": "the lower half of the engine; tested through it in test_engine.py",
    "exchange/engine/decision.py": "structs; what is decided is tested where it is decided",
    "exchange/engine/effects.py": "structs; their lines are tested in tests/exchange/wire",
    "exchange/engine/inputs.py": "structs; each is fed to an engine in test_engine.py",
    "exchange/engine/messages.py": "structs; they are encoded and decoded in wire/test_peers.py",
    "exchange/engine/records.py": "structs; they are encoded and decoded in store/test_frames.py",
    "exchange/engine/soft.py": "what a node believes; changed and tested by its users",
}

# The rules of the design that are built; each must be cited by the docstring of a test.
BUILT = {
    *(f"E{number}" for number in range(1, 8)),
    *(f"S{number}" for number in [*range(1, 11), 13]),
    *(f"B{number}" for number in [*range(1, 6), 7]),
    *(f"W{number}" for number in range(1, 9)),
    *(f"C{number}" for number in range(1, 9)),
    *(f"M{number}" for number in range(1, 4)),
    *(f"faults 2.{number}" for number in range(1, 18)),
}
LATER = {"S11", "S12", "B6"}  # baskets, transfers, audit versions

_RULE = re.compile(r"\b([ESBWCM][0-9]{1,2})\b|(?i:\bfaults? (2\.[0-9]{1,2}))")


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@cache
def sources() -> list[str]:
    """Return the text of every module, those for testing included."""
    tops = ("exchange", "recovery", "fuzz", "bench")
    return [path.read_text() for top in tops for path in (ROOT / top).rglob("*.py")]


def cited() -> dict[str, list[str]]:
    """Return the tests that cite each rule, by rule."""
    tests: dict[str, list[str]] = {}
    for path in TESTS:
        for function in functions(path):
            for rule, fault in _RULE.findall(ast.get_docstring(function) or ""):
                place = f"{path.relative_to(ROOT)}::{function.name}"
                tests.setdefault(rule or f"faults {fault}", []).append(place)
    return tests


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text())

    assert ast.get_docstring(tree), "every module says in its docstring what it is for"
    if any(pure in path.parents for pure in PURE):
        awaits = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)]
        assert not awaits, "pure floors never await"


def test_every_module_has_its_test_file() -> None:
    missing = [name for name in map(mirrored, MODULES) if name and not (ROOT / name).exists()]

    assert not missing


def mirrored(path: Path) -> str | None:
    """Return where the tests of a module are, None if it needs none."""
    name = path.relative_to(ROOT)
    if path.name == "errors.py" or path.name.startswith("__") or str(name) in WITHOUT_TEST_FILE:
        return None
    return str(Path("tests") / name.with_name(f"test_{path.name}"))


def test_every_exception_from_the_mirror_is_a_module() -> None:
    for name in WITHOUT_TEST_FILE:
        path = ROOT / name
        mirror = ROOT / "tests" / path.relative_to(ROOT).with_name(f"test_{path.name}")

        assert path.exists(), f"{name} is gone: take it off the list"
        assert not mirror.exists(), f"{name} has a test file: take it off the list"


def test_every_rule_that_is_built_is_cited_by_a_test() -> None:
    missing = BUILT - set(cited())

    assert not missing, f"no test cites {', '.join(sorted(missing))}"


def test_tests_cite_only_rules_that_exist() -> None:
    unknown = {rule: tests for rule, tests in cited().items() if rule not in BUILT | LATER}

    assert not unknown


def test_no_test_sleeps() -> None:
    """Not even a little: who waits for a condition uses an event, or a clock that jumps."""
    for path in TESTS:
        text = path.read_text()
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        slept = {ast.unparse(call.func) for call in calls} & {"time.sleep", "trio.sleep", "sleep"}

        assert not slept or (slept == {"trio.sleep"} and "autojump_clock" in text), path


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_is_there(path: Path) -> None:
    text = path.read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text)
    files = re.findall(r"`((?:exchange|recovery|fuzz|bench|tests|docs)/[\w/.-]+)", text)

    for link in links:
        assert (path.parent / link).exists(), f"broken link {link}"
    for name in files:
        assert (ROOT / name).exists(), f"{name} is named and not there"
    file = ""  # of a list of tests it is named once
    for named, test in re.findall(r"`([\w/.]*)::(test_\w+)", text):
        file = named or file
        homes = [home.read_text() for home in TESTS if home.as_posix().endswith(f"/{file}")]
        assert any(f"def {test}(" in home for home in homes), f"{file} has no {test}"
    for owner, method in re.findall(r"`([A-Z]\w+)\.(\w+)`", text):
        assert any(
            f"class {owner}" in source and f"def {method}(" in source for source in sources()
        ), f"{owner}.{method} is named and not there"


def named_commands() -> list[tuple[str, ...]]:
    """Return the command lines in the documents: program, verbs, then options."""
    commands = set()
    for path in DOCUMENTS:
        text = path.read_text()
        quoted = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^ {4}(.+)$", text, re.MULTILINE)
        for line in quoted:
            for part in re.split(r"&&|\|\||[;|]", line):
                words = part.split()
                if words and words[0] in PROGRAMS:
                    commands.add(tuple(words))
    return sorted(commands)


@pytest.mark.parametrize("words", named_commands(), ids=" ".join)
def test_command_in_a_document_is_one(words: tuple[str, ...]) -> None:
    program, *rest = words
    verbs = list(itertools.takewhile(lambda word: re.fullmatch(r"[a-z][a-z-]*", word), rest))
    asked = [str(Path(sys.executable).parent / program), *verbs, "--help"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    for option in re.findall(r"(?<=\s)--[a-z-]+", " ".join(words)):
        assert option in done.stdout, f"{program} has no {option}"
