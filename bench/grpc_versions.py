"""Measure what one unary gRPC call costs an asyncio server, by grpcio version, event loop and start-up setting.

The server is what every DMP service is at its core: one process, one event loop, `grpc.aio`, here with a handler
that does nothing (bytes in, no bytes out, no stubs, no interceptors). The caller is compiled (`h2load` of nghttp2,
Debian package `nghttp2-client`) and keeps a fixed number of streams open on one clear-text HTTP/2 connection over
loopback, as the gateway does.

    python bench/grpc_versions.py --cpu 0 --versions 1.78.0 1.80.0 1.85.1
    python bench/grpc_versions.py --cpu 0 --versions 1.78.0 --loops uvloop \
        --setups GRPC_ENABLE_FORK_SUPPORT=0 GRPC_POLL_STRATEGY=poll grpc.http2.bdp_probe=0

Each version gets a virtual environment of its own (`python -m venv` and pip) in a temporary directory, or in
`--venvs`, where the next run finds it again. A *variant* is one version on one loop with one setup. A setup is a
comma-separated list of `NAME=value`: names that start with `grpc.` are server options, all others are environment
variables; the variant without any setup is always measured too. A *case* is a payload size and a number of streams.

Each round starts a fresh server process for every variant and then, case by case, loads them in turn (A B C), so that
a slow minute of the machine falls on all variants alike; servers that wait cost nothing. A run is a fixed number of
calls, chosen from a short warm-up so that it lasts about `--seconds`; it counts only if h2load saw every call succeed
and the handler saw every call and every byte.

`--cpu` keeps caller and servers on one CPU. On a virtual machine that is the way to compare: waking a halted second
CPU goes through the host, and that cost lands in the CPU time of whoever wakes, larger and more variable than the
differences sought. It is also close to a machine that is busy anyway. Without it the figures are those of an idle
machine with CPUs to spare.

Reported, per variant and case:

cpu_us   user + system CPU time of the whole server process (all its threads) per call, in microseconds
calls_s  calls per second, from h2load; with `--cpu`, or few CPUs, the caller competes with the server for them
ratio    cpu_us divided by that of the reference in the same round: the first version without setup, same loop;
         below 1 is cheaper. The brackets hold the lowest and the highest round.

All figures are medians over the rounds. A second table gives uvloop's cpu_us over asyncio's, where both were run.
`--json` writes every single run, the medians and the versions of what was measured.

Cost: rounds x variants x cases x (seconds + about 0.5 s). It loads at most two CPUs and only loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_METHOD = "/dmp.bench.v1.Empty/Call"
_WARM_UP_CALLS = 500
_FINISHED = re.compile(r"^finished in \S+, (?P<rate>[0-9.]+) req/s", re.MULTILINE)
_SUCCEEDED = re.compile(r"(?P<succeeded>\d+) succeeded, 0 failed, 0 errored, 0 timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to run the server; `setup` is empty or `NAME=value,...` as on the command line."""

    version: str
    loop: str
    setup: str

    @property
    def label(self) -> str:
        return " ".join(part for part in (self.version, self.loop, self.setup) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One load: `streams` calls in flight on one connection, each with `payload_bytes` of request message."""

    payload_bytes: int
    streams: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One measurement of one case against one server process."""

    round: int
    variant: Variant
    case: Case
    calls: int
    cpu_us: float
    calls_s: float
    load_average: float


# -- the server process


async def serve(options: Sequence[tuple[str, int | str]]) -> None:
    """Serve on a free loopback port until standard input ends.

    Writes one JSON line when ready (port, installed versions) and one for every line read (calls, bytes and CPU
    seconds so far), so that counting costs nothing between the readings.
    """
    # Only the server's own interpreter has grpcio; the one that runs the rounds need not.
    import grpc

    calls = 0
    received_bytes = 0

    async def answer_empty(request: bytes, _context: object) -> bytes:
        nonlocal calls, received_bytes
        calls += 1
        received_bytes += len(request)
        return b""

    service, method = _METHOD.strip("/").split("/")
    server = grpc.aio.server(options=list(options))
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        method: grpc.unary_unary_rpc_method_handler(answer_empty)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    loop = type(asyncio.get_running_loop())
    ready = {"port": port, "grpcio": grpc.__version__, "loop": f"{loop.__module__}.{loop.__qualname__}"}
    print(json.dumps(ready), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        reading = {"calls": calls, "bytes": received_bytes, "cpu_s": time.process_time()}
        print(json.dumps(reading), flush=True)
    await server.stop(None)


def run_server(loop: str, options: Sequence[tuple[str, int | str]]) -> None:
    if loop == "uvloop":
        import uvloop

        uvloop.run(serve(options))
    else:
        asyncio.run(serve(options))


def split_setup(setup: str) -> tuple[dict[str, str], list[tuple[str, int | str]]]:
    """Return a setup's environment variables and its server options; whole numbers become integers."""
    environment: dict[str, str] = {}
    options: list[tuple[str, int | str]] = []
    for item in filter(None, setup.split(",")):
        name, _, value = item.partition("=")
        if name.startswith("grpc."):
            options.append((name, int(value) if value.isdecimal() else value))
        else:
            environment[name] = value
    return environment, options


# -- the rounds


class Server:
    """A running server process and the one question it answers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.facts = self._read()
        self.url = f"http://127.0.0.1:{self.facts['port']}{_METHOD}"

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the server ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def totals(self) -> tuple[int, int, float]:
        """Return calls, request bytes and CPU seconds since the process began."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._read()
        return answer["calls"], answer["bytes"], answer["cpu_s"]


def make_venv(directory: Path, version: str) -> str:
    """Return the interpreter of an environment with that grpcio and the newest uvloop, made if it is not there."""
    venv = directory / f"grpc-{version}"
    python = str(venv / "bin" / "python")
    if not list(venv.glob("lib/python*/site-packages/uvloop")):
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
        subprocess.run([*pip, f"grpcio=={version}", "uvloop"], check=True)
    return python


@contextmanager
def running_server(python: str, variant: Variant) -> Iterator[Server]:
    environment, _ = split_setup(variant.setup)
    command = [python, __file__, "--serve", variant.loop, "--setups", variant.setup]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment
    ) as process:
        try:
            server = Server(process)
            if server.facts["grpcio"] != variant.version:
                raise SystemExit(f"{variant.label}: the environment holds grpcio {server.facts['grpcio']}")
            yield server
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=10)
        finally:
            process.kill()


def load(url: str, body: Path, *, streams: int, calls: int) -> float:
    """Send `calls` calls, `streams` at a time, over one connection; return calls per second. All must succeed."""
    command = ["h2load", "--clients=1", f"--max-concurrent-streams={streams}", f"--requests={calls}", f"--data={body}"]
    command += ["--header=content-type: application/grpc", "--header=te: trailers", url]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    finished, succeeded = _FINISHED.search(output), _SUCCEEDED.search(output)
    if finished is None or succeeded is None or int(succeeded["succeeded"]) != calls:
        raise SystemExit(f"h2load did not complete {calls} calls:\n{output}")
    return float(finished["rate"])


def measure(server: Server, variant: Variant, case: Case, body: Path, *, round_number: int, seconds: float) -> Run:
    rate = load(server.url, body, streams=case.streams, calls=_WARM_UP_CALLS)
    calls = max(_WARM_UP_CALLS, round(rate * seconds))
    calls_before, bytes_before, cpu_before = server.totals()
    rate = load(server.url, body, streams=case.streams, calls=calls)
    calls_after, bytes_after, cpu_after = server.totals()
    if (calls_after - calls_before, bytes_after - bytes_before) != (calls, calls * case.payload_bytes):
        raise SystemExit(f"{variant.label}: the handler did not see all of {calls} calls of {case.payload_bytes} bytes")
    return Run(
        round=round_number,
        variant=variant,
        case=case,
        calls=calls,
        cpu_us=(cpu_after - cpu_before) / calls * 1e6,
        calls_s=rate,
        load_average=os.getloadavg()[0],
    )


def write_body(directory: Path, payload_bytes: int) -> Path:
    """Write one gRPC message: the five-byte frame header (not compressed, length) and the payload."""
    body = directory / f"body-{payload_bytes}"
    body.write_bytes(b"\0" + payload_bytes.to_bytes(4, "big") + os.urandom(payload_bytes))
    return body


def run_rounds(arguments: argparse.Namespace, variants: Sequence[Variant], cases: Sequence[Case]) -> list[Run]:
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="grpc-versions-") as temporary:
        directory = Path(temporary)
        venvs = arguments.venvs or directory
        pythons = {version: make_venv(venvs, version) for version in arguments.versions}
        bodies = {size: write_body(directory, size) for size in arguments.payloads}
        for round_number in range(1, arguments.rounds + 1):
            print(f"round {round_number} of {arguments.rounds}", file=sys.stderr)
            with ExitStack() as stack:
                servers = [(v, stack.enter_context(running_server(pythons[v.version], v))) for v in variants]
                for case, (variant, server) in itertools.product(cases, servers):
                    body = bodies[case.payload_bytes]
                    runs.append(
                        measure(server, variant, case, body, round_number=round_number, seconds=arguments.seconds)
                    )
    return runs


# -- the tables


def cpu_ratios(runs: Sequence[Run], variant: Variant, reference: Variant, case: Case) -> list[float]:
    """Return, round by round, the CPU per call of `variant` over that of `reference`."""
    cpu_us = {(run.round, run.variant): run.cpu_us for run in runs if run.case == case}
    rounds = sorted({number for number, _ in cpu_us})
    return [cpu_us[number, variant] / cpu_us[number, reference] for number in rounds]


def summarise(runs: Sequence[Run], variants: Sequence[Variant], cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Return one row per case and variant, with medians over the rounds."""
    rows: list[dict[str, Any]] = []
    for case, variant in itertools.product(cases, variants):
        own = [run for run in runs if run.case == case and run.variant == variant]
        reference = Variant(version=variants[0].version, loop=variant.loop, setup="")
        ratios = cpu_ratios(runs, variant, reference, case)
        row = asdict(case) | asdict(variant)
        row |= {"cpu_us": statistics.median(run.cpu_us for run in own)}
        row |= {"calls_s": statistics.median(run.calls_s for run in own)}
        row |= {"ratio": statistics.median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios)}
        other = Variant(version=variant.version, loop="asyncio", setup=variant.setup)
        if variant.loop == "uvloop" and other in variants:
            row["uvloop_over_asyncio"] = statistics.median(cpu_ratios(runs, variant, other, case))
        rows.append(row)
    return rows


def print_tables(rows: Sequence[dict[str, Any]]) -> None:
    width = max(len(f"{row['version']} {row['setup']}") for row in rows)
    print(f"{'payload':>8} {'streams':>7}  {'loop':8} {'grpcio':{width}} {'cpu_us':>8} {'calls_s':>8}  ratio")
    for row in rows:
        print(
            f"{row['payload_bytes']:8} {row['streams']:7}  {row['loop']:8}"
            f" {row['version'] + ' ' + row['setup']:{width}} {row['cpu_us']:8.1f} {row['calls_s']:8.0f}"
            f"  {row['ratio']:.2f} [{row['ratio_low']:.2f} {row['ratio_high']:.2f}]"
        )
    if any("uvloop_over_asyncio" in row for row in rows):
        print(f"\n{'payload':>8} {'streams':>7}  {'grpcio':{width}} uvloop / asyncio")
    for row in rows:
        if "uvloop_over_asyncio" in row:
            name = f"{row['version']} {row['setup']}"
            print(f"{row['payload_bytes']:8} {row['streams']:7}  {name:{width}} {row['uvloop_over_asyncio']:.2f}")


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--versions", nargs="+", default=["1.78.0"], help="grpcio versions; the first is the reference")
    parser.add_argument("--loops", nargs="+", default=["uvloop", "asyncio"], choices=["uvloop", "asyncio"])
    parser.add_argument("--setups", nargs="*", default=[], help="comma-separated NAME=value, one variant each")
    parser.add_argument("--payloads", nargs="+", type=int, default=[200, 300 * 1024], help="bytes of request message")
    parser.add_argument("--streams", nargs="+", type=int, default=[1, 16, 64], help="calls in flight")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="aimed length of one run")
    parser.add_argument("--cpu", type=int, help="keep caller and servers on this one CPU")
    parser.add_argument("--venvs", type=Path, help="keep the environments in this directory")
    parser.add_argument("--json", type=Path, help="write all runs and medians to this file")
    parser.add_argument("--serve", choices=["uvloop", "asyncio"], help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    arguments = parse_arguments(argv)
    if arguments.serve:
        run_server(arguments.serve, split_setup(",".join(arguments.setups))[1])
        return
    if shutil.which("h2load") is None:
        raise SystemExit("h2load is missing: install the package nghttp2-client")
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    setups = ["", *arguments.setups]
    variants = [
        Variant(version=version, loop=loop, setup=setup)
        for loop, setup, version in itertools.product(arguments.loops, setups, arguments.versions)
    ]
    cases = [Case(payload_bytes=p, streams=s) for p, s in itertools.product(arguments.payloads, arguments.streams)]
    runs = run_rounds(arguments, variants, cases)
    rows = summarise(runs, variants, cases)
    print_tables(rows)
    if arguments.json:
        machine = {"python": platform.python_version(), "system": platform.platform(), "cpus": os.cpu_count()}
        report = {"machine": machine, "cpu": arguments.cpu, "medians": rows, "runs": [asdict(run) for run in runs]}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
