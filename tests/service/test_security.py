"""Who may ask what: addresses, tokens, Host, Origin, rates; and that names of patients reach nobody else."""

from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from starlette.testclient import TestClient
from typer.testing import CliRunner

from lungwise.cli.main import app as command
from lungwise.errors import LungwiseError
from lungwise.inference.predictor import Predictor
from lungwise.service.app import create_app
from lungwise.service.rates import Rates, network
from lungwise.service.security import Access, route_path
from lungwise.service.settings import Settings
from lungwise.service.tokens import Tokens, fingerprint, new_token
from tests.service.conftest import Serve

TOKEN, SHA = new_token()
BEARER = {"authorization": f"Bearer {TOKEN}"}
CLOSED: dict[str, Any] = {"tokens": (SHA,)}
PLANTED = "Zwiebelfisch"


@pytest.fixture
def closed(serve: Serve) -> TestClient:
    return serve(**CLOSED)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "xray.example.org"])
def test_an_address_that_others_reach_is_refused_without_a_token(host: str, predictor: Predictor) -> None:
    said = rf"^On an address that others can reach a service needs tokens or OIDC, but {host} would be open to everybody; run "
    with pytest.raises(LungwiseError, match=said):
        create_app(Settings(host=host, sandbox=False), predictor)
    assert Access(Settings(host=host, **CLOSED)).closed
    assert not Access(Settings(host="127.0.0.1")).closed


def test_any_host_name_needs_a_token() -> None:
    with pytest.raises(LungwiseError, match=r"^hosts may be \* only where tokens or OIDC are asked for"):
        Access(Settings(hosts=("*",)))


def test_a_token_is_shown_once_with_its_hash() -> None:
    reply = CliRunner().invoke(command, ["serve", "--new-token"])
    assert reply.exit_code == 0
    token, sha = reply.stdout.split("only now: ")[1].split("\n")[0], reply.stdout.split('["')[1].split('"]')[0]
    assert len(token) == 43
    assert hashlib.sha256(token.encode()).hexdigest() == sha
    assert new_token() != new_token()


def test_hashes_come_from_the_settings_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "tokens.txt"
    file.write_text(f"# reading room\n{SHA.upper()}\n\n")
    found = Tokens((fingerprint("other"),), file)
    assert (found.find(TOKEN), found.find("other"), found.find(SHA)) == (SHA, fingerprint("other"), None)
    file.write_text("# none\n")
    with pytest.raises(LungwiseError, match=r"^tokens_file must hold at least one SHA-256, but .*tokens\.txt has none; "):
        Tokens((), file)
    with pytest.raises(LungwiseError, match=r"^tokens_file must be a text file that can be read, but .*gone is not; "):
        Tokens((), tmp_path / "gone")


def test_a_token_in_the_place_of_its_hash_is_refused_and_not_shown() -> None:
    with pytest.raises(LungwiseError, match=r"64 hexadecimal digits, but tokens, number 1 is none; ") as caught:
        Access(Settings(tokens=(TOKEN,)))
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "A token is needed; send it as a bearer token."),
        ({"authorization": "Basic abc"}, "A token is needed; send it as a bearer token."),
        ({"authorization": "Bearer "}, "A token is needed; send it as a bearer token."),
        ({"authorization": f"Bearer {SHA}"}, "The token is not accepted; ask for another."),
        ({"authorization": f"Bearer {TOKEN}x"}, "The token is not accepted; ask for another."),
        ({"cookie": f"token={TOKEN}"}, "A token is needed; send it as a bearer token."),
    ],
)
def test_without_the_token_there_is_no_answer(closed: TestClient, png: bytes, headers: dict[str, str], said: str) -> None:
    for method, path in (("POST", "/v1/predict"), ("GET", "/v1/model"), ("POST", "/v1/workspaces"), ("GET", "/openapi.json"),
                         ("GET", "/metrics"), ("POST", "/invocations"), ("GET", "/v2/models/tiny"), ("GET", "/nothing"),
                         ("GET", "/v1/workspaces/x/close"), ("DELETE", "/"), ("POST", "/v2/health/live")):  # fmt: skip
        reply = closed.request(method, path, headers=headers)
        assert (reply.status_code, reply.json()["code"], reply.json()["detail"]) == (401, "unauthorized", said), path
        assert reply.headers["www-authenticate"].startswith('Bearer realm="lungwise"')
        assert "set-cookie" not in reply.headers


def test_with_the_token_there_is(closed: TestClient, png: bytes) -> None:
    reply = closed.post("/v1/predict", files={"files": ("a.png", png)}, headers=BEARER)
    assert (reply.status_code, reply.json()["results"][0]["status"]) == (200, "ok")
    assert closed.get("/metrics", headers=BEARER).status_code == 200
    assert "set-cookie" not in reply.headers


def test_probes_and_the_closing_of_a_workspace_need_no_token(closed: TestClient) -> None:
    for path in ("/v2/health/live", "/v2/health/ready", "/ping"):
        assert closed.get(path, headers={"host": "10.0.0.3:8000"}).status_code == 200  # as an orchestrator asks
    place = closed.post("/v1/workspaces", headers=BEARER).headers["location"]
    assert closed.post(f"{place}/close").status_code == 204
    assert closed.get(place, headers=BEARER).status_code == 404


def test_the_metrics_can_be_opened(serve: Serve) -> None:
    assert serve(**CLOSED, metrics_open=True).get("/metrics").status_code == 200


@pytest.mark.parametrize("path", ["/static/../v1/model", "//v1/model", "/v1/workspaces/a/b/close", "/metrics/", "/ping/"])
def test_no_other_spelling_of_a_path_is_open(closed: TestClient, path: str) -> None:
    request = closed.build_request("POST" if path.endswith("close") else "GET", "http://localhost/")
    request.url = request.url.copy_with(raw_path=path.encode())
    reply = closed.send(request)
    assert reply.status_code in (401, 404)
    assert "bundle_sha256" not in reply.text


def test_the_path_of_a_proxy_opens_nothing(serve: Serve) -> None:
    client = serve(**CLOSED, root_path="/xray")
    assert client.get("/xray/v1/model").status_code == 401
    assert client.get("/xray/v1/model", headers=BEARER).status_code == 200
    assert client.get("/xray/ping").status_code == 200
    assert route_path({"path": "/xrays", "root_path": "/xray"}) == "/xrays"
    assert route_path({"path": "/xray", "root_path": "/xray/"}) == "/"


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("LOCALHOST:8000", 200), ("127.0.0.1:9", 200), ("[::1]:8000", 200), ("evil.example", 421),
     ("localhost.evil.example", 421), ("localhost@evil.example", 421), ("localhost:80@evil.example", 421),
     ("0.0.0.0", 421), ("[", 421), ("", 421)],
)  # fmt: skip
def test_a_page_on_another_name_that_points_here_learns_nothing(client: TestClient, host: str, status: int) -> None:
    reply = client.get("/v1/model", headers={"host": host})
    assert reply.status_code == status
    if status == 421:
        assert reply.json()["code"] == "misdirected"
        assert "evil" not in reply.text


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://localhost", 201), ("https://localhost", 201), (None, 201), ("http://localhost:3000", 403), ("null", 403),
     ("http://evil.example", 403), ("file://localhost", 403), ("http://localhost.evil.example", 403), ("http://[", 403)],
)  # fmt: skip
def test_a_page_of_another_origin_changes_nothing(client: TestClient, origin: str | None, status: int) -> None:
    headers = {"origin": origin} if origin else {}
    reply = client.post("/v1/workspaces", headers=headers)
    assert reply.status_code == status
    assert "access-control-allow-origin" not in reply.headers
    if status == 403:
        assert reply.json()["code"] == "forbidden"
        place = client.post("/v1/workspaces").headers["location"]
        assert client.delete(place, headers=headers).status_code == 403
        assert client.post(f"{place}/close", headers=headers).status_code == 403
        assert client.get(place).status_code == 200


def test_a_preflight_is_not_answered(client: TestClient) -> None:
    asked = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    reply = client.options("/v1/predict", headers=asked)
    assert reply.status_code == 405
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_rates_are_those_of_the_settings_and_memory_is_bounded() -> None:
    now = [0.0]
    rates = Rates(60, 2, lambda: now[0], most=3)
    assert [rates.wait("a") for _ in range(4)] == [0, 0, 1, 1]
    assert rates.wait("b") == 0
    now[0] = 0.5
    assert rates.wait("a") == 1
    now[0] = 1.0
    assert [rates.wait("a"), rates.wait("a")] == [0, 1]
    now[0] = 1000.0
    assert [rates.wait("a") for _ in range(3)] == [0, 0, 1]
    for number in range(100):
        rates.wait(f"client {number}")
    assert len(rates) == 3


def test_a_household_of_ipv6_is_one_client() -> None:
    assert network("2001:db8:1:2:3:4:5:6") == network("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert network("2001:db8:1:3::9") != network("2001:db8:1:2::9")
    assert (network("10.0.0.1"), network("::ffff:10.0.0.1"), network("testclient")) == ("10.0.0.1", "10.0.0.1", "testclient")


def test_too_many_requests_are_told_when_to_come_again(serve: Serve) -> None:
    client = serve(tokens=(SHA, fingerprint("second")), rate_burst=2, rate_per_minute=0.5)
    replies = [client.get("/v1/model", headers=BEARER) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert (replies[2].json()["code"], int(replies[2].headers["retry-after"])) == ("rate-limit", 120)
    assert client.get("/v1/model", headers={"authorization": "Bearer second"}).status_code == 200
    wrong = [client.get("/v1/model", headers={"authorization": f"Bearer guess{one}"}).status_code for one in range(3)]
    assert wrong == [401, 401, 429]  # guesses count for the address, whatever is guessed
    assert {client.get("/ping").status_code for _ in range(5)} == {200}


def named_dicom() -> bytes:
    """A film with the planted name wherever a name can be, and in places where none should be."""
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = SecondaryCaptureImageStorage
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = "1.2.3"
    for keyword in ("PatientName", "PatientID", "InstitutionName", "StudyDescription", "SeriesDescription", "PatientComments",
                    "BodyPartExamined", "OperatorsName", "ManufacturerModelName", "ImageComments"):  # fmt: skip
        setattr(file, keyword, PLANTED.upper() if keyword == "BodyPartExamined" else PLANTED)
    file.add_new(0x00091001, "LO", PLANTED)
    file.Modality, file.PhotometricInterpretation, file.SamplesPerPixel = "DX", "MONOCHROME2", 1
    file.Rows = file.Columns = 64
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 8, 8, 7, 0
    file.PixelData = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8).tobytes()
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_a_planted_name_is_in_no_log_metric_header_or_error(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, "lungwise")
    client, film, name = serve(logs=tmp_path, sandbox=True, decoders=1), named_dicom(), f"{PLANTED}.dcm"
    headers = {"x-patient": PLANTED, "user-agent": PLANTED, "authorization": f"Bearer {PLANTED}"}
    place = client.post("/v1/workspaces").headers["location"]
    own = [
        client.post("/v1/predict", files=[("files", (name, film)), ("files", (name, film[:-500]))], headers=headers),
        client.post(f"{place}/images", files={"file": (name, film)}, headers=headers),
        client.get(place),
        client.get(f"{place}/results.csv"),
        client.get(f"{place}/results.json"),
    ]
    image = own[1].headers["location"]
    others = [
        client.post("/v1/predict", content=film, headers={"content-type": "application/dicom"}),
        client.post("/v1/heatmap", files={"file": (name, film[:300])}),
        client.post("/v1/predict", files={"files": (name, b"")}),
        client.post("/v1/predict", content=film, headers={"content-type": "text/plain", **headers}),
        client.post("/v1/predict", files={"wrong": (name, film)}),
        client.post("/invocations", content=film, headers={"content-type": "application/dicom"}),
        client.get(f"{image}/pixels.png"),
        client.get(f"{image}/heat.png"),
        client.get(f"/{PLANTED}?name={PLANTED}"),
        client.get(f"/v1/workspaces/{PLANTED}"),
        client.get(f"/v2/models/{PLANTED}", headers=headers),
        client.request(PLANTED.upper(), "/v1/model"),
        client.get("/v1/model", headers={"host": f"{PLANTED}.example"}),
        client.post("/v1/workspaces", headers={"origin": f"https://{PLANTED}.example"}),
        client.get("/metrics"),
    ]
    for reply in own:
        assert reply.status_code in (200, 201), reply.text
        assert PLANTED in reply.text.replace(f"{PLANTED}.dcm", PLANTED)
        assert PLANTED.lower() not in reply.text.replace(name, "").lower()  # the file's name, nothing out of the file
    for number, reply in enumerate(others):
        shown = reply.text.lower().replace(f'"path":"{name}"'.lower(), "")
        assert PLANTED.lower() not in shown or number in (10, 11), (number, reply.text)  # model and method, to who sent them
    for reply in own + others:
        assert PLANTED.lower() not in str(reply.headers).lower()
    printed = capfd.readouterr()
    everything = "".join(path.read_text() for path in tmp_path.glob("audit.jsonl*")) + caplog.text + printed.out + printed.err
    assert "/v1/predict" in everything
    assert PLANTED.lower() not in everything.lower()
