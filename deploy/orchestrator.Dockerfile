# The orchestrator: `docker build -f deploy/orchestrator.Dockerfile .`
#
# At run time only /var/lib/alpha-umi (the event log) and /tmp are written to, by user 10001.

# The base by digest (the multi-platform index of 2026-10-01). Another one: --build-arg BASE=...
ARG BASE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${BASE} AS environment
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY deploy/requirements/build.txt deploy/requirements/orchestrator.txt /locks/
RUN pip install --no-deps --require-hashes --only-binary :all: -r /locks/build.txt \
    && python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-deps --require-hashes --only-binary :all: -r /locks/orchestrator.txt
COPY pyproject.toml README.md LICENSE /source/
COPY alpha_umi /source/alpha_umi
COPY orchestrator /source/orchestrator
RUN pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheels /source \
    && /opt/venv/bin/pip install --no-index --no-deps /wheels/*.whl \
    && rm /opt/venv/bin/alpha-umi

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
RUN useradd --uid 10001 --no-create-home --home-dir /var/lib/alpha-umi --shell /usr/sbin/nologin alpha-umi \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/alpha-umi /var/cache/alpha-umi
COPY --from=environment /opt/venv /opt/venv
COPY --from=bill /bill /usr/share/doc/alpha-umi
COPY deploy/healthcheck.py /usr/local/bin/healthcheck
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/cache/alpha-umi \
    XDG_CACHE_HOME=/var/cache/alpha-umi \
    TMPDIR=/tmp \
    ALPHA_UMI_HOST=0.0.0.0 \
    ALPHA_UMI_PORT=8000 \
    ALPHA_UMI_DATABASE_URL=sqlite:////var/lib/alpha-umi/alpha-umi.db
WORKDIR /var/lib/alpha-umi
USER 10001:10001
EXPOSE 8000
# Whether the process lives: no restart of it would bring back a role service that is down.
HEALTHCHECK --interval=15s --timeout=10s --retries=3 --start-period=1m \
    CMD healthcheck "http://127.0.0.1:${ALPHA_UMI_PORT}/healthz"
CMD ["python", "-m", "orchestrator"]
