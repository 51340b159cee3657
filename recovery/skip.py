"""Find where a MessagePack value ends, in bytes that may be anything.

A frame on pages of its own is followed by whatever stood there before; its length is in the leaf
page, which may be lost.
"""

ITEMS_MAX = 10_000_000  # values in a frame; more is not a frame

_FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0}  # nil, false, true
_FIXED |= {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}  # integers
_FIXED |= {0xCA: 4, 0xCB: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}  # floats, extensions
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}  # bin and str: bytes of size
_NESTED = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}  # array, map: items each


def length_of(data: bytes) -> int | None:
    """Return how many bytes the first value takes; None if it is none, or is cut off."""
    at, left = 0, 1
    for _ in range(ITEMS_MAX):
        if not left:
            return at
        if at >= len(data):
            return None
        head = data[at]
        at += 1
        left -= 1
        if head < 0x80 or head >= 0xE0:
            continue
        if head < 0x90:
            left += 2 * (head & 0x0F)
        elif head < 0xA0:
            left += head & 0x0F
        elif head < 0xC0:
            at += head & 0x1F
        elif head in _FIXED:
            at += _FIXED[head]
        elif head in _SIZED:
            size = _SIZED[head]
            at += size + int.from_bytes(data[at : at + size])
        elif head in _NESTED:
            size, each = _NESTED[head]
            left += each * int.from_bytes(data[at : at + size])
            at += size
        else:
            return None
    return None
