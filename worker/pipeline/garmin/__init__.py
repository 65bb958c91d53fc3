"""Garmin's part of the work: keys, polls, history, original files.

    poll ──┐
    past ──┼─ line (lease, token, a call a second) ─→ Garmin ─→ rows, files ─→ decide
    file ──┘

`turn` is one turn of it all. `line` is the only way to Garmin for an athlete's activities: it
holds the lease, exchanges the key, waits for its moment and asks once more after a 401. `sync`
reads what's new and the past, `keep` keeps it, `files` fetches the original files that are yet to
be read, `grants` connects and disconnects. What's new is read whole before it's judged, its file
first; of the past the summaries come at once, and the files one by one, newest first.
"""
