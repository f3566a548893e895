"""Notary (https://github.com/theupdateframework/notary): a server and a signer of signed metadata, on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from pytest_crosscloud import hookimpl
from pytest_crosscloud.build.debian import DebianBuild
from pytest_crosscloud.build.go import GoBuild, GoProgram
from pytest_crosscloud.build.images import File
from pytest_crosscloud.build.parts import Part, Parts
from pytest_crosscloud.model import E2E, Project

_HERE = Path(__file__).resolve().parent

_MODULE = "github.com/theupdateframework/notary"
_NOBODY = "65532:65532"

# The one that v0.7.0 asks for panics in every Go since 1.16, as soon as the signer encrypts a key for a database:
# crypto/hmac: hash generation function does not produce unique values.
_JOSE = {"github.com/dvsekhvalnov/jose2go": "v1.5.0"}

_VERSION = f"-X {_MODULE}/version.NotaryVersion={{number}} -X {_MODULE}/version.GitCommit={{commit}}"

# PostgreSQL depends on these for what a test's database does not do: compiling queries, Debian's clusters and their
# scripts, users of the system, collations of every language.
_NOT_NEEDED = (
    "libllvm*", "libz3*", "perl*", "libperl*", "lib*-perl", "postgresql-common*", "postgresql-client-common",
    "debconf*", "ssl-cert", "openssl", "ucf", "locales*", "libc-l10n", "usrmerge", "adduser", "passwd",
    "libpam-modules*",
    "libsemanage*", "libsepol*", "libdb5*", "libgdbm*", "netbase", "sensible-utils", "init-system-helpers", "lsb-base",
    "sysvinit-utils", "debianutils", "dpkg", "tar", "libc-bin", "libaudit-common",
)  # fmt: skip


@hookimpl
def crosscloud_projects() -> list[Project]:
    return [
        Project(
            name="notary",
            display_name="Notary",
            sub_title="Security",
            order=80,
            project_url="https://github.com/theupdateframework/notary",
            repository_url="https://github.com/theupdateframework/notary",
            cncf_relation="Archived",
            stable_ref="v0.7.0",
            head_ref="master",
            build=Parts(
                parts={
                    "notary-server": Part(
                        build=GoBuild(
                            module=_MODULE,
                            package="./cmd/notary-server",
                            image="notary/server",
                            ldflags=_VERSION,
                            requires=_JOSE,
                            user=_NOBODY,
                            ports=("4443/tcp",),
                        )
                    ),
                    "notary-signer": Part(
                        build=GoBuild(
                            module=_MODULE,
                            package="./cmd/notary-signer",
                            image="notary/signer",
                            ldflags=_VERSION,
                            requires=_JOSE,
                            user=_NOBODY,
                            ports=("7899/tcp",),
                        ),
                        follows=True,
                    ),
                    # With the tables as this version of Notary has them.
                    "notary-database": Part(
                        build=DebianBuild(
                            packages=("postgresql", "dash", "coreutils"),
                            without=_NOT_NEEDED,
                            image="notary/database",
                            entrypoint=("/bin/sh",),
                            files=(
                                File("/etc/passwd", b"postgres:x:999:999::/var/lib/postgresql:/bin/sh\n"),
                                File("/etc/group", b"postgres:x:999:\n"),
                            ),
                            module=_MODULE,
                            module_files={
                                "migrations/server/postgresql": "/migrations/server",
                                "migrations/signer/postgresql": "/migrations/signer",
                            },
                            user="999:999",
                            ports=("5432/tcp",),
                        ),
                        follows=True,
                    ),
                }
            ),
            chart="notary",
            e2e=E2E(build=GoProgram(directory=_HERE / "e2e", image="notary/e2e"), timeout=180),
        )
    ]
