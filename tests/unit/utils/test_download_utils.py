from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import tarfile
import threading
import time
import urllib.error
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from espnet3.errors import ConfigError, DataError
from espnet3.utils import download_utils
from espnet3.utils.download_utils import (
    DownloadError,
    DownloadProgress,
    download_url,
    extract_targz,
    setup_logger,
)

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves one file, with ranges, and can break off or change the file."""

    content = CONTENT
    etag = '"v1"'
    break_after: int | None = None
    ranges = True
    status = 200
    delay = 0.0
    requests: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.requests.append(wanted)
        if server.status != 200:
            self.send_error(server.status)
            return
        start = 0
        time.sleep(server.delay)
        if wanted and server.ranges and self.headers.get("If-Range") == server.etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start and start >= len(server.content):
            self.send_error(416)
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.break_after is not None:
            body, server.break_after = body[: server.break_after], None
        with contextlib.suppress(BrokenPipeError):  # a client that gave up
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download_utils, "_pause", lambda seconds: None)
    with Server(("127.0.0.1", 0), Handler) as running:
        running.requests = []
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def url(server):
    return f"http://127.0.0.1:{server.server_port}/corpus.tar.gz"


def test_a_file_arrives_with_start_progress_and_end_in_the_log(url, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    target = tmp_path / "new" / "corpus.tar.gz"
    download_url(url, target, sha256=SHA256, size=len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert "Start download: corpus.tar.gz" in caplog.text
    assert f"Target directory: {target.parent}" in caplog.text
    assert "100%" in caplog.text
    assert "Download completed: corpus.tar.gz" in caplog.text
    assert not list(target.parent.glob("*.part*"))


def test_an_interrupted_download_goes_on_where_it_stopped(server, url, tmp_path):
    server.break_after = 300_000
    download_url(url, tmp_path / "f", sha256=SHA256)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert server.requests[0] is None
    assert server.requests[1].startswith("bytes=")
    assert server.requests[1] != "bytes=0-"


def test_a_download_of_a_killed_process_is_continued(server, url, tmp_path):
    (tmp_path / "f.part").write_bytes(CONTENT[:1000])
    (tmp_path / "f.part.etag").write_text(server.etag)
    download_url(url, tmp_path / "f")
    assert server.requests == ["bytes=1000-"]
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_file_that_changed_on_the_server_is_fetched_anew(server, url, tmp_path):
    (tmp_path / "f.part").write_bytes(b"old half")
    (tmp_path / "f.part.etag").write_text('"v0"')
    download_url(url, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_partial_file_of_unknown_origin_is_not_continued(server, url, tmp_path):
    (tmp_path / "f.part").write_bytes(b"who knows")
    download_url(url, tmp_path / "f")
    assert server.requests == [None]
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_everything_again(server, url, tmp_path):
    server.ranges, server.break_after = False, 300_000
    download_url(url, tmp_path / "f", sha256=SHA256)
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_confirmed_file_is_not_fetched_again(server, url, tmp_path):
    (tmp_path / "f").write_bytes(CONTENT)
    download_url(url, tmp_path / "f", sha256=SHA256.upper())
    assert server.requests == []


@pytest.mark.parametrize("check", [{"sha256": "0" * 64}, {"size": 5}])
def test_an_unexpected_file_is_removed_and_the_old_one_kept(url, tmp_path, check):
    (tmp_path / "f").write_bytes(b"old")
    with pytest.raises(DataError, match="is not the expected file"):
        download_url(url, tmp_path / "f", **check)
    assert (tmp_path / "f").read_bytes() == b"old"
    assert not (tmp_path / "f.part").exists()


def test_a_refusal_is_raised_at_once(server, url, tmp_path):
    server.status = 404
    with pytest.raises(DownloadError, match=r"http://.* cannot be downloaded: .*404"):
        download_url(url, tmp_path / "f")
    assert len(server.requests) == 1
    assert not (tmp_path / "f").exists()


def test_a_server_error_is_tried_again(server, url, tmp_path):
    server.status = 503
    with pytest.raises(urllib.error.URLError, match="503"):
        download_url(url, tmp_path / "f", retries=2)
    assert len(server.requests) == 3


def test_a_part_longer_than_the_file_is_fetched_anew(server, url, tmp_path):
    (tmp_path / "f.part").write_bytes(CONTENT + b"x")
    (tmp_path / "f.part.etag").write_text(server.etag)
    download_url(url, tmp_path / "f", sha256=SHA256)
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_two_downloads_of_one_file_fetch_it_once(server, url, tmp_path):
    server.delay = 0.2
    threads = [
        threading.Thread(target=download_url, args=(url, tmp_path / "f"), kwargs={"sha256": SHA256})
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_silent_server_is_given_up(server, url, tmp_path):
    server.delay = 0.5
    with pytest.raises(DownloadError, match="timed out"):
        download_url(url, tmp_path / "f", timeout=0.05, retries=0)


def test_a_password_in_the_address_is_not_shown(server, tmp_path):
    server.status = 404
    secret = f"http://me:hunter2@127.0.0.1:{server.server_port}/f"
    with pytest.raises(DownloadError) as caught:
        download_url(secret, tmp_path / "f", retries=0)
    assert "hunter2" not in str(caught.value)


def test_a_given_logger_gets_the_lines(url, tmp_path, caplog):
    logger = logging.getLogger("espnet3.test.given")
    caplog.set_level(logging.INFO, logger.name)
    download_url(url, tmp_path / "f", logger, 50)
    assert {record.name for record in caplog.records} == {logger.name}
    shares = [m for m in caplog.messages if m.endswith("%")]
    assert len(shares) == 3


def test_a_local_file_address_works(tmp_path):
    (tmp_path / "source").write_bytes(CONTENT)
    download_url((tmp_path / "source").as_uri(), tmp_path / "f", sha256=SHA256)
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_other_schemes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="ftp"):
        download_url("ftp://host/file", tmp_path / "f")


def test_progress_logs_each_bucket_once_and_never_beyond_100(caplog):
    caplog.set_level(logging.INFO)
    progress = DownloadProgress(logging.getLogger("x"), "f", step_percent=25)
    for block in range(13):
        progress(block, 10, 100)
    shares = [int(message.rpartition(" ")[2][:-1]) for message in caplog.messages]
    assert shares == [0, 30, 50, 80, 100]


def test_progress_of_unknown_size_is_silent(caplog):
    caplog.set_level(logging.INFO)
    DownloadProgress(logging.getLogger("x"), "f")(1, 10, 0)
    DownloadProgress(logging.getLogger("x"), "f")(1, 10, -1)
    assert caplog.messages == []


def test_a_prepared_logger_has_each_handler_once(tmp_path):
    for _ in range(2):
        logger = setup_logger("espnet3.test.download", tmp_path)
    assert len(logger.handlers) == 2
    assert logger.propagate is False
    logger.info("hello")
    assert "hello" in (tmp_path / "download.log").read_text()
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


def test_a_gzipped_tar_is_extracted_and_announced(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("x")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"X"))
    extract_targz(tmp_path / "a.tar.gz", tmp_path / "out")
    assert (tmp_path / "out" / "x").read_bytes() == b"X"
    assert "Extracting: a.tar.gz" in caplog.text
