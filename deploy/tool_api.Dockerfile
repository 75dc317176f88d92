# The example tool API: `docker build -f deploy/tool_api.Dockerfile .`
#
# It writes nothing at all, and runs as user 10001.

# The base by digest (the multi-platform index of 2026-10-01). Another one: --build-arg BASE=...
ARG BASE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${BASE} AS environment
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY deploy/requirements/examples.txt /locks/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-deps --require-hashes --only-binary :all: -r /locks/examples.txt

FROM environment AS bill
# What the image holds (CycloneDX) and the licences of it, read from the environment that is copied into the image.
COPY deploy/requirements/bill.txt /locks/
RUN python3 -m venv /opt/bill \
    && /opt/bill/bin/pip install --no-deps --require-hashes --only-binary :all: -r /locks/bill.txt \
    && mkdir /bill \
    && /opt/bill/bin/cyclonedx-py environment --output-reproducible --output-file /bill/sbom.cdx.json \
        /opt/venv/bin/python \
    && /opt/bill/bin/pip-licenses --python /opt/venv/bin/python --format plain-vertical --with-urls \
        --with-license-file --no-license-path --output-file /bill/THIRD_PARTY_NOTICES

FROM ${BASE}
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin alpha-umi
COPY --from=environment /opt/venv /opt/venv
COPY --from=bill /bill /usr/share/doc/alpha-umi
COPY deploy/healthcheck.py /usr/local/bin/healthcheck
COPY examples /opt/alpha-umi/examples
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TMPDIR=/tmp
WORKDIR /opt/alpha-umi
USER 10001:10001
EXPOSE 8010
HEALTHCHECK --interval=15s --timeout=10s --retries=3 --start-period=1m \
    CMD healthcheck http://127.0.0.1:8010/openapi.json
CMD ["python", "-m", "examples.tool_api", "--host", "0.0.0.0", "--port", "8010"]
