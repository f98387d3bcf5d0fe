"""Tests of rendering, building and reading back a mail."""
