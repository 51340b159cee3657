"""Proof by fire: a simulated cluster of real engines and real stores, and what judges it.

    plan        what one run does, drawn from its seed
    disk        the crashing dict under the real store
    network     links that delay, break, stall, and deliver late
    process     the simulated shell of one node: turns, forces, gated effects
    cluster     the event heap: machines, faults, clocks, quiescence
    clients     what people do to it, and the history of what they were told
    model       the naive model: the whole exchange as a few functions over dicts
    checkers    one class per property
    counters    rare states that a campaign must have reached
    campaign    many runs, over processes
    planted     bugs that must be caught, as (file, old text, new text)
    mutants     runs them
    machine     Hypothesis state machines over the cluster

`docs/testing.md` tells how to replay a seed and how to add a fault.
"""
