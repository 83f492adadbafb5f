"""Docks that are not ours, or say what is not so: each is told in one sentence, and no clip leaves the unit for it."""

import gzip
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from appliance.docking.client import DockAnswerError, DockClient, DockRefusedError
from appliance.docking.introduction import WelcomeDiffersError
from appliance.docking.tls import context_for
from dock_station.catalogue.schema import migrate
from dock_station.clock import utc_now
from dock_station.dock import Dock
from dock_station.settings import DockFolder
from evidence import receipt as receipts
from evidence.age import HybridIdentity, X25519Identity
from evidence.certificates import CertificateError, load_certificate
from evidence.docking import Refusal, RefusalCode, Welcome
from evidence.errors import MirrorcamError
from evidence.receipt import ReceiptDiffersError
from evidence.signature import SignatureError
from evidence.strict import SchemaError, write_json
from tests.dock import NO_RESERVE, RunningDock, running, set_up
from tests.lies import Answer, Mouth, lying_dock
from tests.pki import Identity, Pki, dock_folder, policy_toml, write_policy
from tests.worn import Worn, enrol

SEAL = ("POST", "/seal")
GREETING = ("POST", "/greeting")


@pytest.fixture
def pki() -> Pki:
    return Pki()


@pytest.fixture
def folder(tmp_path: Path, pki: Pki) -> DockFolder:
    return set_up(tmp_path / "dock", pki)


def unit_at(tmp_path: Path, pki: Pki, port: int, host: str = "localhost") -> Worn:
    return Worn.open(enrol(tmp_path / "unit", pki, f"https://{host}:{port}"))


class TestWhoAnswers:
    def test_a_dock_of_another_authority_is_not_spoken_to(self, tmp_path: Path, folder: DockFolder, pki: Pki) -> None:
        with running(folder, pki) as dock:
            unit = unit_at(tmp_path, Pki(name="Another town"), dock.port)
            self.refuses(unit, "another authority issued it")
            assert dock.log() == []

    def test_a_dock_whose_certificate_has_another_host_in_it_is_not_spoken_to(
        self, tmp_path: Path, folder: DockFolder, pki: Pki
    ) -> None:
        self.replace_certificate(folder, pki.dock("dock-1", ("elsewhere.example",)))
        with running(folder, pki) as dock:
            self.refuses(unit_at(tmp_path, pki, dock.port), "it is for another host")

    def test_a_dock_is_called_by_its_address_too(self, tmp_path: Path, folder: DockFolder, pki: Pki) -> None:
        with running(folder, pki) as dock:
            unit = unit_at(tmp_path, pki, dock.port, "127.0.0.1")
            clip = unit.clip()
            unit.offload()
            assert dock.is_stored(clip)

    def test_a_unit_that_plays_the_dock_is_not_spoken_to(self, tmp_path: Path, folder: DockFolder, pki: Pki) -> None:
        self.replace_certificate(folder, pki.unit("unit-9"))
        with running(folder, pki) as dock, pytest.raises(CertificateError):
            unit_at(tmp_path, pki, dock.port).offload()

    def test_a_dock_whose_certificate_has_run_out_is_refused_by_the_time_that_it_says_itself(
        self, tmp_path: Path, folder: DockFolder, pki: Pki
    ) -> None:
        self.replace_certificate(folder, pki.dock("dock-1", valid_until=utc_now() - timedelta(minutes=1)))
        with running(folder, pki) as dock:
            self.refuses(unit_at(tmp_path, pki, dock.port), "it expired on")

    def test_a_dock_that_another_dock_said_was_revoked_is_not_spoken_to(
        self, tmp_path: Path, folder: DockFolder, pki: Pki
    ) -> None:
        stolen = Identity(pki.dock("dock-1").key, load_certificate(folder.tls_certificate_file))
        pki.revoke(stolen)
        good = second_dock(tmp_path, pki)
        unit = unit_at(tmp_path, pki, 1)
        with running(folder, pki) as bad_dock, running(good, pki) as good_dock:
            moved_to(unit, bad_dock).offload()  # nobody has told the unit yet
            moved_to(unit, good_dock).offload()
            self.refuses(moved_to(unit, bad_dock), "it was revoked on")

    def test_an_older_list_of_revoked_certificates_does_not_replace_a_newer_one(
        self, tmp_path: Path, folder: DockFolder, pki: Pki
    ) -> None:
        pki.revoke(pki.unit("unit-7"))
        good = second_dock(tmp_path, pki)
        unit = unit_at(tmp_path, pki, 1)
        with running(folder, pki) as old_dock, running(good, pki) as new_dock:
            moved_to(unit, new_dock).offload()
            newest = unit.installation.folder.revocations_file.read_bytes()
            moved_to(unit, old_dock).offload()
            assert unit.installation.folder.revocations_file.read_bytes() == newest

    def test_a_revoked_unit_is_told_so_and_keeps_its_clips(self, tmp_path: Path, folder: DockFolder, pki: Pki) -> None:
        identity = pki.unit("unit-1")
        with running(folder, pki) as dock:
            dock.revoke(identity)
            unit = Worn.open(enrol(tmp_path / "unit", pki, f"https://localhost:{dock.port}", identity=identity))
            clip = unit.clip()
            with pytest.raises(CertificateError, match=r"^The certificate of this unit is refused: .*revoked"):
                unit.offload()
            assert unit.waiting() == [clip.clip_id]

    def replace_certificate(self, folder: DockFolder, identity: Identity) -> None:
        folder.tls_key_file.unlink()
        identity.write(folder.tls_key_file, folder.tls_certificate_file)

    def refuses(self, unit: Worn, reason: str) -> None:
        clip = unit.clip()
        with pytest.raises(CertificateError, match=rf"^The certificate of .* is refused: {reason}") as caught:
            unit.offload()
        assert_is_one_sentence(caught.value)
        assert unit.waiting() == [clip.clip_id]


class TestWhatItSays:
    @pytest.fixture
    def lying(self, folder: DockFolder, pki: Pki) -> Iterator[tuple[RunningDock, Mouth]]:
        with lying_dock(folder, pki) as both:
            yield both

    @pytest.fixture
    def dock(self, lying: tuple[RunningDock, Mouth]) -> RunningDock:
        return lying[0]

    @pytest.fixture
    def mouth(self, lying: tuple[RunningDock, Mouth]) -> Mouth:
        return lying[1]

    @pytest.fixture
    def unit(self, tmp_path: Path, pki: Pki, dock: RunningDock) -> Worn:
        return unit_at(tmp_path, pki, dock.port)

    def fails(self, dock: RunningDock, unit: Worn, mouth: Mouth, kind: type[MirrorcamError], words: str) -> None:
        """Check that the clip stays for one clear sentence, and goes once the dock speaks the truth."""
        clip = unit.clip()
        with pytest.raises(kind, match=words) as caught:
            unit.offload()
        assert_is_one_sentence(caught.value)
        assert unit.waiting() == [clip.clip_id]
        mouth.lies.clear()
        unit.offload()
        assert unit.waiting() == []
        assert dock.is_stored(clip)

    def test_a_receipt_for_another_clip_lets_nothing_go(self, dock: RunningDock, unit: Worn, mouth: Mouth) -> None:
        kept: list[Answer] = []
        mouth.lies[SEAL] = kept.append
        unit.clip()
        unit.offload()
        mouth.lies[SEAL] = lambda answer: kept[0]
        self.fails(dock, unit, mouth, ReceiptDiffersError, "has another clip_id than the clip")

    def test_a_receipt_that_somebody_else_signed_lets_nothing_go(
        self, dock: RunningDock, unit: Worn, mouth: Mouth, pki: Pki
    ) -> None:
        other = pki.unit("unit-9").signer()

        def signed_by_a_unit(answer: Answer) -> Answer:
            return Answer(answer.status, answer.headers, msgspec.json.encode(other.signed(answer.signed.content)))

        mouth.lies[SEAL] = signed_by_a_unit
        self.fails(dock, unit, mouth, CertificateError, "its role is unit, not dock-signer")

    def test_a_receipt_whose_signature_is_by_another_key_lets_nothing_go(
        self, dock: RunningDock, unit: Worn, mouth: Mouth, pki: Pki
    ) -> None:
        other = pki.dock_signer("dock-1").signer()

        def signed_by_another_key(answer: Answer) -> Answer:
            forged = msgspec.structs.replace(answer.signed, signature=other.sign(answer.signed.content))
            return Answer(answer.status, answer.headers, msgspec.json.encode(forged))

        mouth.lies[SEAL] = signed_by_another_key
        self.fails(dock, unit, mouth, SignatureError, "The signature of this receipt does not fit it")

    def test_a_receipt_for_other_bytes_lets_nothing_go(
        self, dock: RunningDock, unit: Worn, mouth: Mouth, folder: DockFolder
    ) -> None:
        def with_another_digest(answer: Answer) -> Answer:
            stated = receipts.decode(answer.signed.content)
            changed = receipts.encode(msgspec.structs.replace(stated, ciphertext_sha256="0" * 64))
            return Answer(answer.status, answer.headers, msgspec.json.encode(folder.signer().signed(changed)))

        mouth.lies[SEAL] = with_another_digest
        self.fails(dock, unit, mouth, ReceiptDiffersError, "has another ciphertext_sha256 than the clip")

    def test_a_welcome_for_another_unit_is_not_taken(
        self, tmp_path: Path, dock: RunningDock, unit: Worn, mouth: Mouth, pki: Pki
    ) -> None:
        kept: list[Answer] = []
        mouth.lies[GREETING] = kept.append
        other = Worn.open(enrol(tmp_path / "other", pki, f"https://localhost:{dock.port}", unit_id="unit-2"))
        other.offload()
        mouth.lies[GREETING] = lambda answer: kept[0]
        self.fails(dock, unit, mouth, WelcomeDiffersError, "is for unit unit-2, not for this one")

    def test_a_welcome_that_was_changed_sets_no_clock(self, dock: RunningDock, unit: Worn, mouth: Mouth) -> None:
        def a_year_later(answer: Answer) -> Answer:
            welcome = msgspec.json.decode(answer.signed.content, type=Welcome)
            changed = write_json(msgspec.structs.replace(welcome, time=welcome.time + timedelta(days=100)))
            forged = msgspec.structs.replace(answer.signed, content=changed)
            return Answer(answer.status, answer.headers, msgspec.json.encode(forged))

        mouth.lies[GREETING] = a_year_later
        clip = unit.clip()
        with pytest.raises(SignatureError, match="signature of this welcome"):
            unit.offload()
        assert unit.installation.clock.quality().last_sync is None
        assert unit.waiting() == [clip.clip_id]

    def test_the_welcome_of_another_dock_is_not_taken(
        self, dock: RunningDock, unit: Worn, mouth: Mouth, pki: Pki
    ) -> None:
        other = pki.dock_signer("dock-2").signer()

        def in_the_name_of_another(answer: Answer) -> Answer:
            welcome = msgspec.json.decode(answer.signed.content, type=Welcome)
            changed = write_json(msgspec.structs.replace(welcome, dock_id="dock-2"))
            return Answer(answer.status, answer.headers, msgspec.json.encode(other.signed(changed)))

        mouth.lies[GREETING] = in_the_name_of_another
        self.fails(dock, unit, mouth, WelcomeDiffersError, "comes from dock dock-1")

    @pytest.mark.parametrize(
        ("request_", "status", "code"),
        [
            (GREETING, "503 Service Unavailable", RefusalCode.DOCK),
            (("POST", "/clips"), "507 Insufficient Storage", RefusalCode.NO_ROOM),
            (("PATCH", ""), "423 Locked", RefusalCode.BUSY),
            (("PATCH", ""), "507 Insufficient Storage", RefusalCode.NO_ROOM),
            (SEAL, "500 Internal Server Error", RefusalCode.DOCK),
        ],
    )
    def test_a_dock_in_trouble_is_told_in_its_own_words(
        self,
        dock: RunningDock,
        unit: Worn,
        mouth: Mouth,
        request_: tuple[str, str],
        status: str,
        code: RefusalCode,
    ) -> None:
        sentence = "The dock has its own sentence for this\x1b[31m; so it is shown."
        refusal = msgspec.json.encode(Refusal(code=code, message=sentence))
        mouth.lies[request_] = lambda answer: Answer(status, {"Content-Type": "application/json"}, refusal)
        self.fails(dock, unit, mouth, DockRefusedError, r"^The dock has its own sentence for this\[31m; so it is shown")

    @pytest.mark.parametrize("status", ["500 Internal Server Error", "502 Bad Gateway", "302 Found", "404 Not Found"])
    def test_an_answer_that_is_none_of_the_protocol_is_told_by_its_status(
        self, dock: RunningDock, unit: Worn, mouth: Mouth, status: str
    ) -> None:
        mouth.lies[SEAL] = lambda answer: Answer(status, {"Location": "https://elsewhere.example/"}, b"<html>")
        self.fails(dock, unit, mouth, DockRefusedError, f"HTTP status {status[:3]}")

    @pytest.mark.parametrize(
        ("request_", "answer", "words"),
        [
            (GREETING, Answer("200 OK", {}, b"no JSON"), "it is not JSON"),
            (SEAL, Answer("200 OK", {}, b"x" * 2_000_000), "longer than 1048576 bytes"),
            (("POST", "/clips"), Answer("201 Created", {}, b""), "names no place for the upload"),
            (("POST", "/clips"), Answer("201 Created", {"Location": "https://x.example/y"}, b""), "names no place"),
            (("PATCH", ""), Answer("204 No Content", {}, b""), "how much of the clip it has"),
            (("PATCH", ""), Answer("204 No Content", {"Upload-Offset": "0"}, b""), "acknowledges 0 bytes"),
            (("PATCH", ""), Answer("204 No Content", {"Upload-Offset": "9999999"}, b""), "how much of the clip"),
        ],
    )
    def test_an_answer_that_makes_no_sense_is_refused(
        self, dock: RunningDock, unit: Worn, mouth: Mouth, request_: tuple[str, str], answer: Answer, words: str
    ) -> None:
        mouth.lies[request_] = lambda _: answer
        self.fails(dock, unit, mouth, DockAnswerError, words)

    @pytest.mark.parametrize("place", ["//xn--", "http:..a", ":https://["])
    def test_an_answer_that_leads_to_no_place_at_all_is_refused(
        self, dock: RunningDock, unit: Worn, mouth: Mouth, place: str
    ) -> None:
        nowhere = Answer("302 Found", {"Location": place}, b"")
        mouth.lies[("GET", "/0")] = lambda _: nowhere
        with dock_client(unit) as client, pytest.raises(DockAnswerError, match="leads to no place"):
            list(client.bundle("0", 0))
        mouth.lies[GREETING] = lambda _: nowhere
        self.fails(dock, unit, mouth, DockAnswerError, "leads to no place")

    def test_an_answer_that_is_packed_is_not_unpacked(self, dock: RunningDock, unit: Worn, mouth: Mouth) -> None:
        # A MiB of it would be a GiB in the memory of a unit that has half of that.
        packed = gzip.compress(bytes(64 << 20))
        answer = Answer("200 OK", {"Content-Type": "application/json", "Content-Encoding": "gzip"}, packed)
        mouth.lies[GREETING] = lambda _: answer
        tracemalloc.start()
        try:
            self.fails(dock, unit, mouth, DockAnswerError, "it is packed")
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < 16 << 20

    def test_a_policy_that_is_not_good_keeps_no_clip_here_and_changes_nothing(
        self, dock: RunningDock, unit: Worn, mouth: Mouth, folder: DockFolder
    ) -> None:
        def with_a_changed_policy(answer: Answer) -> Answer:
            welcome = msgspec.json.decode(answer.signed.content, type=Welcome)
            changed = msgspec.structs.replace(welcome, policy=welcome.policy + b"mirror = false\n")
            content = msgspec.json.encode(folder.signer().signed(write_json(changed)))
            return Answer(answer.status, answer.headers, content)

        before = unit.installation.folder.policy()
        mouth.lies[GREETING] = with_a_changed_policy
        clip = unit.clip()
        with pytest.raises(SignatureError, match="signature of this policy"):
            unit.offload()
        assert unit.waiting() == []
        assert dock.is_stored(clip)
        assert unit.installation.folder.policy() == before

    @pytest.mark.parametrize(
        "recipients",
        [("age1nonsense",), (str(X25519Identity.generate().recipient), str(HybridIdentity.generate().recipient))],
        ids=["nonsense", "mixed"],
    )
    def test_a_policy_whose_recipients_cannot_be_sealed_to_is_not_taken(
        self, dock: RunningDock, unit: Worn, pki: Pki, folder: DockFolder, recipients: tuple[str, ...]
    ) -> None:
        before = unit.installation.folder.policy()
        write_policy(folder, pki, policy_toml(recipients=recipients))
        with pytest.raises(SchemaError, match="This policy is refused"):
            unit.offload()
        assert unit.installation.folder.policy() == before

    def test_a_dock_that_closes_without_a_word_is_told(self, dock: RunningDock, unit: Worn, mouth: Mouth) -> None:
        def die(answer: Answer) -> Answer:
            raise ConnectionError("the power of the dock")

        mouth.lies[SEAL] = die
        self.fails(dock, unit, mouth, MirrorcamError, r"broke off|HTTP status 500")


def second_dock(tmp_path: Path, pki: Pki) -> DockFolder:
    folder = dock_folder(tmp_path / "dock-2", pki, dock_id="dock-2", settings=NO_RESERVE)
    dock = Dock.open_unchecked(folder)
    migrate(dock.catalogue)
    dock.close()
    return folder


def dock_client(unit: Worn) -> DockClient:
    folder = unit.installation.folder
    return DockClient(unit.installation.settings.dock_url, context_for(folder, folder.authority()), "mirrorcam test")


def moved_to(unit: Worn, dock: RunningDock) -> Worn:
    """Return the same unit, with another dock in its settings."""
    folder = unit.installation.folder
    folder.settings_file.write_text(f'unit_id = "unit-1"\ndock_url = "https://localhost:{dock.port}"\n')
    return Worn.open(folder)


def assert_is_one_sentence(error: Exception) -> None:
    sentence = str(error)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert sentence.isprintable()
