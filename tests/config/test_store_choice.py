"""Which store is chosen, and what its URL becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradewatch.config import load


def test_a_relative_path_starts_where_it_was_written(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    file = home / "gradewatch.toml"
    file.write_text('[store]\nurl = "sqlite:///jobs/g.db"')
    assert load(file, {}, cwd=elsewhere).require().store.url == f"sqlite:///{home}/jobs/g.db"
    environ = {"GRADEWATCH_STORE__URL": "sqlite:///g.db"}
    assert load(file, environ, cwd=elsewhere).require().store.url == f"sqlite:///{elsewhere}/g.db"


def test_an_absolute_path_stays(tmp_path: Path) -> None:
    environ = {"GRADEWATCH_STORE__URL": "sqlite:////var/lib/g.db"}
    assert load(environ=environ, cwd=tmp_path).require().store.url == "sqlite:////var/lib/g.db"


def test_a_backends_own_variable_chooses_where_nothing_else_does(tmp_path: Path) -> None:
    result = load(environ={"DATABASE_URL": "sqlite:///app.db"}, cwd=tmp_path)
    assert result.require().store.url == f"sqlite:///{tmp_path}/app.db"
    assert result.sources == ("DATABASE_URL",)


def test_our_own_variable_goes_before_a_backends(tmp_path: Path) -> None:
    environ = {"DATABASE_URL": "postgresql://h/db", "GRADEWATCH_STORE__URL": "sqlite:///g.db"}
    result = load(environ=environ, cwd=tmp_path)
    assert (result.require().store.url, result.warnings) == (f"sqlite:///{tmp_path}/g.db", ())


@pytest.mark.parametrize(
    ("variable", "url", "database", "final"),
    [
        ("MONGO_URL", "mongodb://h/db", None, "mongodb://h/db"),
        ("MONGO_URL", "mongodb://h:27017", "app", "mongodb://h:27017/app"),
        ("MONGO_URL", "mongodb+srv://u:p@c.x.net/?w=1", "app", "mongodb+srv://u:p@c.x.net/app?w=1&authSource=admin"),
        ("MONGO_URL", "mongodb://u:p@a,b/users", "app", "mongodb://u:p@a,b/app?authSource=users"),
        ("MONGO_URL", "mongodb://u:p@h/users?authSource=x", "app", "mongodb://u:p@h/app?authSource=x"),
        ("GRADEWATCH_STORE__URL", "mongodb://h", "app", "mongodb://h/app"),
        ("GRADEWATCH_STORE__URL", "MongoDB://h/jobs", "app", "mongodb://h/jobs"),
    ],
)
def test_a_mongodb_database_is_named_by_the_url_or_by_db_name(
    tmp_path: Path, variable: str, url: str, database: str | None, final: str
) -> None:
    environ = {variable: url} | ({"DB_NAME": database} if database else {})
    assert load(environ=environ, cwd=tmp_path).require().store.url == final


def test_db_name_alone_means_nothing(tmp_path: Path) -> None:
    environ = {"DATABASE_URL": "postgresql://h/db", "DB_NAME": "app"}
    assert load(environ=environ, cwd=tmp_path).require().store.url == "postgresql://h/db"


@pytest.mark.parametrize(
    "scheme", ["postgres", "postgresql", "PostgreSQL", "postgresql+asyncpg", "postgresql+psycopg2"]
)
def test_postgresql_under_each_of_its_names(tmp_path: Path, scheme: str) -> None:
    result = load(environ={"DATABASE_URL": f"{scheme}://u:p@h:5432/db?sslmode=require"}, cwd=tmp_path)
    assert result.require().store.url == "postgresql://u:p@h:5432/db?sslmode=require"


def test_of_several_the_first_wins_with_a_warning(tmp_path: Path) -> None:
    environ = {"DATABASE_URL": "sqlite:///app.db", "MONGO_URL": "mongodb://h/db", "SUPABASE_URL": ""}
    result = load(environ=environ, cwd=tmp_path)
    assert "MONGO_URL, DATABASE_URL are all set: MONGO_URL chooses the store" in result.warnings[0]
    assert result.require().store.url == "mongodb://h/db"


def test_beside_a_settings_file_they_choose_nothing_and_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "gradewatch.toml").write_text("[http]\nport = 1")
    result = load(environ={"DATABASE_URL": "postgresql://h/db"}, cwd=tmp_path)
    assert result.require().store.url == f"sqlite:///{tmp_path}/gradewatch.db"
    assert "DATABASE_URL chose no store" in result.warnings[0]


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("gradewatch.db", "a URL is needed"),
        ("sqlite://gradewatch.db", "three slashes"),
        ("sqlite:///", "three slashes"),
        ("sqlite:///:memory:", "must share a file"),
        ("sqlite:///g.db?mode=ro", "without parameters"),
        ("sqlite:///g\0.db", "without parameters or control characters"),
        ("sqllite:///g.db", "did you mean sqlite?"),
        ("postgresql://u:p@ss@h/db", "percent-encoded"),
        ("postgresql://u:p#ss@h/db", "percent-encoded"),
        ("postgresql:///", "a host and a database are needed"),
        ("mongodb://u:p@ss@h/db", "percent-encoded"),
        ("mongodb://u:p/w@h/db", "percent-encoded"),
        ("mongodb://u:p?w@h/db", "percent-encoded"),
        ("mongodb:///db", "a host and a database are needed"),
        ("mongodb://h", "a database is needed behind the host, such as mongodb://host/database; or name it in DB_NAME"),
        ("mongodb+srv://u:p@h/?retryWrites=true", "a database is needed behind the host"),
        ("mongodb://h/a.b", "a database's name"),
        ("mongo://h/db", "did you mean mongodb?"),
        ("postgesql://h/db", "did you mean postgresql?"),
    ],
)
def test_a_url_that_cannot_be_used(tmp_path: Path, url: str, part: str) -> None:
    (error,) = load(environ={"GRADEWATCH_STORE__URL": url}, cwd=tmp_path).errors
    assert part in error
