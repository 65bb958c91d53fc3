"""The tests: behaviour by name, the real store, fakes only at the ports."""
