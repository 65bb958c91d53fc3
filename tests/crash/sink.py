"""A mail server that remembers accepted mails and refuses given recipients."""

from dataclasses import dataclass, field
from email import message_from_bytes, policy

from aiosmtpd.smtp import SMTP, Envelope, Session

from simulators.smtp_server import SmtpServer, Taken

NO_SUCH = "nobody@example.org"
GREYLISTED = "ben@example.org"


@dataclass(frozen=True, slots=True)
class Memory:
    """The sink's state so far, to restore later."""

    taken: tuple[Taken, ...] = ()
    tries: int = 0


@dataclass
class Sink(SmtpServer):
    """Refuses `NO_SUCH` for good and `GREYLISTED` the first time; accepts everything else."""

    tries: int = field(default=0)

    async def handle_RCPT(  # noqa: N802  aiosmtpd's name
        self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> str:
        if address == NO_SUCH:
            return "550 5.1.1 no such user"
        if address == GREYLISTED:
            self.tries += 1
            if self.tries == 1:
                return "451 4.7.1 come again later"
        envelope.rcpt_tos.append(address)
        return "250 fine"

    def memory(self) -> Memory:
        return Memory(tuple(self.mails), self.tries)

    def recall(self, memory: Memory) -> None:
        """Restore that state."""
        self.mails[:] = memory.taken
        self.tries = memory.tries


def message_id(taken: Taken) -> str:
    head = message_from_bytes(taken.content, policy=policy.default)
    return str(head["Message-ID"]).strip()
