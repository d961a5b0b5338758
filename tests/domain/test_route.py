"""The text of a route says again what was put into it, whatever the accounts are called."""

from hypothesis import given
from hypothesis import strategies as st

from service.domain.route import NAME, Key, as_keys, as_text, without

KEYS = st.lists(st.tuples(st.sampled_from(["ark", "byteplus"]), st.from_regex(NAME, fullmatch=True)), unique=True)


@given(KEYS)
def test_a_route_is_read_as_it_was_written(keys: list[Key]) -> None:
    assert as_keys(as_text(keys)) == keys


@given(KEYS.filter(bool), st.data())
def test_an_account_that_refused_leaves_and_the_others_keep_their_order(keys: list[Key], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(keys))
    assert as_keys(without(as_text(keys), gone)) == [key for key in keys if key != gone]
