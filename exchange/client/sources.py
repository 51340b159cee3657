"""Where order flow comes from: a file, gzipped or not, or a seed."""

import gzip
import io
import re
from pathlib import Path

from exchange.client.errors import UsageError, reason
from exchange.client.flow import Flow, FlowError
from exchange.client.flow_file import read_flow
from exchange.client.flow_random import generate
from exchange.domain.names import SYMBOL_MAX

FILE_BYTES_MAX = 1 << 30  # unpacked; a longer file is a mistake or an attack
GZIP_MAGIC = b"\x1f\x8b"


def open_flow(
    file: Path | None,
    *,
    symbol: str | None,
    seed: int,
    instruments: int,
    accounts: int,
    orders: int,
) -> tuple[str, Flow]:
    """Return the name of the source, and its flow; raises UsageError."""
    try:
        if file is None:
            flow = generate(seed=seed, instruments=instruments, accounts=accounts, orders=orders)
            return f"seed {seed}", flow
        text = _read(file)
        return file.name, read_flow(io.StringIO(text), symbol or symbol_of(file), accounts=accounts)
    except FlowError as error:
        place = f"{file}: " if file is not None else ""
        raise UsageError(f"{place}{error}") from error


def symbol_of(file: Path) -> str:
    """Make a symbol of a file's name: `esh4.csv.gz` is ESH4."""
    return re.split(r"[^A-Za-z0-9]", file.name)[0].upper()[:SYMBOL_MAX] or "X"


def _read(file: Path) -> str:
    try:
        with file.open("rb") as raw:
            is_packed = raw.read(2) == GZIP_MAGIC
        with gzip.open(file, "rb") if is_packed else file.open("rb") as data:
            content = data.read(FILE_BYTES_MAX + 1)
    except (OSError, EOFError) as error:
        raise UsageError(f"cannot read {file}: {reason(error)}") from error
    if len(content) > FILE_BYTES_MAX:
        raise UsageError(f"{file} is longer than {FILE_BYTES_MAX} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not text in UTF-8: {error.reason}") from error
