"""Crash images: every state of the disk that a power cut could leave of real nodes.

    record    what real nodes write and force, seen from outside with strace, and what their
              clients were told meanwhile
    build     the states that a cut at one instant could leave: pure
    check     node code recovers each of them, and what was acknowledged must be there

What was forced before the cut is there.  Of what was written and not forced, any subset of
its 4 KiB pages or 512-byte sectors may be there.
"""
