#!/usr/bin/env python3
"""`healthcheck URL`: exit with 0 if a GET of the URL answers 200, else with 1 and the reason.

For the health checks of the images, which have no other HTTP client. Standard library only, without proxies.
"""

import http.client
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 8.0
SHOWN_BYTES = 500


def main(url: str) -> int:
    """Send one request; the exit status."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT_S) as answer:
            return 0 if answer.status == 200 else _refuse(f"status {answer.status}")
    except urllib.error.HTTPError as error:
        return _refuse(f"status {error.code}: {error.read(SHOWN_BYTES).decode('utf-8', 'replace')}")
    except (OSError, http.client.HTTPException) as error:
        return _refuse(f"{type(error).__name__}: {error}")


def _refuse(reason: str) -> int:
    print(f"not healthy: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: healthcheck URL")
    sys.exit(main(sys.argv[1]))
