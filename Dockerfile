# Easeback in a container. It writes only to /data, watches /inbox, and reads your own easeback.toml,
# routine.toml and templates/ from /config. All three may be empty.
#
# A tag can be moved to other contents, a digest can't. This digest covers all platforms of the tag, as
# listed in github.com/docker-library/repo-info. To find and use a newer one:
#
#   docker buildx imagetools inspect python:3.13-slim-bookworm --format '{{.Manifest.Digest}}'
#   docker build --build-arg BASE=python:3.13-slim-bookworm@sha256:... .
#
# With compose, set EASEBACK_BASE to the same value.
ARG BASE=python:3.13-slim-bookworm@sha256:cbd229d7b9bd041012af758ce5ffd807a6518d76493ce9035d208f1db9ceff1e

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/tools && python -m venv --without-pip /opt/easeback
COPY requirements-build.lock requirements.lock /build/
# Build tools run code too, so they are pinned as well. They remain in this stage.
RUN /opt/tools/bin/pip install --quiet --require-hashes -r /build/requirements-build.lock \
    && /opt/tools/bin/pip wheel --quiet --require-hashes --no-build-isolation --use-pep517 \
        --wheel-dir /wheels -r /build/requirements.lock
COPY pyproject.toml README.md LICENSE /build/
COPY config /build/config
COPY worker /build/worker
# The environment has no pip, so nothing can be installed into a running container.
RUN /opt/tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels /build \
    && /opt/tools/bin/pip --python /opt/easeback/bin/python install --quiet --no-index --no-deps \
        /wheels/*.whl
# The worker can't write here, so everything is compiled now and not by each process.
RUN /opt/easeback/bin/python -c \
    "from worker.notify.render import TemplateLoader; TemplateLoader().compile()"

FROM ${BASE}
RUN python -m pip uninstall --quiet --yes --root-user-action=ignore pip \
    && rm -rf /usr/local/lib/python3.13/ensurepip \
    && groupadd --gid 10001 easeback \
    && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home \
        --shell /usr/sbin/nologin easeback \
    && install -d -o 10001 -g 10001 -m 0700 /data \
    && install -d -o 10001 -g 10001 /inbox /config
COPY --from=build /opt/easeback /opt/easeback
COPY scripts/healthy.py /opt/easeback/healthy.py
# This is found before the program itself, also by `docker exec`, so the program never runs as root.
COPY --chmod=0755 scripts/easeback-in-container /opt/easeback/as-user/easeback
# config/easeback.toml is looked up in the current folder: from / that is /config/easeback.toml.
WORKDIR /
ENV PATH=/opt/easeback/as-user:/opt/easeback/bin:$PATH \
    HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    EASEBACK_DATA_DIR=/data \
    EASEBACK_INBOX__PATH=/inbox \
    EASEBACK_WEB__HOST=0.0.0.0
VOLUME ["/data", "/inbox", "/config"]
EXPOSE 8765
USER 10001:10001
HEALTHCHECK --interval=2m --timeout=30s --start-period=30s \
    CMD ["python", "/opt/easeback/healthy.py"]
ENTRYPOINT ["easeback"]
CMD ["run"]
