"""SMTP dialogues over real sockets, with servers that behave and servers that do not."""
