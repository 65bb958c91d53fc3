"""Strava's part of the work: grants, polls, history, wishes from webhooks.

    wish ──┐
    poll ──┼─ line (lease, fresh token, budget) ─→ Strava ─→ rows ─→ decide, one transaction
    past ──┘

`turn` is one turn of it all. `line` is the only way to Strava for an athlete's activities: it
holds the lease, refreshes, counts every call and asks once more after a 401. `sync` reads what's
new and the past, `wishes` does what webhooks asked for, `grants` connects and disconnects. Nothing
here sleeps: what can't be done now is a row with a later due date.
"""
