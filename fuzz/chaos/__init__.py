"""Chaos: real processes, real sockets, real LMDB; everything checked from outside only.

    relay     stands before every node: cuts, slows and breaks links, told apart by who dials
    plan      which fault comes when, from the seed alone
    faults    how a fault is done and undone
    workload  many traders, and a history of every request: ok, refused or unknown
    verdict   what must be true once everything is healed
    run       puts them together

The plan depends on the seed alone; what the processes make of it also on the machine.
"""
