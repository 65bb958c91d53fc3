"""The tests: named by behaviour, on the real store, with fakes only at the ports."""
