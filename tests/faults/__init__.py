"""Faults: real processes that are killed, stopped and starved at every step of a mail, and what must be true then."""
