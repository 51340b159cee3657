"""Small files beside the store: whole or not at all, forced, private."""

import os
from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """Replace a file so that a crash leaves the old one or the new one."""
    new = path.with_name(path.name + ".new")
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(file, content)
        os.fsync(file)
    finally:
        os.close(file)
    new.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
