"""Tests of the parts that send: liveness, journal, roster, diary, delivery."""
