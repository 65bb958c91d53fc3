"""A cluster worker that does what is due and exits, so that a test knows when it has ended."""

import asyncio

from procrastinate.manager import JobManager

from worker.jobs.cluster import ClusterWorker, queue_connection
from worker.jobs.cluster_tasks import WorkerContext, app_of, defer, queued_check

_PAUSE_S = 0.02


class DrainingWorker(ClusterWorker):
    """One whole pass instead of a session: each job in the list's order."""

    def drain(self) -> None:
        """Run everything that is due, once and in order, beside other workers; then leave."""
        with self._joined() as context:
            asyncio.run(self._drain(context))

    async def _drain(self, context: WorkerContext) -> None:
        async with queue_connection(context.services.store) as connector:
            app = app_of(context, connector, periodic=False)
            for job in context.jobs:
                if job.reports:
                    continue
                await defer(app.job_manager, [queued_check(job)])
                while await _is_open(app.job_manager):
                    await self._rescue(app.job_manager)
                    await app.run_worker_async(
                        wait=False,
                        concurrency=self._timing.local_at_once,
                        install_signal_handlers=False,
                        listen_notify=False,
                        delete_jobs="always",
                        stalled_worker_timeout=self._timing.stale_s,
                        update_heartbeat_interval=self._timing.heartbeat_every_s,
                    )
                    # The remaining jobs belong to another worker, or to one that has just died.
                    await asyncio.sleep(_PAUSE_S)


async def _is_open(manager: JobManager) -> bool:
    """True while a task is running or could start."""
    doing = list(await manager.list_jobs_async(status="doing"))
    todo = await manager.list_jobs_async(status="todo")
    return bool(doing) or any(queued.scheduled_at is None for queued in todo)
