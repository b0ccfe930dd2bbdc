"""What the launcher is told of certificates: whole sets that can be read, or it says at once what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.certificates.make_certificates import make_certificates
from dmp_chassis.settings import SettingsError
from dmp_stack.gateway_certificates import PublicCertificate
from dmp_stack.settings import StackSettings


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    make_certificates(directory)
    return directory


def problems(environment: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        StackSettings.from_env(environment)
    return raised.value.problems


def test_both_kinds_of_certificates_may_be_given_or_left_out(made: Path) -> None:
    certificate, key = made / "public" / "cert.pem", made / "public" / "key.pem"
    given = StackSettings.from_env(
        {
            "DMP_HTTP_CERT_FILE": str(certificate),
            "DMP_HTTP_KEY_FILE": str(key),
            "DMP_CERTIFICATES_DIR": str(made),
        }
    )
    assert given.public_certificate == PublicCertificate(certificate=certificate, key=key)
    assert given.certificates_directory == made
    none = StackSettings.from_env({})
    assert (none.public_certificate, none.certificates_directory) == (None, None)


def test_a_certificate_needs_its_own_key(made: Path) -> None:
    certificate = {"DMP_HTTP_CERT_FILE": str(made / "public" / "cert.pem")}
    assert problems(certificate)[0] == "DMP_HTTP_KEY_FILE must be set, as the other one is"
    (problem,) = problems({**certificate, "DMP_HTTP_KEY_FILE": str(made / "stats" / "key.pem")})
    assert problem.startswith("DMP_HTTP_CERT_FILE and DMP_HTTP_KEY_FILE cannot be used: they do not fit together")


def test_every_service_needs_a_certificate_in_the_directory(made: Path, tmp_path: Path) -> None:
    (tmp_path / "ingest").symlink_to(made / "ingest")
    found = problems({"DMP_CERTIFICATES_DIR": str(tmp_path)})
    assert [problem.split(":")[0] for problem in found] == [
        f"DMP_CERTIFICATES_DIR cannot be used for {name}" for name in ("gateway", "identity", "stats")
    ]
