"""A file reader shared by all tests of a process, so that its child process starts once.

services = with_shared_reader(build_services(settings, None))
"""

from dataclasses import replace
from functools import cache

from worker.pipeline.services import Services
from worker.sources.folder import Inbox
from worker.sources.formats.child import Reader


@cache
def shared_reader() -> Reader:
    """A real reader in a child process, which ends with this process."""
    return Reader()


def with_shared_reader(services: Services, *, patient: bool = True) -> Services:
    """The same services, with an inbox and sources that use the shared reader."""
    reader = shared_reader()
    return replace(
        services,
        inbox=Inbox(
            services.inbox.folder,
            services.inbox.settings,
            patient=patient,
            read_many=reader.read_many,
            reader=reader,
        ),
        sources={
            name: replace(source, read_file=lambda content, name: reader.read(content, name=name))
            for name, source in services.sources.items()
        },
    )
