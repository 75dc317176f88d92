#!/usr/bin/env bash
# Writes the lock files in deploy/requirements anew, from pyproject.toml: hashes, no addresses.
#
#     UV_FIND_LINKS=FOLDER deploy/lock.sh                     all of them
#     UV_FIND_LINKS=FOLDER deploy/lock.sh dev role-cpu        some of them, in this order
#
# Needs uv 0.11.1 or newer (UV names another one; older ones read "7 days" as a date). FOLDER, or an address, has the
# wheel of the CPU build of torch, whose version no ordinary index knows; torch-cpu.txt, which holds only that wheel's
# hash, is written by hand. LOCKS names another folder to write to. A lock that exists keeps the versions that still
# fit; without it the newest are taken.
#
# dev.txt takes only versions that have been public for a week (COOLDOWN changes that). It constrains every other lock,
# so that the images get the versions that the tests ran with; only the GPU image's accelerator libraries are free, as
# the CUDA builds go with versions of their own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

UV=${UV:-uv}
LOCKS=${LOCKS:-deploy/requirements}
COOLDOWN=${COOLDOWN:-7 days}
# What [tool.uv] excludes, but for torch's companions: with CUDA they are published, and vLLM imports them.
GPU_EXCLUDES=(llm llama-cpp-python fastapi-cloud-cli sentry-sdk)
# Everything that runs here without a GPU.
TESTED=(serving engine-cpu orchestrator embedded examples training evaluation dev)
ACCELERATOR='apache-tvm-ffi|setuptools|torch|triton'

compile() { # compile LOCK SOURCE [option ...]
    local lock=$1 source=$2
    shift 2
    "$UV" pip compile "$source" --quiet --output-file "$LOCKS/$lock.txt" \
        --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
        --python-version 3.11 --python-platform x86_64-manylinux_2_36 --only-binary :all: "$@"
}

tested() { # the tested versions, but for those of the packages that match a pattern
    grep -oE '^[a-z0-9._-]+==[^ ]+' "$LOCKS/dev.txt" | grep -vE "^($1)=="
}

lock() {
    case $1 in
        dev)
            compile dev pyproject.toml "${TESTED[@]/#/--extra=}" --no-emit-package torch \
                --exclude-newer "$COOLDOWN"
            ;;
        build) compile build <(build_requirements) --constraint "$LOCKS/dev.txt" ;;
        orchestrator) compile orchestrator pyproject.toml --extra orchestrator --constraint "$LOCKS/dev.txt" ;;
        examples) compile examples pyproject.toml --extra examples --constraint "$LOCKS/dev.txt" ;;
        fuzz) compile fuzz pyproject.toml --extra fuzz --constraint "$LOCKS/dev.txt" ;;
        bill) compile bill <(extra bill) --constraint "$LOCKS/dev.txt" ;;
        # Its checker needs nothing of what the package asks for, and its versions are not ours.
        bfcl) compile bfcl <(extra bfcl) --no-deps ;;
        # Suites and clients of the standard interfaces; their versions are not ours.
        conformance) compile conformance <(extra conformance) ;;
        benchmarks) compile benchmarks pyproject.toml --extra benchmarks --constraint "$LOCKS/dev.txt" ;;
        role-cpu)
            compile role-cpu pyproject.toml --extra serving --extra engine-cpu --extra embedded \
                --no-emit-package torch --constraint "$LOCKS/dev.txt"
            ;;
        role-gpu)
            # Without UV_FIND_LINKS: the CPU build counts as newer than the CUDA build of the same version.
            UV_FIND_LINKS= compile role-gpu pyproject.toml --extra serving --extra engine-gpu --no-config \
                --excludes <(printf '%s\n' "${GPU_EXCLUDES[@]}") \
                --constraint <(tested "$ACCELERATOR") --constraint <(echo 'cuda-python>=13')
            ;;
        *)
            echo "lock.sh: there is no lock $1; choose from dev build orchestrator examples benchmarks bfcl conformance bill fuzz role-cpu role-gpu" >&2
            exit 2
            ;;
    esac
}

build_requirements() {
    "${PYTHON:-python3}" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")'
}

extra() {
    "${PYTHON:-python3}" -c 'import sys, tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"][sys.argv[1]], sep="\n")' "$1"
}

[ $# -gt 0 ] || set -- dev build orchestrator examples benchmarks bfcl conformance bill fuzz role-cpu role-gpu
for name in "$@"; do
    lock "$name"
done
