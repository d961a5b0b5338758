"""Who wants to know what: patterns and filters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.matching import EVENTS, OPERATIONAL_EVENTS, TASK_EVENTS, TEST_EVENT, Filter, passes, possible, wants

labels = st.dictionaries(st.sampled_from(["shot", "reel", "take"]), st.sampled_from(["1", "2"]))
MODEL, PROVIDER = "seedance-1-0-pro-250528", "ark"


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_is_wanted_by_its_name_its_family_and_by_everything(event: str) -> None:
    family = event.partition(".")[0] + ".*"
    for pattern in (event, family, "*"):
        assert wants([pattern], event)


def test_a_family_wants_its_own_events_only() -> None:
    assert {e for e in EVENTS if wants(["task.*"], e)} == set(TASK_EVENTS)
    assert {e for e in EVENTS if wants(["provider.*", "callback.conflict"], e)} == {
        "provider.degraded",
        "provider.unknown_status",
        "callback.conflict",
    }


def test_who_asked_for_nothing_wants_nothing() -> None:
    assert not any(wants([], e) for e in EVENTS)


@pytest.mark.parametrize("pattern", ["task.finished", "task", "tasks.*", "*.*", "task.succeeded.*", ".*", "", "task.*.x", "**"])
def test_a_pattern_that_no_event_can_match_is_known_as_such(pattern: str) -> None:
    assert not possible(pattern)


@pytest.mark.parametrize("pattern", [*EVENTS, "*", "task.*", "submission.*"])
def test_every_useful_pattern_is_possible(pattern: str) -> None:
    assert possible(pattern)


def test_operational_events_and_tests_reach_nobody_who_asked_for_tasks() -> None:
    assert not any(wants(["task.*"], e) for e in (*OPERATIONAL_EVENTS, TEST_EVENT))


@given(labels)
def test_an_empty_filter_lets_everything_through(metadata: dict[str, str]) -> None:
    assert passes(Filter(), MODEL, PROVIDER, metadata)
    assert passes(Filter(), MODEL, None, metadata)


@given(labels, labels)
def test_a_filter_on_metadata_wants_every_one_of_its_labels(wanted: dict[str, str], metadata: dict[str, str]) -> None:
    assert passes(Filter(metadata=wanted), MODEL, PROVIDER, metadata) == (wanted.items() <= metadata.items())


@given(labels, labels, st.booleans(), st.booleans())
def test_the_parts_of_a_filter_all_have_to_pass(
    wanted: dict[str, str], metadata: dict[str, str], model: bool, provider: bool
) -> None:
    chosen = Filter([MODEL] if model else ["another"], [PROVIDER] if provider else ["another"], wanted)
    assert passes(chosen, MODEL, PROVIDER, metadata) == (model and provider and wanted.items() <= metadata.items())


def test_a_filter_on_providers_stops_what_no_provider_has() -> None:
    assert not passes(Filter(providers=[PROVIDER]), MODEL, None, {})
