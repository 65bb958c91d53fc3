"""One reader of files for all that one process of tests makes: its child starts once.

services = with_shared_reader(build_services(settings, None))
"""

from dataclasses import replace
from functools import cache

from worker.pipeline.services import Services
from worker.sources.folder import Inbox
from worker.sources.formats.child import Reader


@cache
def shared_reader() -> Reader:
    """The real one, in a child process of its own, which ends with this process."""
    return Reader()


def with_shared_reader(services: Services, *, patient: bool = True) -> Services:
    """The same works, whose inbox and sources read files by the shared reader."""
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
