"""Other ways to read the same faces, to measure ours against.

The way of a measurement: peer (what a peer is) -> tf_peers, torch_peers,
record_peers, other_peers (the peers) -> registry (all of them by name) ->
child (runs one in its own process). `memory` says what such a process holds,
and `mosaic_streaming` imports a library that asks for more than it uses.

What the peers need is no part of the project: `training/install_peers.sh`
installs what a machine allows. Nothing is imported here.
"""
