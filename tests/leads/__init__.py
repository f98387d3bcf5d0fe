"""Tests of lead files and of the suppression list."""
