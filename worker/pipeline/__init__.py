"""The work in order: take in, ingest, deliver.

    inbox ──┐
    import ─┼─ take in ──→ recordings ─→ ingest ─┬─→ runs, findings ─┐
    sync ───┘  (no transaction open)             └─→ queued mail ────┴─ one commit
                                       weekly ─────→ queued mail
                                                         │
                                                      deliver ──→ mail server

*Take in* uses the network and the disk. *Ingest* is one transaction: runs, findings and the mail
about them are saved together or not at all. *Deliver* claims a mail, sends it and records the
answer. Each of them can be killed at any point and called again, because each mail has a key and
is queued once. None of them reads the clock: `now` is passed in.
"""
