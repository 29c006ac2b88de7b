"""Checkpoints in a bucket: locked for years, never laid over, and read back from under what somebody laid over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config import ConfigurationError, Principal, Settings
from integrations import object_store
from integrations.checkpoint_sinks import BucketSink, Kept, SinkUnavailable, make_sink
from tests.conftest import make_settings
from tests.integrations.fake_s3 import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, FakeS3, fake_s3
from tests.integrations.test_checkpoint_sinks import CHECKPOINT, NOTE, newest

URL = f"s3://{BUCKET}/sigilo/trail"
FOLDER = "sigilo/trail/clinic.example.org_audit-chain"
KEY = f"{FOLDER}/000000000000007.checkpoint"
UNUSED = {principal.value: "postgresql://x@127.0.0.1:1/x" for principal in Principal}
DAYS = "<C><Rule><DefaultRetention><Days>{}</Days></DefaultRetention></Rule></C>"
LOCKED = {
    "x-amz-object-lock-mode": "COMPLIANCE",
    "x-amz-object-lock-retain-until-date": "2099-01-01T00:00:00Z",
}


@pytest.fixture
def bucket() -> Iterator[FakeS3]:
    with fake_s3() as server:
        yield server


Configure = Callable[..., Settings]


@pytest.fixture
def configure(redis_url: str, tmp_path: Path) -> Configure:
    """Settings with a bucket among the places, and what a test has different."""

    def configured(**overrides: object) -> Settings:
        values = {
            "checkpoint_sinks": URL, "s3_region": REGION, "s3_access_key_id": ACCESS_KEY,
            "s3_secret_access_key": SECRET_KEY,
        }  # fmt: skip
        return make_settings(UNUSED, redis_url, tmp_path, **(values | overrides))

    return configured


@pytest.fixture
def settings(bucket: FakeS3, configure: Configure) -> Settings:
    return configure(s3_endpoint_url=bucket.url)


@pytest.fixture
def sink(settings: Settings) -> BucketSink:
    return BucketSink(URL, settings)


def failure(settings: Settings, **options: float) -> str:
    """The kind of failure that keeping gives."""
    with pytest.raises(SinkUnavailable) as raised:
        BucketSink(URL, settings, **options).keep(CHECKPOINT)
    assert not any(secret in str(raised.value) for secret in ("127.0.0.1", ACCESS_KEY, SECRET_KEY, BUCKET))
    return str(raised.value)


def test_an_object_for_each_is_locked_for_twenty_years_and_read_back(sink: BucketSink, bucket: FakeS3) -> None:
    bucket.lay(f"{KEY}.of-others", b"whose name begins like it")
    sink.keep(CHECKPOINT)
    [version] = bucket.versions[KEY]
    assert version.body == NOTE.encode() and version.headers["x-amz-object-lock-mode"] == "COMPLIANCE"
    assert abs(version.locked_until - datetime.now(UTC) - timedelta(days=7305)) < timedelta(minutes=5)
    assert newest(sink) == NOTE


def test_the_time_of_the_lock_is_a_setting(bucket: FakeS3, configure: Configure) -> None:
    BucketSink(URL, configure(s3_endpoint_url=bucket.url, checkpoint_retention_days=30)).keep(CHECKPOINT)
    assert bucket.versions[KEY][0].locked_until < datetime.now(UTC) + timedelta(days=31)


def test_the_same_again_is_kept_and_writes_nothing(sink: BucketSink, bucket: FakeS3) -> None:
    sink.keep(CHECKPOINT)
    bucket.asked.clear()
    sink.keep(CHECKPOINT)
    assert "PUT" not in [method for method, _ in bucket.asked] and len(bucket.versions[KEY]) == 1


def test_another_checkpoint_of_the_same_event_is_refused_and_told(settings: Settings, bucket: FakeS3) -> None:
    bucket.lay(KEY, b"another trail", **LOCKED)
    assert failure(settings) == "has another checkpoint of the same event"
    assert [version.body for version in bucket.versions[KEY]] == [b"another trail"]


def test_security_29_what_is_laid_over_a_checkpoint_hides_nothing(sink: BucketSink, bucket: FakeS3) -> None:
    """Whoever holds the keys of the bucket and of the trail marks all as deleted, or puts other versions over it."""
    sink.keep(CHECKPOINT)
    anew = Kept("the trail, signed anew", CHECKPOINT.origin, 7)
    for laid in (None, anew.note.encode()):
        bucket.lay(KEY, laid, **LOCKED)
        assert newest(sink) == NOTE
        with pytest.raises(SinkUnavailable, match="another checkpoint of the same event"):
            sink.keep(anew)
        sink.keep(CHECKPOINT)
    assert len(bucket.versions[KEY]) == 3, "and nothing was put"


@pytest.mark.parametrize("quicker", [NOTE.encode(), b"another trail"])
def test_who_was_quicker_is_looked_at(
    sink: BucketSink, bucket: FakeS3, quicker: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the put, another worker or somebody else put one: 412."""
    put = sink._put

    def beaten(key: str, note: bytes) -> None:
        bucket.lay(key, quicker, **LOCKED)
        put(key, note)

    monkeypatch.setattr(sink, "_put", beaten)
    if quicker == NOTE.encode():
        sink.keep(CHECKPOINT)
    else:
        with pytest.raises(SinkUnavailable, match="another checkpoint"):
            sink.keep(CHECKPOINT)
    assert [version.body for version in bucket.versions[KEY]] == [quicker]


def test_a_server_without_conditions_keeps_it_too(sink: BucketSink, bucket: FakeS3) -> None:
    bucket.knows_conditions = False
    sink.keep(CHECKPOINT)
    sink.keep(CHECKPOINT)
    assert [version.body for version in bucket.versions[KEY]] == [NOTE.encode()]


def test_a_bucket_without_lock_gets_nothing(settings: Settings, bucket: FakeS3) -> None:
    bucket.has_lock = False
    assert failure(settings) == "the bucket has no object lock: name one that was made with it"
    assert bucket.asked == [("GET", "object-lock")]


@pytest.mark.parametrize("code", object_store.NO_LOCK)
def test_what_servers_say_that_have_no_lock_is_one_thing(settings: Settings, bucket: FakeS3, code: str) -> None:
    bucket.answers = (501 if code == "NotImplemented" else 404, {}, f"<Error><Code>{code}</Code></Error>")
    assert failure(settings) == "the bucket has no object lock: name one that was made with it"


def test_a_server_that_forgets_the_lock_is_told(settings: Settings, bucket: FakeS3) -> None:
    bucket.keeps_locks = False
    assert failure(settings) == "has it without a lock"


def test_wrong_keys_a_wrong_region_and_no_such_bucket_are_told_apart(bucket: FakeS3, configure: Configure) -> None:
    wrong = {
        "answered 403 SignatureDoesNotMatch": {"s3_secret_access_key": "w" * 40},
        "answered 403 InvalidAccessKeyId": {"s3_access_key_id": "AKIDOFNOBODY"},
        "answered 400 AuthorizationHeaderMalformed": {"s3_region": "eu-west-1"},
    }
    for said, override in wrong.items():
        assert failure(configure(s3_endpoint_url=bucket.url, **override)) == said
    elsewhere = BucketSink("s3://another-bucket", configure(s3_endpoint_url=bucket.url))
    with pytest.raises(SinkUnavailable, match="answered 404 NoSuchBucket"):
        elsewhere.keep(CHECKPOINT)
    assert newest(elsewhere) is None and not bucket.versions


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((403, {}, "<Error><Code>AccessDenied</Code></Error>"), "answered 403 AccessDenied"),
        ((503, {}, "<Error><Code>SlowDown</Code></Error>"), "answered 503 SlowDown"),
        ((500, {}, f"<Error><Code>see http://127.0.0.1/{SECRET_KEY}</Code></Error>"), "answered 500"),
        ((502, {"Content-Type": "text/html"}, "<html><body>Bad gateway"), "answered 502"),
        ((200, {}, "no XML at all"), "answered 500"),  # as botocore has it
        ((200, {}, DAYS.format("many")), "ValueError"),
    ],
)
def test_any_other_answer_is_a_kind_of_failure(
    settings: Settings, bucket: FakeS3, answer: tuple[int, dict[str, str], str], said: str
) -> None:
    bucket.answers = answer
    assert failure(settings) == said
    assert len(bucket.asked) == 1, "asked once: rows say when again"


@pytest.mark.parametrize(
    ("status", "code"), [(301, "PermanentRedirect"), (307, "TemporaryRedirect"), (400, "AuthorizationHeaderMalformed")]
)
def test_security_25_no_redirect_is_followed_not_even_to_another_region(
    settings: Settings, bucket: FakeS3, status: int, code: str
) -> None:
    headers = {"Location": f"{bucket.url}/elsewhere", "x-amz-bucket-region": "eu-west-1"}
    bucket.answers = (status, headers, f"<Error><Code>{code}</Code><Region>eu-west-1</Region></Error>")
    assert failure(settings) == f"answered {status} {code}"
    assert len(bucket.asked) == 1


def test_security_25_nothing_of_the_environment_leads_elsewhere(
    sink: BucketSink, bucket: FakeS3, configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nowhere = "http://127.0.0.1:9"
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, nowhere)
    for name in ("PROFILE", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "REGION", "DEFAULT_REGION"):
        monkeypatch.setenv(f"AWS_{name}", "somebody-elses")
    home = tmp_path / ".aws"
    home.mkdir()
    (home / "config").write_text(f"[default]\nendpoint_url = {nowhere}\ns3 =\n  addressing_style = virtual\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    object_store._session.cache_clear()  # as in a process that begins
    sink.keep(CHECKPOINT)
    assert list(bucket.versions) == [KEY]
    amazons = object_store._open_client(configure(), 1.0)
    assert amazons.meta.endpoint_url == f"https://s3.{REGION}.amazonaws.com"


def test_a_bucket_that_hangs_or_is_away_costs_little(settings: Settings, bucket: FakeS3, configure: Configure) -> None:
    bucket.hangs = True
    assert failure(settings, timeout=0.2) == "ReadTimeoutError"
    assert newest(BucketSink(URL, settings, timeout=0.2)) is None
    with fake_s3() as other:
        away = configure(s3_endpoint_url=other.url)
    assert failure(away) == "EndpointConnectionError"
    assert newest(BucketSink(URL, away)) is None


def test_the_newest_of_many_is_found_in_few_questions(sink: BucketSink, bucket: FakeS3) -> None:
    """Of two trails (PUBLIC_URL changed once), over many pages, with what others keep in the same bucket."""
    assert newest(sink) is None
    bucket.page_size = 10
    for sequence in range(1, 4000, 40):
        bucket.lay(f"sigilo/trail/old.example.org/{sequence:015}.checkpoint", b"of the old trail")
    for sequence in (5, 4005, 9_000_000, 9_000_001):
        bucket.lay(f"{FOLDER}/{sequence:015}.checkpoint", f"up to {sequence}".encode(), **LOCKED)
    for other in ("a", "sigilo/trail-of-others/999999999999999.checkpoint", f"{FOLDER}/zzz", f"{FOLDER}/9", "z/9"):
        bucket.lay(other, b"of others")
    assert newest(sink) == "up to 9000001"
    assert len(bucket.asked) < 60
    for _ in range(25):
        bucket.lay(f"{FOLDER}/000000009000001.checkpoint", None)
    assert newest(sink) == "up to 9000001", "under more marks of deletion than fit on a page"


def test_from_the_highest_down_though_others_fill_pages_between(sink: BucketSink, bucket: FakeS3) -> None:
    bucket.page_size = 4
    numbers = [1, 2, 3, 40, 41, 500, 6000, 6001, 6002, 6003, 6004]
    for number in numbers:
        bucket.lay(f"{FOLDER}/{number:015}.checkpoint", f"up to {number}".encode())
        for junk in range(9):
            bucket.lay(f"{FOLDER}/{number - 1:014}~{junk}", b"no checkpoint's name")
    for junk in range(9):
        bucket.lay(f"{FOLDER}/!{junk}", b"before all numbers")
    own = next(sink.folders(CHECKPOINT.origin))
    assert list(own) == [(number, f"up to {number}") for number in reversed(numbers)]


def test_folders_over_more_than_a_page(sink: BucketSink, bucket: FakeS3) -> None:
    bucket.page_size = 2
    for number in range(5):
        bucket.lay(f"sigilo/trail/{number}.example.org/{7 + number:015}.checkpoint", f"of {number}".encode())
    assert newest(sink) == "of 4"


def test_a_bucket_is_named_with_its_keys_or_refused_at_the_start(configure: Configure) -> None:
    made = configure(checkpoint_sinks=f"{URL},s3://{BUCKET}")
    assert [type(make_sink(each.get_secret_value(), made)) for each in made.checkpoint_sinks] == [BucketSink] * 2
    assert SECRET_KEY not in repr(made) and ACCESS_KEY not in repr(made)
    bad: dict[str, list[dict[str, Any]]] = {
        "CHECKPOINT_SINKS": [
            {"checkpoint_sinks": url}
            for url in ("s3://", "s3://UPPER", "s3://user:secret@bucket", "s3://bucket/a//b", "s3://bucket/../b",
                        "s3://bucket/?x=1", "s3://bucket:1/a")
        ],
        "S3_ENDPOINT_URL": [
            {"s3_endpoint_url": url} for url in ("http://s3.example.org", "s3.example.org", "https://a:b@s3.example.org")
        ],
        "S3_SECRET_ACCESS_KEY": [
            {"s3_secret_access_key": ""}, {"s3_access_key_id": ""},
            {"s3_secret_access_key": "change-me", "sigilo_env": "production"},
        ],
        "CHECKPOINT_RETENTION_DAYS": [{"checkpoint_retention_days": days} for days in (0, 40_000, "long")],
    }  # fmt: skip
    for said, cases in bad.items():
        for overrides in cases:
            with pytest.raises(ConfigurationError, match=said) as raised:
                configure(**overrides)
            assert "secret@" not in str(raised.value), overrides
    configure(checkpoint_sinks="", s3_access_key_id="", s3_secret_access_key="")
