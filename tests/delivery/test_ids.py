"""The laws of identifiers."""

import re
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from delivery.domain.ids import first_id, new_id

moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive
millisecond = timedelta(milliseconds=1)


@given(moments, st.integers(1, 10**9), st.randoms())
def test_ids_are_ordered_like_the_milliseconds_of_their_making(moment: datetime, later: int, luck: Random) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert new_id("evt", moment, luck) < new_id("evt", moment + later * millisecond, luck)


@given(moments, st.randoms())
def test_an_id_is_a_prefix_and_28_hex_digits_without_a_full_stop(moment: datetime, luck: Random) -> None:
    assert re.fullmatch(r"evt_[0-9a-f]{28}", new_id("evt", moment, luck))


@given(moments, st.randoms())
def test_no_id_of_a_moment_is_smaller_than_its_first_one(moment: datetime, luck: Random) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    made = new_id("dlv", moment, luck)
    assert first_id("dlv", moment) <= made < first_id("dlv", moment + millisecond)


@given(moments)
def test_ids_of_the_same_millisecond_differ(moment: datetime) -> None:
    luck = Random(7)
    assert len({new_id("evt", moment, luck) for _ in range(100)}) == 100
