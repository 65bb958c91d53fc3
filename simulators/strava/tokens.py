"""OAuth: codes that work once, refresh tokens that are invalid as soon as they're used."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from simulators.strava.accounts import Account

LIFE = timedelta(hours=6)
STILL_GOOD = timedelta(hours=1)
CODE_LIFE = timedelta(minutes=10)


@dataclass
class Access:
    """One access token."""

    token: str
    account: Account
    scopes: frozenset[str]
    expires_at: datetime


@dataclass
class Consent:
    """What one account agreed to. Only one refresh token is valid at any time."""

    account: Account
    scopes: frozenset[str]
    refresh_token: str
    access: Access


@dataclass
class Tokens:
    """All codes, consents and tokens of one application."""

    codes: dict[str, tuple[Account, frozenset[str], datetime]] = field(default_factory=dict)
    consents: dict[int, Consent] = field(default_factory=dict)
    live: dict[str, Access] = field(default_factory=dict)
    spent: set[str] = field(default_factory=set)
    refreshed: int = 0
    made: int = 0

    def _new(self, kind: str) -> str:
        self.made += 1
        return f"{kind}{self.made:06d}".ljust(40, "0")

    def _access(self, account: Account, scopes: frozenset[str], now: datetime) -> Access:
        access = Access(self._new("acc"), account, scopes, now + LIFE)
        self.live[access.token] = access
        return access

    def consent(self, account: Account, scopes: frozenset[str], now: datetime) -> str:
        """Give the account's consent; returns a code that can be exchanged once."""
        code = self._new("cod")
        self.codes[code] = (account, scopes, now + CODE_LIFE)
        return code

    def exchange(self, code: str, now: datetime) -> Consent | None:
        """Exchange a code for tokens; None if it's unknown, used or expired."""
        account, scopes, until = self.codes.pop(code, (None, frozenset(), now))
        if account is None or until <= now:
            return None
        self.revoke(account)
        consent = Consent(account, scopes, self._new("ref"), self._access(account, scopes, now))
        self.consents[account.id] = consent
        return consent

    def refresh(self, token: str, now: datetime) -> Consent | None:
        """Exchange a refresh token, which is then invalid, for new tokens; None if unknown."""
        for consent in self.consents.values():
            if consent.refresh_token == token:
                self.refreshed += 1
                self.spent.add(token)
                consent.refresh_token = self._new("ref")
                if consent.access.expires_at - now <= STILL_GOOD:
                    consent.access = self._access(consent.account, consent.scopes, now)
                return consent
        return None

    def revoke(self, account: Account) -> None:
        """Invalidate all tokens of an account."""
        self.consents.pop(account.id, None)
        self.live = {t: a for t, a in self.live.items() if a.account != account}

    def owner_of(self, token: str) -> Account | None:
        """The account of this access or refresh token."""
        for consent in self.consents.values():
            if token in {consent.refresh_token, consent.access.token}:
                return consent.account
        return None

    def access(self, token: str, now: datetime) -> Access | None:
        """The access that this token grants; None if it's unknown, revoked or expired."""
        found = self.live.get(token)
        return found if found is not None and found.expires_at > now else None
