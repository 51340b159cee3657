"""Proof by fire: a simulated cluster of real engines and real stores, and what judges it.

    plan, draw            what one run does, and how it is drawn from its seed
    cluster, genesis      the event heap, faults, healing, quiescence; how every run begins
    hardware, disk        what outlives a process; the crashing dict under the real store
    process, forces       the simulated shell of one node: turns, gated effects, and its writes
    network, lies         links that delay, break, stall, and deliver late; a peer that lies
    damage                old backups, flipped bits, archives, operators
    clients               what people do to it, and the history of what they were told
    hearing               who hears what processes report
    model                 the naive model: the whole exchange as a few functions over dicts
    checkers              one class per property
    counters              rare states that a campaign must have reached
    campaign, guarantees  many runs, over processes; the document that they write
    script                a cluster driven by hand, for regressions
    machine, stories      Hypothesis state machines over the cluster, and their campaign
    planted               bugs that must be caught, as (file, old text, new text)
    mutants, hunt         plants them; runs seeds until one fails
    images, sweep, chaos  real nodes: power cuts, a fault at each call, faults at random
    hostile               real nodes: input that nobody would send

`docs/testing.md` tells how to replay a seed and how to add a fault.
"""
