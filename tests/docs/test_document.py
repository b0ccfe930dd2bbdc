"""The runner of documents sees what differs."""

from __future__ import annotations

import pytest

from tests.docs.document import Step, blocks_without_test, steps
from tests.docs.printed import Printed

TEXT = """# Title

```python
# first.py
print(1)
```

```python
not_a_file = 1
```

<!-- not run: it never ends -->
```sh
make run
```

```console
$ cat > a.txt <<END
> one
> END
$ cat a.txt
one
```

```sh
forgotten
```
"""


def test_commands_and_files_are_found() -> None:
    assert list(steps(TEXT)) == [
        Step(line=4, file="first.py", text="# first.py\nprint(1)\n"),
        Step(line=18, command="cat > a.txt <<END\none\nEND"),
        Step(line=21, command="cat a.txt", text="one"),
    ]
    assert blocks_without_test(TEXT) == [(25, "sh")]


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        ("done", "done\n"),
        ("user_1 at 2026-02-10T21:10:00Z", "user_19 at 2026-11-28T03:00:00.123Z"),
        ("user_1 user_2 user_1", "user_7 user_8 user_7"),
        ('{"a":1, …}', '{"a":1,"b":[2]}'),
        ('{"a":1,\n "b":2}', '{"a":1,"b":2}'),
        ('{"a":1,"b":"user_1"}', '{"b":"user_9","a":1}'),
        ('{"a":{…},"b":[…],"c":…}', '{"c":[1],"b":[2],"a":{"d":1}}'),
        ('{"at":1795850782}\n{"b":2}', '{"at":1795850799.5}\n{"b":2}'),
        ("merge 01a20333-7b56-7ae1-8de8-070b044a4fea", "merge 11111111-7b56-7ae1-8de8-070b044a4fea"),
    ],
)
def test_the_same(shown: str, came: str) -> None:
    assert Printed().difference(shown, came) == ""


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        ("done", "failed"),
        ("done", "done\nand more"),
        ("user_1 user_2", "user_7 user_7"),
        ("user_1 user_1", "user_7 user_8"),
        ("2 accepted", "3 accepted"),
        ('{"a":1}', '{"a":2}'),
        ('{"a":1}', '{"a":true}'),
        ('{"a":1}', '{"a":1,"b":2}'),
        ('{"a":1,"b":2, …}', '{"a":1,"c":2}'),
        ('{"a":1}', '{"a":1}\n{"a":1}'),
        ('{"a":1}', "a table"),
        ('{"a":["user_1"],"b":"user_1"}', '{"a":["user_7"],"b":"user_8"}'),
    ],
)
def test_not_the_same(shown: str, came: str) -> None:
    assert Printed().difference(shown, came)


def test_ids_are_kept_for_later_commands() -> None:
    printed = Printed()
    assert not printed.difference("user_1 joined", "user_7a joined")
    assert printed.put_in("dmp user user_1 user_2") == "dmp user user_7a user_2"
    assert printed.difference("user_1", "user_71")


def test_a_time_that_a_command_named_is_that_time() -> None:
    printed = Printed()
    printed.put_in("dmp stats --from 2026-02-10T21:00:00Z")
    assert printed.difference("2026-02-10T21:00:00Z", "2026-02-10T22:00:00Z")
    assert not printed.difference("2026-02-10T23:00:00Z", "2026-02-10T22:00:00Z")
