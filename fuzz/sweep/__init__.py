"""Fault sweeps on real nodes: the k-th write or force is where one dies, or where it fails.

points    where and how a call goes wrong, in the words of strace
single    one node that is killed or failed, and started again
cluster   a coordinator and nodes that trade with each other; one is killed at its k-th
          call while the others go on, and perhaps once more while it recovers
"""
