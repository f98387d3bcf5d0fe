"""The seal: a Merkle tree over the events, checkpoints that sign it, and proofs that need neither database nor us."""
