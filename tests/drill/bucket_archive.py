"""pgBackRest's archive in a bucket, as production has it: over TLS, encrypted, with the configuration of
``deploy/postgres``.

The bucket is the tests' own (``tests/integrations/fake_s3.py``), and knows here what pgBackRest asks of one besides:
folders of a listing, sizes, pieces of an object, and several deletions at once. It checks each signature anew. `make
drill` runs it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from embedded.process import wait_until
from tests.cluster import production_programs, server_folders
from tests.drill.point_in_time import SECRET, Archived, count, say, times, writing
from tests.factories.certificate import make_certificate
from tests.http_server import serving
from tests.integrations.fake_s3 import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, XMLNS, FakeS3, Handler, Refused

WRITTEN = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class _Handler(Handler):
    def _keys(self) -> str:
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter", "")
        rows: dict[str, str] = {}
        for key, versions in sorted(self.server.versions.items()):
            body = versions[-1].body
            if body is None or not key.startswith(prefix):
                continue
            folder, cut, _ = key.removeprefix(prefix).partition(delimiter or "\0")
            if cut:
                name = prefix + folder + cut
                rows[name] = f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
            else:
                inner = f"<Key>{escape(key)}</Key><LastModified>{WRITTEN}</LastModified><Size>{len(body)}</Size>"
                rows[key] = f"<Contents>{inner}</Contents>"
        return f"<ListBucketResult {XMLNS}><IsTruncated>false</IsTruncated>{''.join(rows.values())}</ListBucketResult>"

    def _newest(self) -> None:
        versions = self.server.versions.get(self.key)
        body = versions[-1].body if versions else None
        if body is None:
            raise Refused(404, "NoSuchKey")
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        headers = {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}  # noqa: S324
        headers["Last-Modified"] = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        if asked:
            body = body[int(asked[1]) : int(asked[2]) + 1 if asked[2] else None]
        self._send(206 if asked else 200, headers | {"Content-Length": str(len(body))}, body)

    def _post(self, what: str) -> None:
        if "delete" not in self.query:
            super()._post(what)
            return
        for key in re.findall(r"<Key>([^<]+)</Key>", self.body.decode()):
            self.server.lay(unescape(key), None)
        self._send(200, {"Content-Type": "application/xml"}, f"<DeleteResult {XMLNS}/>".encode())


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeS3]:
    folder = tmp_path_factory.mktemp("tls")
    (folder / "bucket.pem").write_text("".join(make_certificate()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "bucket.pem")
    made = FakeS3(_Handler)
    made.socket = context.wrap_socket(made.socket, server_side=True, do_handshake_on_connect=False)
    with serving(made, made.closing):
        yield made


@pytest.fixture(scope="module")
def archived(bucket: FakeS3) -> Iterator[Archived]:
    programs = production_programs()
    there = {
        "PGBACKREST_REPO1_TYPE": "s3", "PGBACKREST_REPO1_PATH": "/sigilo", "PGBACKREST_REPO1_S3_BUCKET": BUCKET,
        "PGBACKREST_REPO1_S3_ENDPOINT": "127.0.0.1", "PGBACKREST_REPO1_S3_REGION": REGION,
        "PGBACKREST_REPO1_STORAGE_PORT": str(bucket.server_address[1]), "PGBACKREST_REPO1_S3_URI_STYLE": "path",
        "PGBACKREST_REPO1_STORAGE_VERIFY_TLS": "n",  # the drill's certificate signs itself
    }  # fmt: skip
    secrets = f"repo1-s3-key={ACCESS_KEY}\nrepo1-s3-key-secret={SECRET_KEY}\n"
    with server_folders(programs.account, "server", "archive") as (folder, archive):
        made = Archived(programs, folder, archive, secrets, **there)
        try:
            made.begin()
            yield made
        finally:
            made.server.end()


def test_a_dropped_table_comes_back_from_the_bucket(archived: Archived, bucket: FakeS3) -> None:
    server = archived.server
    archived.pgbackrest("check")
    with writing(server, "dropped"):
        assert wait_until(lambda: count(server, "dropped") > 40, 60)
        before = datetime.now(UTC)
        assert wait_until(lambda: count(server, "dropped") > 60, 60)
    wanted = [at for at in times(server, "dropped") if at <= before]
    with server.connect() as connection:
        connection.execute("DROP TABLE dropped")
        connection.execute("SELECT pg_switch_wal()")
    server.end()
    shutil.rmtree(server.data)
    seconds = archived.recover("--type=time", f"--target={before.isoformat(' ')}", "--target-action=promote")
    assert times(server, "dropped") == wanted
    say(f"from a bucket: {len(wanted)} rows of the second before, back after {seconds:.1f} s")
    bodies = [version.body for versions in bucket.versions.values() for version in versions if version.body]
    assert bodies and not [body for body in bodies if SECRET.encode() in body], "nothing is in the clear"
    assert archived.keep().alerts == []


def test_its_keys_stand_in_a_file_that_one_account_reads(archived: Archived) -> None:
    configuration: Path = archived.archive / "pgbackrest.conf"
    assert SECRET_KEY not in configuration.read_text()
    assert (archived.archive / "conf.d" / "secrets.conf").stat().st_mode & 0o077 == 0
