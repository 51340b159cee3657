"""The transcript in the README is what the demo prints, but for the numbers."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


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
