"""A mail as a page: its HTML with the pictures inside it, to be looked at in a browser."""

from base64 import b64encode

from worker.model import Email


def standalone(email: Email) -> str:
    """The HTML part with each `cid:` picture written into it; it asks the network for nothing."""
    html = email.html
    for name, png in email.images:
        html = html.replace(f"cid:{name}", f"data:image/png;base64,{b64encode(png).decode()}")
    return html
