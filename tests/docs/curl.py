"""As much of curl as the documents use: a machine may have none. It prints the body of the answer."""

from __future__ import annotations

import argparse
import http.client
import ssl
import sys
from pathlib import Path


def main() -> None:
    """Asks once, in plain HTTP unless the URL says https."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("url")
    parser.add_argument("-s", action="store_true", help="it says nothing anyway")
    parser.add_argument("-X", dest="method")
    parser.add_argument("--cacert")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", "--data-binary", dest="body")
    asked = parser.parse_args()
    body = None
    if asked.body is not None:
        body = Path(asked.body[1:]).read_bytes() if asked.body.startswith("@") else asked.body.encode()
    headers = {"content-type": "application/x-www-form-urlencoded"} if body is not None else {}  # as curl does
    headers |= {name.lower(): value for name, _, value in (header.partition(": ") for header in asked.headers)}
    scheme, _, rest = asked.url.rpartition("://")
    host, _, target = rest.partition("/")
    if scheme == "https":
        believed = ssl.create_default_context(cafile=asked.cacert)
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, timeout=30, context=believed)
    else:
        connection = http.client.HTTPConnection(host, timeout=30)
    connection.request(asked.method or ("GET" if body is None else "POST"), f"/{target}", body, headers)
    sys.stdout.buffer.write(connection.getresponse().read())


if __name__ == "__main__":
    main()
