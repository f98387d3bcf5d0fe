"""Two sample campaigns, with invented people, for `sendledger demo`."""
