"""One SMTP dialogue at a time with the final dot held back: what a server answered is never guessed."""
