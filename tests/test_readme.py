"""The transcript in the README is what the demo prints, but for the numbers."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT, run_document

NODE = "exchange-node --data-dir data --https 127.0.0.1:7443 2> node.log &"


def masked(text: str) -> list[str]:
    """Return the lines of a transcript without what differs from run to run."""
    text = re.sub(r"/\S+/exchange-demo-\w+", "DIRECTORY", text.strip())
    return [re.sub(r"\d+(?:\.\d+)?", "N", line) for line in text.splitlines()]


def test_demo_goes_as_the_readme_tells() -> None:
    """It kills a node and proves that nothing is lost: exit code 0."""
    (told,) = re.findall(
        r"^```\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    demo = [str(Path(sys.executable).parent / "exchange"), "demo"]
    done = subprocess.run(demo, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert masked(told) == masked(done.stdout)


def test_what_the_readme_types_reaches_a_trade(tmp_path: Path) -> None:
    """The first five minutes: two accounts, two orders that cross, and the tape shows it."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    page = tmp_path / "README.md"
    page.write_text(f"```console\n$ {NODE}\n```\n{(ROOT / 'README.md').read_text()}")

    said = run_document(page, tmp_path)

    trades = [line for line in said.splitlines() if "187.5" in line and " 4 " in line]
    assert trades, said
    assert '"asks":[["187.5","6",1]]' in said


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_readme_names_what_a_fresh_clone_can_do(command: str) -> None:
    """Both are what people type first."""
    assert f"`{command}`" in (ROOT / "README.md").read_text()
