"""Replay: a recorded history run again through the very policies that send, and what two senders make of it compared.
Pure: no clock, no network, no randomness; the same history gives the same bytes.
"""
