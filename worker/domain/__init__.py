"""Pure rules and arithmetic over runs: no clock, no disk, no network."""
