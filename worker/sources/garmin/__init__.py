"""Garmin Connect as a source, by the official Personal API: key, token, list, original files.

`grants` is the athlete's key and the token it's exchanged for, `rows` turns the service's JSON and
files into recordings, `refusals` its errors into plain words, `pace` says when the next call may be
made. All of those are pure and light; `client` asks, and brings the HTTP library with it. Nothing
in this room stores anything or sleeps: whoever calls keeps grants, pace and progress.
"""
