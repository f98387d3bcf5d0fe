"""Auditing: exports that add up, mails proved by their digest, sends judged again, senders held beside each other."""
