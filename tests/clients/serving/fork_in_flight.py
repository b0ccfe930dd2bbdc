"""Patched by gevent: forks while a request is under way, and both sides go on. Prints what became of each side.

Arguments: the gateway's address, a spool, a campaign, a file that exists once the request is under way.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402 - what is imported before is not patched
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

from dmp_client import DmpClient  # noqa: E402

url, spool, campaign, under_way = sys.argv[1:]
dmp = DmpClient(url, spool=spool, source="test")
for _ in range(100):
    dmp.track("click", campaign_id=campaign)
while not Path(under_way).exists():
    time.sleep(0.01)  # between two looks for the file
child = os.fork()
for _ in range(20):
    dmp.track("view", campaign_id=campaign)
answered = dmp.flush(30)
health = dmp.health()
said = f"{answered} {health.accepted} {health.duplicates} {health.failures}"
if child == 0:
    print("child", said, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent", said, flush=True)
dmp.close()
