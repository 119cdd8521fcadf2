"""All peers by name."""

from yourface_tfds.peers import (
  other_peers,
  own_peers,
  peer,
  record_peers,
  tf_peers,
  torch_peers,
)

PEERS: dict[str, peer.Peer] = {
  one.name: one
  for one in (
    *own_peers.PEERS,
    *tf_peers.PEERS,
    *torch_peers.PEERS,
    *record_peers.PEERS,
    *other_peers.PEERS,
  )
}
