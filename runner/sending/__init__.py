"""Sending: one mail by the protocol, a worker a mailbox, the ticks of both senders, and what outlives a crash."""
