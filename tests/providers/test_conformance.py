"""Every gateway, every case."""

import orjson
import pytest

from service.domain.errors import Category
from service.domain.lifecycle import State
from service.domain.report import Accepted, Busy, Missing, NoAnswer, Refused, Rejected, Report, Unknown, Unreadable
from service.providers.base import Callbacks
from service.providers.registry import GATEWAYS
from service.wire import Reply
from tests.providers.conformance import CASES, KEY, NOW, SUBJECTS, Shown, Subject, Unshown

STATES = {str(state) for state in State}
every = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.label)


def case(subject: Subject, name: str) -> Shown:
    found = subject.cases[name]
    if isinstance(found, Unshown):
        pytest.skip(f"{subject.label} shows no {name}: {found.reason}")
    return found


def asked(subject: Subject, name: str) -> Report:
    outcome = subject.gateway.read_query(case(subject, name).reply, subject.remote_id, NOW)
    assert isinstance(outcome, Report), outcome
    assert outcome.remote_id == subject.remote_id
    return outcome


def test_every_gateway_is_a_subject() -> None:
    assert {subject.gateway.name for subject in SUBJECTS} == set(GATEWAYS)


@every
def test_every_case_is_shown_or_said_to_be_missing(subject: Subject) -> None:
    assert set(subject.cases) == set(CASES)


@every
def test_the_order_is_taken_and_asked_for_with_the_key_and_nothing_secret_in_the_address(subject: Subject) -> None:
    assert not subject.gateway.refuse(subject.order, subject.account)
    submit = subject.gateway.submit(subject.account, subject.order, None)
    query = subject.gateway.query(subject.account, subject.remote_id)
    for request in (submit, query):
        assert any(KEY in value for value in request.headers.values())
        assert KEY not in str(request.url)
        assert KEY not in repr(request)
        assert KEY not in request.content.decode()
    assert KEY not in repr(subject.account)
    assert submit.method == "POST"
    assert isinstance(orjson.loads(submit.content), dict)
    assert b"callback" not in submit.content
    assert not any("webhook" in name for name in submit.headers)


@every
def test_a_callback_address_is_passed_on_when_it_is_given(subject: Subject) -> None:
    address = "https://callsheet.example/callbacks/x/token"
    request = subject.gateway.submit(subject.account, subject.order, address)
    told = orjson.loads(request.content).get("callback_url") or request.headers.get("x-webhook-url")
    assert told == address


@every
def test_an_accepted_order_has_its_remote_id(subject: Subject) -> None:
    shown = case(subject, "accepted")
    assert subject.gateway.read_submit(shown.reply, NOW) == Accepted(subject.remote_id)


@every
@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING])
def test_a_task_under_way_is_reported(subject: Subject, state: State) -> None:
    report = asked(subject, str(state))
    assert report.state is state
    assert report.result is None
    assert report.error is None


@every
def test_a_success_has_its_video(subject: Subject) -> None:
    report = asked(subject, "succeeded")
    assert report.state is State.SUCCEEDED
    assert report.result is not None
    assert report.result.video_url.startswith("https://")


@every
def test_a_failure_has_its_reason(subject: Subject) -> None:
    report = asked(subject, "failed")
    assert report.state is State.FAILED
    assert report.result is None
    assert report.error is not None
    assert report.error.message
    assert report.error.category is not Category.UNKNOWN


@every
@pytest.mark.parametrize(("state", "category"), [(State.EXPIRED, Category.EXPIRED), (State.CANCELLED, Category.CANCELLED)])
def test_the_other_endings_say_why(subject: Subject, state: State, category: Category) -> None:
    report = asked(subject, str(state))
    assert report.state is state
    assert report.error is not None
    assert report.error.category is category


@every
def test_a_success_without_a_video_is_unreadable(subject: Subject) -> None:
    shown = case(subject, "unreadable")
    assert isinstance(subject.gateway.read_query(shown.reply, subject.remote_id, NOW), Unreadable)


@every
def test_an_answer_about_another_task_is_unreadable(subject: Subject) -> None:
    for name, shown in subject.shown.items():
        if name in STATES:
            assert isinstance(subject.gateway.read_query(shown.reply, "cgt-another", NOW), Unreadable), name


@every
def test_a_refused_key_is_the_accounts_fault_and_says_nothing_of_the_task(subject: Subject) -> None:
    reply = case(subject, "credentials refused").reply
    submitted = subject.gateway.read_submit(reply, NOW)
    assert isinstance(submitted, Rejected)
    assert submitted.blames_account
    assert submitted.error.category is Category.CREDENTIALS
    outcome = subject.gateway.read_query(reply, subject.remote_id, NOW)
    assert isinstance(outcome, Refused)
    assert outcome.error.category is Category.CREDENTIALS


@every
def test_a_busy_gateway_took_nothing_and_says_how_long(subject: Subject) -> None:
    reply = case(subject, "busy").reply
    for outcome in (subject.gateway.read_submit(reply, NOW), subject.gateway.read_query(reply, subject.remote_id, NOW)):
        assert isinstance(outcome, Busy)
        assert outcome.retry_after_s == 7.0


@every
@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504])
def test_a_submit_that_may_have_been_heard_is_unknown_and_a_question_has_no_answer(subject: Subject, status: int) -> None:
    for body in (b"", b"<html>", b'{"error":{"code":"InternalServiceError","message":"oops"}}', b'{"error":"oops"}'):
        reply = Reply(status, {}, body)
        assert isinstance(subject.gateway.read_submit(reply, NOW), Unknown)
        assert isinstance(subject.gateway.read_query(reply, subject.remote_id, NOW), NoAnswer)


@every
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"3", b'"id"', b"<html>ok</html>", b'{"id":"","task_id":7}'])
def test_a_success_without_an_id_may_be_a_placed_order(subject: Subject, body: bytes) -> None:
    assert isinstance(subject.gateway.read_submit(Reply(200, {}, body), NOW), Unknown)


@every
def test_a_400_that_cannot_be_read_is_unknown_and_one_that_can_is_a_no(subject: Subject) -> None:
    assert isinstance(subject.gateway.read_submit(Reply(400, {}, b"<html>"), NOW), Unknown)
    said = subject.gateway.read_submit(Reply(400, {}, b'{"error":{"code":"InvalidParameter","message":"duration"}}'), NOW)
    assert isinstance(said, Rejected)
    assert said.error.category is Category.PARAMETERS
    assert not said.blames_account


@every
def test_a_404_is_a_missing_task_and_never_an_ending(subject: Subject) -> None:
    reply = Reply(404, {}, b'{"error":{"code":"ResourceNotFound","message":"no such task"}}')
    assert isinstance(subject.gateway.read_query(reply, subject.remote_id, NOW), Missing)


@every
def test_a_callback_reads_like_an_answer(subject: Subject) -> None:
    if subject.label == "acedata":
        pytest.skip("its callbacks are the envelope alone: see test_acedata")
    for name, shown in subject.shown.items():
        if name in STATES:
            assert subject.gateway.read_callback(shown.body) == asked(subject, name)


@every
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"status":"succeeded"}', b'{"task_id":null,"success":true}', b"\x1f\x8bx"]
)
def test_a_callback_without_an_id_is_unreadable(subject: Subject, body: bytes) -> None:
    assert isinstance(subject.gateway.read_callback(body), Unreadable)


@every
def test_facts_tell_users_what_is_known_and_what_is_not(subject: Subject) -> None:
    facts = subject.gateway.facts
    assert facts.verified
    assert facts.unverified
    assert (facts.callbacks is Callbacks.NONE) == (subject.gateway.name in {"agentsflare", "yescale", "apiyi"})
