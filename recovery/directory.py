"""A data directory as the recovery tools see it: opened for reading, whatever state it is in.

Nothing is locked and nothing is written: who uses the directory is seen from outside, and the
data file is read page by page (`recovery.pages`).
"""

from pathlib import Path
from typing import Self

import msgspec

from exchange.domain.units import Lsn, NodeId
from exchange.engine.messages import Proof
from exchange.store.directory import IDENTITY, STORE, UNACCEPTED, holder_of
from exchange.store.errors import DamagedTable, NewerFormat, StoreError
from exchange.store.frames import Identity, genesis
from exchange.store.meta import Checkpoint, read_base, read_checkpoint, read_identity
from recovery.disk import PageDisk
from recovery.pages import BadFile, PageFile
from recovery.problems import Problem, printable, problem
from recovery.segments import SUFFIX, LogSource, Segment, find_segments

DATA = "data.mdb"
COORDINATORS = "coordinator"  # what stands for the cluster in the data of a coordinator


class NoDirectory(Exception):  # noqa: N818 - a finding about what the user gave us
    """Nothing can be said about the path; `problem` says why."""

    def __init__(self, found: Problem) -> None:
        super().__init__(found.detail)
        self.problem = found


class DataDirectory:
    """An opened directory.  Close it, or use it in a `with` block."""

    def __init__(self, path: Path, pages: PageFile, identity: Identity) -> None:
        self.path = path
        self.place = printable(str(path))
        self.pages = pages
        self.disk = PageDisk(pages)
        self.identity = identity
        self.log = LogSource(pages)
        self.pid = holder_of(path)  # None: nobody uses it

    @classmethod
    def open(cls, path: Path, *, is_lenient: bool = False) -> Self:
        """Open a directory, or raise NoDirectory; `is_lenient` takes what can be read of it."""
        place = printable(str(path))
        file = data_file(path)
        try:
            pages = PageFile(file, is_lenient=is_lenient)
        except (FileNotFoundError, NotADirectoryError):
            code = "store_missing" if (path / IDENTITY).exists() else "not_a_data_directory"
            raise NoDirectory(problem(code, place, f"there is no {STORE}/{DATA}")) from None
        except OSError as error:
            raise NoDirectory(problem("unreadable", place, str(error.strerror))) from error
        except BadFile as damage:
            raise NoDirectory(problem("page_damaged", place, str(damage))) from damage
        try:
            inside, outside = _identity(pages, place), marked(path)
            if outside not in (None, inside) and not is_lenient:
                assert outside is not None, "it was compared"
                detail = f"the store is of node {inside.node_id}, the file `{IDENTITY}` of node"
                raise NoDirectory(problem("other_store", place, f"{detail} {outside.node_id}"))
            return cls(path, pages, inside)
        except NoDirectory as nothing:
            identity = marked(path) if is_lenient else None
            if identity is None or identity.cluster == COORDINATORS:
                pages.close()
                raise nothing from None
            return cls(path, pages, identity)
        except BaseException:
            pages.close()
            raise

    @property
    def is_accepted(self) -> bool:
        """Tell whether it may serve: not what `recover-node` made, before its operator agrees."""
        return self.pages.path.parent.name != UNACCEPTED

    @property
    def node_id(self) -> NodeId:
        """Return the id of the node whose data it is."""
        return self.identity.node_id

    def base(self) -> Proof:
        """Return the proof behind which the log begins; DamagedTable if it is not readable."""
        if self.log.segments:
            header = self.log.segments[0].header
            return Proof(Lsn(header.base_lsn), bytes.fromhex(header.base_digest))
        return read_base(self.disk, self.identity)

    def add_archive(self, archive: Path) -> None:
        """Read the log from its archived beginning; NoDirectory if the segments are no good."""
        try:
            segments = find_segments(archive, self.node_id)
            if not segments and not any(archive.glob(f"*{SUFFIX}")):
                raise BadFile("there are no segments")
            for segment in segments:
                check_segment(segment, self.identity)
        except (OSError, BadFile, ValueError) as damage:
            place = printable(str(archive))
            raise NoDirectory(problem("archive_damaged", place, str(damage))) from damage
        self.log = LogSource(self.pages, segments)

    def checkpoint(self) -> Checkpoint:
        """Return what the last checkpoint was; DamagedTable if it is not readable."""
        return read_checkpoint(self.disk, self.identity)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pages.close()


def check_segment(segment: Segment, identity: Identity) -> None:
    """Raise BadFile if a segment is of another node, or begins the log with another digest."""
    header = segment.header
    whose = (header.cluster, header.node_id, bytes.fromhex(header.nonce))
    if whose != (identity.cluster, identity.node_id, identity.nonce):
        raise BadFile(f"{segment.path.name} is of another node, or another life of it")
    if not header.base_lsn and bytes.fromhex(header.base_digest) != genesis(identity):
        raise BadFile(f"{segment.path.name} does not begin as this log does")


def data_file(path: Path) -> Path:
    """Return the LMDB file of a data directory, or of a bare environment in a copy."""
    inside = path / STORE / DATA
    if not inside.exists() and (path / UNACCEPTED / DATA).exists():
        return path / UNACCEPTED / DATA
    bare = path / DATA
    return bare if bare.exists() and not inside.exists() else inside


def marked(path: Path) -> Identity | None:
    """Return whose directory it is, if the plain file beside the store says so."""
    try:
        row = msgspec.json.decode((path / IDENTITY).read_bytes())
        nonce, secret = bytes.fromhex(row["nonce"]), bytes.fromhex(row.get("secret", ""))
        return Identity(row["cluster"], NodeId(row["node_id"]), nonce, secret)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _identity(pages: PageFile, place: str) -> Identity:
    try:
        identity = read_identity(PageDisk(pages))
    except NewerFormat as error:
        raise NoDirectory(problem("newer_format", place, error.what)) from error
    except DamagedTable as error:
        raise NoDirectory(problem("identity_damaged", place, error.what)) from error
    except StoreError as error:
        raise NoDirectory(problem("page_damaged", place, error.what)) from error
    if identity is not None and identity.cluster == COORDINATORS:
        detail = "this is the directory of a coordinator; it has no trades"
        raise NoDirectory(problem("not_a_data_directory", place, detail))
    if identity is None:
        raise NoDirectory(problem("identity_damaged", place, "the data file names no owner"))
    return identity
