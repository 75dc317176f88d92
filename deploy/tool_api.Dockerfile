# The example tool API: `docker build -f deploy/tool_api.Dockerfile .`
#
# It writes nothing at all, and runs as user 10001.

# To pin the base by digest: --build-arg BASE=python@sha256:...
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS environment
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY deploy/requirements/examples.txt /locks/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-deps --require-hashes --only-binary :all: -r /locks/examples.txt

FROM ${BASE}
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin alpha-umi
COPY --from=environment /opt/venv /opt/venv
COPY deploy/healthcheck.py /usr/local/bin/healthcheck
COPY examples /opt/alpha-umi/examples
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TMPDIR=/tmp
WORKDIR /opt/alpha-umi
USER 10001:10001
EXPOSE 8010
HEALTHCHECK --interval=15s --timeout=10s --retries=3 --start-period=1m \
    CMD healthcheck http://127.0.0.1:8010/openapi.json
CMD ["python", "-m", "examples.tool_api", "--host", "0.0.0.0", "--port", "8010"]
