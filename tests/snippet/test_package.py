"""The package: small, the same as its source, and no harm where there is no page."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from dmp_stack.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
SNIPPET = ROOT / "clients" / "js"
SOURCES = sorted((SNIPPET / "src").glob("*.js"))
SCRIPT = (SNIPPET / "bundle" / "dmp.js").read_bytes()


def node() -> str:
    """The program, as the console's installer finds or brings it."""
    program = "import build, pathlib, sys; print(build.node_and_npm(pathlib.Path(sys.argv[1]))[0])"
    found = subprocess.run(
        [sys.executable, "-c", program, Path(sys.prefix) / "console"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "console"), "PATH": "/usr/bin:/bin:/usr/local/bin"},
    )
    return found.stdout.strip()


def test_the_script_that_is_served_is_made_of_the_sources(tmp_path: Path) -> None:
    packages = Path(sys.prefix) / "console" / "node_modules"
    subprocess.run([node(), SNIPPET / "build.mjs", packages, tmp_path], check=True)
    assert (tmp_path / "dmp.js").read_bytes() == SCRIPT, "run `make snippet`"
    assert gzip.decompress((SNIPPET / "bundle" / "dmp.js.gz").read_bytes()) == SCRIPT


def test_the_script_is_less_than_three_kilobytes() -> None:
    assert (SNIPPET / "bundle" / "dmp.js.gz").stat().st_size < 3000


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_source_is_short_prevents_nothing_and_reads_no_value(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= 300
    forbidden = r"preventDefault|stop(Immediate)?Propagation|innerHTML|\beval\(|\.value\b|document\.cookie|https?://"
    assert re.findall(forbidden, text) == []


def test_where_there_is_no_page_it_does_nothing() -> None:
    module = (SNIPPET / "src" / "main.js").as_uri()
    program = f"const {{ default: dmp }} = await import('{module}'); dmp('start', {{}}); dmp('track', 'view');"
    done = subprocess.run([node(), "--input-type=module", "-e", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_package_has_what_it_names() -> None:
    package = json.loads((SNIPPET / "package.json").read_text("utf-8"))
    for file in (*package["files"], package["main"], package["types"], package["exports"]["./dmp.js"], "README.md"):
        assert (SNIPPET / file).exists(), file
    assert "dependencies" not in package
    assert (SNIPPET / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert f'version = "{package["version"]}"' in (SNIPPET / "src" / "main.js").read_text("utf-8")


def test_every_command_and_option_has_its_type() -> None:
    types = (SNIPPET / "dmp.d.ts").read_text("utf-8")
    described = set(re.findall(r'\(command: "(\w+)"', types))
    main = (SNIPPET / "src" / "main.js").read_text("utf-8")
    commands = main[main.index("const COMMANDS") : main.index("function dmp(")]
    assert described == {"start", *re.findall(r"^  (\w+)(?:[:(,])", commands, re.MULTILINE)}
    read = set(re.findall(r"options\.(\w+)", main + (SNIPPET / "src" / "settings.js").read_text("utf-8")))
    options = types[types.index("interface Options") : types.index("export interface Dmp")]
    assert read == set(re.findall(r"^  (\w+)\??:", options, re.MULTILINE))


def test_the_gateway_serves_it_to_pages_of_any_origin(stack: Stack) -> None:
    with httpx.Client(base_url=stack.http_url, trust_env=False) as api:
        for coding, expected in (("gzip", "gzip"), ("identity", None)):
            answer = api.get("/dmp.js", headers={"accept-encoding": coding, "origin": "https://shop.example"})
            assert (answer.status_code, answer.content) == (200, SCRIPT)
            assert answer.headers.get("content-encoding") == expected
            assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
            assert answer.headers["cache-control"] == "public, max-age=3600"
        example = api.get("/console/example")
        policy = example.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        for link in re.findall(r'(?:src|href)="(/[^"#]*)', example.text):
            assert api.get(link).status_code == 200, link
        assert api.get("/dmp.js?key=1").status_code == 400
        assert api.head("/dmp.js").status_code == 200
