"""Reading what strace prints."""

from fuzz.images.build import Force, Write
from fuzz.images.record import parse

TRACE = r"""1763.000100 lseek(7, 8192, SEEK_SET) = 8192 <0.000010>
1763.000200 writev(7, [{iov_base="\x61\x62", iov_len=2}, {iov_base="\x63", iov_len=1}], 2) = 3 <0.0>
1763.000300 fdatasync(7)               = 0 <0.000500>
1763.000900 pwrite64(8, "\x64\x65", 2, 16) = 2 <0.000100>
1763.001000 pwrite64(9, "\x66", 1, 0) = 1 <0.000100>
1763.001100 pwrite64(7, "\x66", 1, 0) = -1 ENOSPC (No space left on device) <0.000100>
"""


def test_calls_on_the_file_are_read_with_their_data_and_times() -> None:
    """Other files, and calls that failed, do not count."""
    operations = list(parse(TRACE, {7: False, 8: True}))

    assert operations == [
        Write(1763.0002, 1763.0002, 8192, b"abc", is_synchronous=False),
        Force(1763.0003, 1763.0003 + 0.0005),
        Write(1763.0009, 1763.0009 + 0.0001, 16, b"de", is_synchronous=True),
    ]
