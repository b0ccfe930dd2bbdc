"""Metrics of one server: each has its own; labels are bounded; what it calls and is called with is measured."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import grpc
import psycopg
import pytest
import redis.exceptions
from google.protobuf.wrappers_pb2 import StringValue

from dmp_chassis import metrics as chassis_metrics
from dmp_chassis.call_metrics import CLIENT_CALLS, SERVER_CALLS, timed
from dmp_chassis.database import Database, raw
from dmp_chassis.errors import DependencyUnavailable
from dmp_chassis.metrics import OTHER, QUESTIONS_FAILED, Answer, Metrics, counter, gauge, histogram
from dmp_chassis.redis_client import connect_redis
from tests.chassis.echo_service import SERVICE, call, serving
from tests.conditions import eventually
from tests.scraping import series_of

APPLES = counter("test_apples_total", "Apples.", unit="apples", labels={"colour": ("red", "green", OTHER)})
PEARS = gauge("test_pears", "Pears.", unit="pears")
WEIGHT = histogram("test_weight_grams", "Weights.", unit="grams", buckets=(1.0, 10.0))
COUNT = f"{SERVER_CALLS.name}_count rpc_method={SERVICE}/"


async def test_what_can_be_told_in_advance_is_there_with_zero() -> None:
    found = await series_of(Metrics((APPLES, PEARS, WEIGHT)))
    assert found["test_apples_total colour=red"] == found["test_apples_total colour=green"] == 0
    assert found["test_pears"] == found["test_weight_grams_count"] == 0
    assert not [name for name in found if name.endswith("_created")]


async def test_counts_set_and_observes() -> None:
    metrics = Metrics()
    metrics.add(APPLES, 2, "red")
    metrics.add(APPLES, 3, "red")
    metrics.set(PEARS, 7)
    metrics.observe(WEIGHT, 5)
    found = await series_of(metrics)
    assert found["test_apples_total colour=red"] == 5
    assert found["test_pears"] == 7
    assert found["test_weight_grams_bucket le=1.0"] == 0
    assert found["test_weight_grams_bucket le=10.0"] == 1


async def test_a_value_that_was_not_declared_makes_no_series() -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.add(APPLES, 1, f"colour {number}")
    found = await series_of(metrics)
    assert {name: found[name] for name in found if "apples" in name} == {"test_apples_total colour=other": 1000}
    assert len(metrics._children) < 10, "nor an entry of a table that grows"


async def test_two_servers_of_one_process_do_not_add_up() -> None:
    one, other = Metrics((APPLES,)), Metrics((APPLES,))
    one.add(APPLES, 1, "red")
    assert (await series_of(one))["test_apples_total colour=red"] == 1
    assert (await series_of(other))["test_apples_total colour=red"] == 0


async def test_a_watched_gauge_is_read_each_time() -> None:
    metrics, basket = Metrics(), [1, 2]
    metrics.watch(PEARS, lambda: len(basket))
    assert (await series_of(metrics))["test_pears"] == 2
    basket.append(3)
    assert (await series_of(metrics))["test_pears"] == 3


async def test_a_question_is_asked_seldom_and_its_failure_leaves_no_old_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics, asked = Metrics(), []

    async def question() -> Answer:
        asked.append(1)
        if len(asked) > 1:
            raise DependencyUnavailable("postgres")
        return {(PEARS,): 4.0}

    metrics.ask(question)
    for _ in range(3):
        assert (await series_of(metrics))["test_pears"] == 4
    assert len(asked) == 1
    monkeypatch.setattr(chassis_metrics, "ASKED_EVERY_SECONDS", 0.0)
    found = await series_of(metrics)
    assert math.isnan(found["test_pears"])
    assert found[QUESTIONS_FAILED.name] == 1


async def _echo(request: object, context: object) -> object:
    return request


async def _refuse(request: object, context: object) -> object:
    raise DependencyUnavailable("postgres")


async def _wait(request: object, context: object) -> object:
    await asyncio.Event().wait()
    return request


async def test_calls_are_measured_by_method_and_status() -> None:
    metrics = Metrics()
    async with serving({"Echo": _echo, "Refuse": _refuse, "Wait": _wait}, metrics=metrics) as (_, channel):
        await call(channel, "Echo")
        await call(channel, "Echo")
        with pytest.raises(grpc.aio.AioRpcError):
            await call(channel, "Refuse")
        with pytest.raises(grpc.aio.AioRpcError):
            await call(channel, "Wait", timeout=0.05)
        with pytest.raises(grpc.aio.AioRpcError):
            await call(channel, "Nothing of the kind")

        async def all_ended() -> bool:
            return (await series_of(metrics)).get(f"{COUNT}Wait rpc_status_code=CANCELLED") == 1

        await eventually(all_ended)
        found = await series_of(metrics)
        counts = {name.removeprefix(COUNT): found[name] for name in found if name.startswith(COUNT)}
        assert counts == {
            "Echo rpc_status_code=OK": 2,
            "Refuse rpc_status_code=UNAVAILABLE": 1,
            "Wait rpc_status_code=CANCELLED": 1,
        }, "and none for the method that does not exist"


async def test_streams_are_measured_when_they_end() -> None:
    metrics = Metrics()

    async def count(request: object, context: object) -> AsyncIterator[object]:
        yield request
        yield request

    async with serving({"Count": count}, "unary_stream", metrics=metrics) as (_, channel):
        assert len(await call(channel, "Count", "x", kind="unary_stream")) == 2

        async def measured() -> bool:
            return (await series_of(metrics)).get(f"{COUNT}Count rpc_status_code=OK") == 1

        await eventually(measured)


async def test_calls_to_others_are_measured_by_method_and_status() -> None:
    metrics = Metrics()
    async with serving({"Echo": _echo, "Refuse": _refuse}) as (_, channel):
        measured = timed(channel, metrics)
        for name in ("Echo", "Refuse", "Refuse"):
            rpc = measured.unary_unary(f"/{SERVICE}/{name}", StringValue.SerializeToString, StringValue.FromString)
            if name == "Echo":
                assert (await rpc(StringValue(value="x"), timeout=10)).value == "x"
            else:
                with pytest.raises(grpc.aio.AioRpcError):
                    await rpc(StringValue(), timeout=10)
    found = await series_of(metrics)
    name = f"{CLIENT_CALLS.name}_count rpc_method={SERVICE}/"
    assert found[f"{name}Echo rpc_status_code=OK"] == 1
    assert found[f"{name}Refuse rpc_status_code=UNAVAILABLE"] == 2


async def test_a_pool_says_who_waited_what_is_in_use_and_what_failed(database_url: str) -> None:
    metrics = Metrics()
    database = Database.connect(database_url, pool_size=1, application_name="test", acquire_seconds=0.3)
    database.measured_by(metrics, "main")
    try:
        async with database.begin():
            found = await series_of(metrics)
            assert found["dmp_database_connections_in_use pool=main"] == 1
            assert found["dmp_database_connections_limit pool=main"] == 1
            with pytest.raises(Exception, match=r".*"):
                async with database.begin():
                    pass
        with pytest.raises(psycopg.Error):
            async with database.begin() as connection:
                await raw(connection).execute("SELECT 1 / 0")
        with pytest.raises(KeyError):
            async with database.begin():
                raise KeyError
    finally:
        await database.close()
    found = await series_of(metrics)
    assert found["dmp_database_errors_total pool=main stage=connect"] == 1
    assert found["dmp_database_errors_total pool=main stage=statement"] == 1, "a KeyError is none of the database's"
    assert found["dmp_database_connection_wait_seconds_count pool=main"] == 4
    assert found["dmp_database_connections_in_use pool=main"] == 0


async def test_redis_calls_are_measured_failed_ones_too(redis_url: str) -> None:
    metrics = Metrics()
    async with connect_redis(redis_url, client_name="test", metrics=metrics) as client:
        await client.ping()
        await client.set("a", "b")
        with pytest.raises(redis.exceptions.ResponseError):
            await client.lpush("a", "b")
    found = await series_of(metrics)
    name = "dmp_redis_call_duration_seconds_count command="
    assert found[f"{name}PING outcome=answered"] == 1
    assert found[f"{name}other outcome=answered"] == 1
    assert found[f"{name}other outcome=failed"] == 1
