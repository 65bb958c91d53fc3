"""intervals.icu: a key, the list of activities, original files. No webhooks.

`client` asks, `parse` turns its JSON into recordings.
"""
