"""Replays of a ledger's histories: reading them, running comparisons, and what the shadow does beside the daemon."""
