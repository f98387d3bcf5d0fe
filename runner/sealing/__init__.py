"""Sealing the log: keys, the file of checkpoints outside the database, and whoever signs, verifies and proves."""
